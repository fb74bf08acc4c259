/* SPDX-License-Identifier: MIT */
/*
 * x86-TSO for the protocol models: shared memory is mem[], each process that stores has a FIFO store buffer of
 * SB_DEPTH entries, and one drain process moves entries to memory at any moment. Stores leave a buffer in order, a
 * load sees the newest own buffered store first, locked operations and fences wait for the own buffer to be empty: the
 * machine of Sewell et al., "x86-TSO: A Rigorous and Usable Programmer's Model for x86 Multiprocessors", CACM 2010.
 *
 * The including model defines N_CELLS, N_CPUS and SB_DEPTH (1 or 2), and names the executing process `me`
 * (0..N_CPUS-1). A depth of two matters where a store is followed by the release of a lock: both may still be on their
 * way.
 */
byte mem[N_CELLS];
byte sb_n[N_CPUS];            /* entries in use; entry 0 is the oldest */
byte sb_a[N_CPUS * SB_DEPTH]; /* cell */
byte sb_v[N_CPUS * SB_DEPTH]; /* value */

#define SB(i, k) ((i) * SB_DEPTH + (k))

#if SB_DEPTH == 1
#define LOAD(x) ((sb_n[me] && sb_a[me] == (x)) -> sb_v[me] : mem[x])
#else
#define LOAD(x) \
	((sb_n[me] == 2 && sb_a[SB(me, 1)] == (x)) -> sb_v[SB(me, 1)] : \
	 ((sb_n[me] >= 1 && sb_a[SB(me, 0)] == (x)) -> sb_v[SB(me, 0)] : mem[x]))
#endif

/* Guard of every locked operation: write it as atomic { DRAINED -> change mem[] directly }. */
#define DRAINED (sb_n[me] == 0)
#define FENCE DRAINED

#define STORE(x, v) \
	d_step { \
		sb_n[me] < SB_DEPTH -> \
		sb_v[SB(me, sb_n[me])] = (v); \
		sb_a[SB(me, sb_n[me])] = (x); \
		sb_n[me]++; \
	}

/* A spin lock as the compiler makes it: a locked exchange to take, a plain store to release. */
#define LOCK(x) d_step { DRAINED && mem[x] == 0 -> mem[x] = me + 1; }
#define UNLOCK(x) STORE(x, 0)

#if SB_DEPTH == 1
#define DRAIN(i) \
	d_step { sb_n[i] > 0 -> mem[sb_a[i]] = sb_v[i]; sb_a[i] = 0; sb_v[i] = 0; sb_n[i] = 0; }
#else
#define DRAIN(i) \
	d_step { \
		sb_n[i] > 0 -> \
		mem[sb_a[SB(i, 0)]] = sb_v[SB(i, 0)]; \
		sb_a[SB(i, 0)] = sb_a[SB(i, 1)]; \
		sb_v[SB(i, 0)] = sb_v[SB(i, 1)]; \
		sb_a[SB(i, 1)] = 0; \
		sb_v[SB(i, 1)] = 0; \
		sb_n[i]--; \
	}
#endif

active proctype store_buffers()
{
end:
	do
	:: DRAIN(0)
	:: DRAIN(1)
#if N_CPUS > 2
	:: DRAIN(2)
#endif
#if N_CPUS > 3
	:: DRAIN(3)
#endif
	od
}
