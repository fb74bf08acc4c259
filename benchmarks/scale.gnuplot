# SPDX-License-Identifier: MIT
# Frame of the throughput plots: benchmarks/scale sets target, work and far (the last count the laws are drawn to, 0 for
# none), loads this, and plots.
set terminal pngcairo size 900,600
set output target
set title work.": operations per second against guest CPUs (both logarithmic)"
set xlabel "guest CPUs"
set ylabel "operations per second, all CPUs"
set logscale xy 2
set format y "%.3s %c"
set grid
set key outside below
set samples 200
if (far > 0) set xrange [1:far]
