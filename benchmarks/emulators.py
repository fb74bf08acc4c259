# SPDX-License-Identifier: MIT
"""What the benchmarks share: how to find an emulator, start a guest on it, and read what its programs print."""

import os
import platform
import re
import select
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
CACHE = os.environ.get("COHORT_CACHE", os.path.join(ROOT, "cache"))
GUEST = os.path.join(CACHE, "guest")
KERNELS = {"full": "vmlinuz", "cloud": "vmlinuz-cloud"}
MARKER = b"COHORT-BOOT-OK"
BENCH_LINE = re.compile(r"^BENCH (\S+) (\d+) (\d+)\s*$", re.M)


class Failure(Exception):
    """Something that ends the run with one line."""


def find_cohort(path):
    if path:
        candidates = [path]
    else:
        candidates = [os.path.join(d, "cohort") for d in (os.environ.get("COHORT_BUILD", "."), ".", ROOT)]
    for c in candidates:
        found = shutil.which(c)
        if found:
            return os.path.abspath(found)
    raise Failure("no cohort binary: build it first, or use --cohort PATH")


class Emulator:
    """One side of the comparison: its name and how to start a guest on it."""

    def __init__(self, name, path, extra):
        self.name = name
        self.path = path
        self.command = [path]
        if os.path.basename(path).startswith("qemu"):
            # No devices that Cohort does not have: they would cost QEMU boot time.
            self.command += ["-accel", "tcg,thread=multi", "-nodefaults"]
        self.command += ["-display", "none", "-serial", "stdio", "-no-reboot"] + extra.split()

    def version(self):
        try:
            out = subprocess.run([self.path, "-version"], capture_output=True, text=True, timeout=20).stdout
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        return out.splitlines()[0] if out else "unknown"

    def start(self, kernel, initrd, smp, mem, append, extra=(), stdin=subprocess.DEVNULL):
        command = self.command + ["-smp", str(smp), "-m", mem, "-kernel", os.path.join(GUEST, KERNELS[kernel]),
                                  "-initrd", initrd, "-append", "console=ttyS0 " + append, *extra]
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def other_emulators(options):
    """Sides from --emulator NAME=COMMAND."""
    sides = []
    for text in options:
        name, _, command = text.partition("=")
        words = command.split()
        if not words or not shutil.which(words[0]) or name in ("", "cohort", "native"):
            raise Failure("--emulator '%s': want NAME=COMMAND with a command that exists" % text)
        if name in [side.name for side in sides]:
            raise Failure("--emulator '%s': there is another '%s'" % (text, name))
        side = Emulator(name, shutil.which(words[0]), "")
        side.command = [shutil.which(words[0])] + words[1:] + ["-display", "none", "-serial", "stdio", "-no-reboot"]
        sides.append(side)
    return sides


def read_console(process, limit, until=None):
    """The console's bytes up to the line that contains `until`, or to the end."""
    data = b""
    fd = process.stdout.fileno()
    deadline = time.monotonic() + limit
    while until is None or until not in data[-200000:]:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise Failure("guest timed out; last line: " + last_line(data))
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        data += chunk
    return data


def last_line(data):
    lines = data.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def end(process):
    process.kill()
    process.stdout.close()
    process.stderr.close()
    process.wait()


def boot_time(emulator, kernel, smp, args):
    """Nanoseconds from exec to the marker."""
    start = time.monotonic_ns()
    process = emulator.start(kernel, args.shell_image, smp, args.mem, "cohort.end=hang")
    try:
        data = read_console(process, args.timeout, MARKER)
        took = time.monotonic_ns() - start
        if MARKER not in data:
            raise Failure("%s did not boot: %s" % (emulator.name, last_line(data + process.stderr.read())))
        return took
    finally:
        end(process)


def bench_lines(text):
    """{row: (iterations, nanoseconds)}"""
    return {name: (int(n), int(ns)) for name, n, ns in BENCH_LINE.findall(text.replace("\r", ""))}


def parse_bench(text):
    """{row: nanoseconds per iteration}"""
    return {name: ns / n for name, (n, ns) in bench_lines(text).items() if n}


def progress(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


def show_ns(ns):
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return "%.3g %s" % (ns / size, unit) if ns / size < 1000 else "%.0f %s" % (ns / size, unit)
    return "%.3g ns" % ns


def host_description(sides):
    model = "unknown"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d %H:%M:%S"),
            "emulators": {s.name: {"version": s.version(), "command": " ".join(
                [os.path.basename(s.command[0])] + s.command[1:])} for s in sides}}


def prepare(args):
    for kind in ("shell", "test"):
        made = subprocess.run([os.path.join(ROOT, "scripts", "make-initramfs"), kind], stdout=subprocess.PIPE,
                              text=True)
        if made.returncode:
            raise Failure("cannot prepare the guest")
        setattr(args, kind + "_image", made.stdout.strip())
