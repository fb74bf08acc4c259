# SPDX-License-Identifier: MIT
"""The tables, files and plots of benchmarks/scale."""

import csv
import json
import os
import shutil
import statistics
import subprocess

import usl
from emulators import HERE, show_ns
from scale_results import boots_per_second, efficiency, host_cpus, ratio, wait_share, waits_by_rank

# Counters that are printed for each operation: heading, and what is added up.
PER_OPERATION = (
    ("page walks", ("page_walks",)),
    ("TLB fills", ("tlb_fills",)),
    ("flushes", ("tlb_flushes", "tlb_flush_pages")),
    ("from others", ("tlb_shootdowns_taken",)),
    ("lookups", ("lookups",)),
    ("blocks", ("blocks_built",)),
    ("interrupts", ("interrupts",)),
    ("IPIs", ("ipis_sent",)),
    ("parks", ("parks",)),
    ("kicks", ("kicks_sent",)),
    ("rests", ("rests",)),
    ("host calls", ("host_calls",)),
    ("locks", ("locks_taken",)),
)


def show_rate(rate):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return "%.3g %s/s" % (rate / size, unit)
    return "%.3g /s" % rate


def table(lines):
    if len(lines) < 2:
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join([line[0].ljust(widths[0])] + [t.rjust(w) for t, w in zip(line[1:], widths[1:])]).rstrip())
    print()


def print_rates(results, sides, counts):
    """A line for each kind of work and count: throughput of each side, efficiency of the first, ratio to the first side."""
    lines = [["work", "vCPUs"] + [s for s in sides] + ["efficiency", "of native's"] + ["%s/%s" % (sides[0], s) for s in sides[1:]]]
    for work, by_side in results.samples.items():
        for count in counts:
            medians = {s: statistics.median(by_side[s][count]) for s in sides if count in by_side.get(s, {})}
            if not medians:
                continue
            own, of_native = "-", "-"
            if sides[0] in medians:
                value = efficiency(by_side[sides[0]], count)
                own = "%.2f" % value
                if "native" in medians and min(by_side["native"]) == min(by_side[sides[0]]):
                    of_native = "%.2f" % (value / efficiency(by_side["native"], count))
            lines.append([work, str(count)] + [show_rate(medians[s]) if s in medians else "-" for s in sides] + [own, of_native] +
                         ["%.2f" % ratio(by_side, sides[0], s, count) if sides[0] in medians and s in medians else "-" for s in sides[1:]])
    table(lines)


def print_boots(results, sides, counts):
    lines = [["boot", "vCPUs"] + sides + ["%s/%s" % (s, sides[0]) for s in sides[1:]]]
    for count in counts:
        medians = {s: statistics.median(results.boot[s][count]) for s in sides if count in results.boot.get(s, {})}
        if medians:
            lines.append(["", str(count)] + [show_ns(medians[s] * 1e9) if s in medians else "-" for s in sides] +
                         ["%.2f" % (medians[s] / medians[sides[0]]) if s in medians and sides[0] in medians else "-" for s in sides[1:]])
    table(lines)


def print_stale(results):
    for (side, work), n in sorted(results.stale.items()):
        print("%s: %d operations of %s ran old code; they are not counted" % (side, n, work))
    if results.stale:
        print()


def print_contention(results, counts):
    """What stopped or delayed vCPUs in each measured stretch; of the repetition with the longest waits."""
    lines = [["work", "vCPUs", "exclusive sections", "time in lock waits", "lock waits"]]
    for work, by_count in results.counted.items():
        for count in counts:
            if count in by_count:
                worst = max(by_count[count], key=lambda total: total["lock_wait_ns"])
                waits = sorted(waits_by_rank(worst).items(), key=lambda item: -item[1])
                lines.append([work, str(count), str(worst["exclusive_sections"]), "%.3f%%" % (100 * wait_share(worst, count)),
                              ", ".join("%s %d" % item for item in waits) or "none"])
    table(lines)


def show_count(value):
    return "%.0f" % value if value >= 100 else "%.2g" % value if value >= 0.01 else "-"


