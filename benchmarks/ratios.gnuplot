# SPDX-License-Identifier: MIT
# Bars of QEMU's time over Cohort's, one per row. Called by benchmarks/run with terminal, target, source, rows set.
eval "set terminal ".terminal
set output target
set title "QEMU's time divided by Cohort's (longer is better for Cohort; line: equal)"
set logscale x
set xrange [0.25:*]
set yrange [rows - 0.5:-0.5]
set ytics out nomirror
set grid xtics
set style fill solid 0.8 noborder
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "black" front
set lmargin 24
plot source using (0.25):0:(0.25):2:($0 - 0.35):($0 + 0.35):ytic(1) with boxxyerror lc rgb "#4477aa" notitle, \
     source using 2:0:(sprintf(" %.1f", $2)) with labels left notitle
