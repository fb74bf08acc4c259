# SPDX-License-Identifier: MIT
# What operations on code and TLBs cost other CPUs: the same at 2 and at 16, by the emulator's counters.

test_costs_do_not_grow_with_cpus() {
	only_cohort
	"$here/../../benchmarks/costs" --cohort "$emulator" --vcpus 2,16 --ops 1000 --check >"$work/costs" 2>&1 ||
		failed "$(tail -n 1 "$work/costs")"
}