def print_per_operation(results, counts):
    """What an operation takes of the emulator; medians of the repetitions. "-" is less than one in a hundred operations."""
    lines = [["per operation", "vCPUs"] + [heading for heading, _ in PER_OPERATION]]
    for work, by_count in results.counted.items():
        for count in counts:
            found = [c for c in by_count.get(count, []) if c.get("operations")]
            if found:
                lines.append([work, str(count)] + [show_count(statistics.median(sum(c[name] for name in names) / c["operations"] for c in found))
                                                   for _, names in PER_OPERATION])
    table(lines)


def span(fits, what, form):
    return "[" + "; ".join(form % v for v in usl.interval(fits, what)) + "]" if fits else "-"


def print_fits(fits, args):
    if not fits:
        print("no fit: it takes three counts of vCPUs up to %d; see --vcpus and --fit-to\n" % (args.fit_to or host_cpus()))
        return
    far = args.extrapolate
    lines = [["law", "side", "sigma", "95%", "kappa", "95%", "speed-up at %d" % far, "95%", "peak at"]]
    for work, by_side in fits.items():
        for side, (f, again) in by_side.items():
            lines.append([work, side, "%.4f" % f.sigma, span(again, lambda g: g.sigma, "%.4f"),
                          "%.6f" % f.kappa, span(again, lambda g: g.kappa, "%.6f"),
                          "%.1f" % f.speedup(far), span(again, lambda g: g.speedup(far), "%.1f"),
                          "%.0f" % f.peak() if f.peak() else "-"])
    table(lines)


def write_results(results, fits, host, args):
    os.makedirs(args.out, exist_ok=True)
    laws = {work: {side: {"lambda": f.lam, "sigma": f.sigma, "kappa": f.kappa,
                          "sigma_95": usl.interval(again, lambda g: g.sigma) if again else None,
                          "kappa_95": usl.interval(again, lambda g: g.kappa) if again else None}
                   for side, (f, again) in by_side.items()} for work, by_side in fits.items()}
    with open(os.path.join(args.out, "scale.json"), "w") as f:
        json.dump({"host": host, "samples": results.samples, "boot_seconds": results.boot, "counters": results.counted,
                   "laws": laws, "stale": {"%s %s" % key: n for key, n in results.stale.items()}, "failures": list(results.failed.values())}, f, indent=1)
        f.write("\n")
    with open(os.path.join(args.out, "scale.csv"), "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["work", "side", "vcpus", "operations_per_second"])
        for work, by_side in [*results.samples.items(), ("boot", boots_per_second(results))]:
            for side, by_count in by_side.items():
                writer.writerows([work, side, n, "%.6g" % v] for n, values in by_count.items() for v in values)


def plot(results, fits, args):
    """One picture for each kind of work that was measured with more than one count: the medians, and the law where there is one."""
    gnuplot = shutil.which("gnuplot")
    if not gnuplot:
        return
    for work, by_side in [*results.samples.items(), ("boot", boots_per_second(results))]:
        if len({n for by_count in by_side.values() for n in by_count}) < 2:
            continue
        curves = []
        for side, by_count in by_side.items():
            data = os.path.join(args.out, "%s-%s.dat" % (work, side))
            with open(data, "w") as f:
                f.writelines("%d %.6g\n" % point for point in usl.medians(by_count))
            law = fits.get(work, {}).get(side)
            curves.append((side, data, law[0] if law else None))
        script = ["'%s' using 1:2 with linespoints lw 2 pt 7 title '%s'" % (data, side) for side, data, _ in curves]
        script += ["x <= %d ? %.8g * x / (1 + %.8g * (x - 1) + %.8g * x * (x - 1)) : NaN with lines dt 2 title '%s, law'" %
                   (args.extrapolate, f.lam, f.sigma, f.kappa, side) for side, _, f in curves if f]
        subprocess.run([gnuplot, "-e", "target='%s'; work='%s'; far=%d" % (
            os.path.join(args.out, work + ".png"), work, args.extrapolate if any(c[2] for c in curves) else 0),
            "-e", "load '%s'" % os.path.join(HERE, "scale.gnuplot"), "-e", "plot " + ", ".join(script)], check=False)
