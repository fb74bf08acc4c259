# SPDX-License-Identifier: MIT
#
# Judges the resident memory of the emulator during a storm: KiB on each line, one second apart, the last one taken while it ended.
# Prints the sizes; exit status 1 if memory grows.
#
# What goes up and down (dead blocks that wait for a grace period, as many as the host's time for all vCPUs makes them) is above what is
# always there, so only the least of a stretch counts. What has leaked never comes back: in a run of twenty minutes or more the least of ten
# stretches of the second half has a slope (of least squares), and a machine whose caches have filled in the first half stays below
# 30 MiB in an hour; half a MiB in a minute would be above. A shorter run tells only what is gross: the least of the last quarter against the
# most of the first half. What is small leaks from the heap, which is accounted for to the byte (the counter heap_left).
{ kib[NR] = $1 }

function least(from, to,   i, m) {
	m = kib[from]
	for (i = from + 1; i <= to; i++)
		m = kib[i] < m ? kib[i] : m
	return m
}

function most(from, to,   i, m) {
	m = kib[from]
	for (i = from + 1; i <= to; i++)
		m = kib[i] > m ? kib[i] : m
	return m
}

# MiB in an hour.
function slope(n,   w, k, x, y, sx, sy, sxx, sxy) {
	w = int(n / 20)
	for (k = 0; k < 10; k++) {
		x = (k + 0.5) * w / 3600
		y = least(n - (10 - k) * w + 1, n - (9 - k) * w) / 1024
		sx += x; sy += y; sxx += x * x; sxy += x * y
	}
	return (10 * sxy - sx * sy) / (10 * sxx - sx * sx)
}

END {
	n = NR - 1
	if (n < 7)
		exit
	early = most(1, int(n / 2))
	late = least(int(n * 3 / 4) + 1, n)
	printf "# memory: at most %d MiB in the first half, at least %d MiB in the last quarter", early / 1024, late / 1024
	if (n >= 1200) {
		grows = slope(n)
		printf ", %+.1f MiB in an hour", grows
	}
	print ""
	exit grows > 30 || late > early * 1.1 + 32 * 1024
}
