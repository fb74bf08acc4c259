/* SPDX-License-Identifier: MIT */
/*
 * Code memory under pressure: each vCPU's private caches, eviction of a segment while vCPUs are inside its code, reclaim,
 * and the use of the segment by somebody else (docs/CONCURRENCY.md, "Life of a translation block", steps 1, 7 and 8).
 *
 * C files: src/tcg/tcg.c (find, recent blocks, make room), src/tcg/cache/tb_hold.c (who has a block in private caches),
 * src/tcg/cache/tb_reclaim.c (batches, purge, evict),
 * src/tcg/cache/code_region.c (segments), src/util/rcu.c (grace periods and nudges).
 *
 * Two addresses of guest code. A segment holds one block, so each new block of a vCPU seals its last segment, and there are
 * fewer segments than blocks: somebody must evict. Blocks are numbered in the order they are built and a number is not used
 * twice: touching one whose segment was freed is the error, whatever might stand there by then. tb_life.pml has the store
 * buffers, chains and stale bytes, which are left out here.
 *
 * Processes: CPUS vCPUs that find, build, run, kill, pass safepoints, sleep, and evict when there is no segment; RIVALS
 * others that evict (as the main thread does, tb_cold.c), or store to a page, and start a batch; the RCU worker. A block may
 * spin in chained code without end: only a request makes its vCPU leave.
 *
 * Checked: nothing of a reclaimed block is touched; no batch is read once it is freed; a segment is freed from the full
 * list, once; a search does not return a block that was dead when it began (its entry leads straight to the next search);
 * no deadlock, and so every grace period ends.
 *
 * Mutations (each must be caught): RECENT_KEPT RECENT_UNNOTICED RECENT_DEAD PURGE_READS_BLOCK KEPT_ACROSS NO_PARK_PURGE
 * NOT_FORGOTTEN HOLD_BLINDLY UNLINKED_LATE BATCH_AT_ONCE EVICT_NO_REF REF_BLINDLY NO_OWNER_REF PUT_UNLISTED GONE_AT_KILL WAIT_ONLINE NUDGE_ONCE
 */
#ifndef CPUS
#define CPUS 1
#endif
#ifndef RIVALS
#define RIVALS 0
#endif
#define READERS (CPUS + RIVALS)
#ifndef SEGS
#define SEGS 1
#endif
#ifndef BLOCKS
#define BLOCKS 3
#endif
#define NONE 255

#define BIT(n) (1 << (n))

/* Blocks. */
#define BUILDING 0
#define LIVE 1
#define DEAD 2      /* the entry leads to the dead exit */
#define RECLAIMED 3 /* ghost */
byte state[BLOCKS];
byte pc_of[BLOCKS];
byte seg_of[BLOCKS];
byte next_block;
byte table[2] = NONE;
bool page_lock;
byte retired; /* the lock-free stack, as a bit mask */
byte mine[READERS]; /* what each has killed and not put on the stack, likewise */

/* Segments. */
#define FREE 0
#define OWNED 1
#define FULL 2
#define NOWHERE 3    /* being emptied */
byte list[SEGS];     /* [lock code_lock] */
bool evicting[SEGS]; /* [lock code_lock] */
byte live[SEGS];     /* [atomic] */
byte held[SEGS] = NONE; /* the block in it */

/* Batches, in the order they are made; at most one for each block. Those that somebody has to purge are published: on the list, oldest to newest. */
#define BATCHES (BLOCKS + 1) /* from 1 */
byte made, published, unlinked;
byte batch[BATCHES];    /* blocks */
byte to_purge[BATCHES]; /* of those, the ones that others may hold */
byte oldest, newest, next[BATCHES];
bool freed[BATCHES];    /* ghost */
byte holder[BLOCKS] = NONE; /* NONE: nobody; a vCPU; MANY */
#define MANY 254

/* rcu_call(): batches whose batch_done(), batch_free() wait for a grace period, as bit masks; calls made and done. */
byte calls_done, calls_free, calls, calls_run;

byte gp = 1;
byte reader[READERS]; /* 0: offline */
bool request[READERS];

#define TOUCH(b) assert(state[b] != RECLAIMED)
#define LOCK atomic { !page_lock -> page_lock = true; }
#define UNLOCK page_lock = false

/* code_blocks_gone(): the count, and if it was the last the segment under code_lock. */
inline gone(s)
{
	d_step {
		assert(live[s] > 0);
		live[s]--;
		last_one = live[s] == 0;
	}
	if
	:: last_one ->
		d_step {
			assert(list[s] == FULL && state[held[s]] == DEAD);
			list[s] = NOWHERE
		}
		d_step { /* free_blocks() */
			state[held[s]] = RECLAIMED;
			held[s] = NONE
		}
		d_step {
			evicting[s] = false;
			list[s] = FREE;
			last_one = false
		}
	:: else
	fi
}

/* tb_let_go(); no block is held by a rival, which has no caches. */
inline let_go(b)
{
	if
	:: holder[b] == me ->
#ifndef NOT_FORGOTTEN
		d_step {
			if
			:: jc == b -> jc = NONE
			:: else
			fi;
			if
			:: recent[pc_of[b]] == b -> recent[pc_of[b]] = NONE
			:: else
			fi
		}
#endif
		holder[b] = NONE
	:: else
	fi
}

/* tb_retire_flush() */
inline flush()
{
	d_step {
		retired = retired | mine[me];
		mine[me] = 0
	}
}

/* tb_kill(): state and entry, the table; tb_retire(), which may have a chunk full then. A thread that is no vCPU keeps none. */
inline kill(b)
{
	LOCK;
	TOUCH(b);
	if
	:: state[b] == LIVE ->
		state[b] = DEAD;
		table[pc_of[b]] = NONE;
		let_go(b);
		mine[me] = mine[me] | BIT(b);
		if
		:: true -> flush()
		:: me < CPUS
		fi;
#ifdef GONE_AT_KILL
		gone(seg_of[b]);
#endif
	:: else
	fi;
	UNLOCK
}

#define HELD(b) (holder[b] == NONE -> 0 : BIT(b))

/* tb_reclaim_poll(true). A batch that nobody has to purge is on no list. */
inline poll()
{
	flush();
	d_step { /* batch_make() */
		dead = retired;
		retired = 0;
		held_dead = (dead & HELD(0)) | (dead & HELD(1));
#if BLOCKS > 2
		held_dead = held_dead | (dead & HELD(2));
#endif
	}
	if
	:: dead ->
		d_step { /* batch_publish() */
			made++;
			batch[made] = dead;
			to_purge[made] = held_dead;
			dead = made;
			if
			:: held_dead ->
				if
				:: newest -> next[newest] = made
				:: else -> oldest = made
				fi;
				newest = made;
				published = made
			:: else
			fi;
			held_dead = 0
		}
		d_step { calls_done = calls_done | BIT(dead); calls++; dead = 0; }
		request[0] = true; /* quiesce_kick() */
#if CPUS > 1
		request[1] = true;
#endif
	:: else
	fi
}

inline drop_all()
{
	jc = NONE;
#ifndef RECENT_UNNOTICED
	recent[0] = NONE;
	recent[1] = NONE;
#endif
}

/* drop() for the blocks of batch n, which keeps its own copy of what it needs. */
#define IN(n, b) ((b) != NONE && (to_purge[n] & BIT(b)) != 0)
#define HAS_PC(n, pc) (((to_purge[n] & 1) && pc_of[0] == pc) || ((to_purge[n] & 2) && pc_of[1] == pc) || ((to_purge[n] & 4) && pc_of[2] == pc))
inline drop(n)
{
	d_step {
		assert(!freed[n]);
		if
		:: IN(n, jc) -> jc = NONE
		:: else
		fi;
#ifdef PURGE_READS_BLOCK
		if
		:: recent[0] != NONE -> TOUCH(recent[0])
		:: else
		fi;
		if
		:: recent[1] != NONE -> TOUCH(recent[1])
		:: else
		fi;
#endif
#ifndef RECENT_KEPT
		if
		:: HAS_PC(n, 0) -> recent[0] = NONE
		:: else
		fi;
		if
		:: HAS_PC(n, 1) -> recent[1] = NONE
		:: else
		fi;
#endif
	}
}

/* tb_purge() */
inline purge()
{
	if
	:: published != seen ->
		upto = published;
		n = oldest;
		do
		:: n ->
			assert(!freed[n]); /* its number is read */
			if
			:: n > seen -> drop(n)
			:: else
			fi;
			d_step { assert(!freed[n]); n = next[n]; }
		:: else -> break
		od;
		atomic {
			if
			:: unlinked > seen -> drop_all()
			:: else
			fi;
			seen = upto;
			upto = 0
		}
	:: else
	fi
}

#define MAY_EVICT(s) (list[s] == FULL && !evicting[s])
#ifdef REF_BLINDLY
#define REF_OK(s) true
#else
#define REF_OK(s) (live[s] > 0)
#endif

/* tb_evict() */
inline evict()
{
	atomic {
		if
		:: MAY_EVICT(0) && REF_OK(0) -> s = 0
#if SEGS > 1
		:: MAY_EVICT(1) && REF_OK(1) -> s = 1
#endif
#if SEGS > 2
		:: MAY_EVICT(2) && REF_OK(2) -> s = 2
#endif
		:: else
		fi;
		if
		:: s != NONE ->
			evicting[s] = true;
#ifndef EVICT_NO_REF
			live[s]++;
#endif
			b = held[s];
		:: else
		fi
	}
	if
	:: s != NONE ->
		assert(b != NONE);
		TOUCH(b);
		if
		:: state[b] == LIVE -> kill(b)
		:: else
		fi;
#ifndef EVICT_NO_REF
		gone(s);
#endif
		d_step { s = NONE; b = NONE; }
	:: else
	fi
}

/* tcg_safepoint() */
inline safepoint()
{
	d_step { request[me] = false; }
	reader[me] = gp;
	flush();
	purge();
	if
	:: retired -> poll()
	:: true -> evict(); poll() /* few segments are free */
	:: true
	fi
}

/* Asleep in a park, or paused; what follows is the run loop's safepoint. */
inline park()
{
	reader[me] = 0;
	reader[me] = gp;
#ifndef NO_PARK_PURGE
	safepoint()
#endif
}

/* tcg_make_room(), and the safepoint that the run loop passes then. */
inline make_room()
{
	evict();
	poll();
#ifndef WAIT_ONLINE
	reader[me] = 0;
#endif
	upto = calls; /* rcu_drain() */
	calls_run >= upto;
	upto = 0;
	reader[me] = gp;
	safepoint()
}

/* code_reserve(): seals the segment, which is full, and takes a free one. */
inline reserve()
{
	if
	:: own != NONE ->
#ifdef PUT_UNLISTED
		gone(own);
		list[own] = FULL;
#else
		list[own] = FULL;
#ifndef NO_OWNER_REF
		gone(own);
#endif
#endif
		own = NONE
	:: else
	fi;
	d_step {
		if
		:: list[0] == FREE -> own = 0
#if SEGS > 1
		:: list[0] != FREE && list[1] == FREE -> own = 1
#endif
#if SEGS > 2
		:: list[0] != FREE && list[1] != FREE && list[2] == FREE -> own = 2
#endif
		:: else
		fi;
		if
		:: own != NONE ->
			list[own] = OWNED;
			assert(live[own] == 0);
#ifndef NO_OWNER_REF
			live[own] = 1;
#endif
		:: else
		fi
	}
}

inline build()
{
	reserve();
	if
	:: own == NONE -> make_room()
	:: own != NONE && next_block == BLOCKS ->
		/* The search ends here: give the segment back unused, as if it had never been asked for. */
		d_step { list[own] = FREE; live[own] = 0; own = NONE; }
	:: own != NONE && next_block < BLOCKS ->
		d_step {
			b = next_block;
			next_block++;
			pc_of[b] = pc;
			seg_of[b] = own;
			held[own] = b;
			live[own]++;
		}
		LOCK;
		if
		:: table[pc] != NONE -> /* lost the race */
			found = table[pc];
			UNLOCK;
			state[b] = DEAD;
			mine[me] = mine[me] | BIT(b)
		:: table[pc] == NONE ->
			atomic { state[b] = LIVE; table[pc] = b; }
			found = b;
			UNLOCK
		fi;
		b = NONE
	fi
}

/* tcg_find_block() */
inline find()
{
	d_step {
		if
		:: recent[pc] != NONE ->
			TOUCH(recent[pc]);
#ifdef RECENT_DEAD
			found = recent[pc];
			assert(state[found] == LIVE)
#else
			if
			:: state[recent[pc]] == LIVE -> found = recent[pc]
			:: else
			fi
#endif
		:: else
		fi
	}
	if
	:: found == NONE ->
		found = table[pc];
		if
		:: found == NONE && next_block < BLOCKS ->
			build();
			if
			:: retired || mine[me] -> poll() /* not only at safepoints */
			:: true
			fi
		:: else
		fi
	:: else
	fi;
	if
	:: found != NONE ->
#ifdef KEPT_ACROSS
		safepoint();
#endif
		/* tb_hold() */
		d_step {
			TOUCH(found);
			if
			:: holder[found] == NONE -> holder[found] = me
			:: holder[found] != NONE && holder[found] != me -> holder[found] = MANY
			:: else
			fi
		}
		d_step {
			TOUCH(found);
			at = found;
#ifndef HOLD_BLINDLY
			keep = state[found] == LIVE;
#else
			keep = true;
#endif
		}
		if
		:: keep ->
			recent[pc] = found;
			if
			:: jc = found
			:: true
			fi;
			keep = false
		:: else
		fi;
		found = NONE
	:: else
	fi
}

/* The entry slot; then the body, which ends in an indirect jump, in the run loop, or not at all until it is asked. */
inline run_block()
{
	d_step {
		TOUCH(at);
		if
		:: state[at] == DEAD -> at = NONE
		:: else
		fi
	}
	if
	:: at != NONE ->
		if
		:: true -> TOUCH(at); at = jc
		:: true -> TOUCH(at); at = NONE
		:: true ->
end_spin:
			request[me] -> TOUCH(at); at = NONE;
			safepoint()
		fi
	:: else
	fi
}

proctype vcpu(byte me)
{
	byte jc = NONE;        /* the jump cache: code */
	byte recent[2] = NONE; /* the recent blocks: structures */
	byte own = NONE;       /* the segment it fills */
	byte at = NONE, found = NONE, pc;
	byte seen, upto, n, b = NONE, s = NONE;
	byte dead, held_dead;
	bool last_one, keep;

end:
	do
	:: at == NONE ->
		if
		:: true -> safepoint()
		:: true -> park()
		:: true -> pc = 0; find()
		:: true -> pc = 1; find(); pc = 0
		:: table[0] != NONE -> /* a store to its page */
			b = table[0];
			if
			:: b != NONE -> kill(b)
			:: else
			fi;
			b = NONE
		fi
	:: at != NONE -> run_block()
	od
}

/* Another vCPU's safepoint, or its store. */
proctype rival(byte me)
{
	byte b = NONE, s = NONE;
	byte dead, held_dead;
	byte jc = NONE, recent[2] = NONE; /* has none */
	bool last_one;

	reader[me] = gp;
	if
	:: true -> evict()
	:: true ->
		b = table[0];
		if
		:: b != NONE -> kill(b)
		:: else
		fi
	fi;
	poll();
	reader[me] = 0
}

/* Waits for a grace period. Whoever is not quiescent is asked as long as it takes: one request may have been answered before. */
inline grace()
{
	gp++;
	i = 0;
	do
	:: i < READERS && (reader[i] == 0 || reader[i] == gp) -> i++
#ifndef NUDGE_ONCE
	:: i < READERS && reader[i] != 0 && reader[i] != gp && !request[i] -> request[i] = true
#endif
	:: i == READERS -> break
	od;
	i = 0
}

/* batch_done(), unheld_batch_done() of batch i */
inline batch_done()
{
#ifndef UNLINKED_LATE
	note_unlinked();
#endif
	b = 0;
	do
	:: b < BLOCKS && (batch[i] & BIT(b)) ->
#ifndef GONE_AT_KILL
		gone(seg_of[b]);
#endif
		b++
	:: b < BLOCKS && !(batch[i] & BIT(b)) -> b++
	:: b == BLOCKS -> break
	od;
	b = 0;
	if
	:: to_purge[i] ->
		unlink();
#ifdef UNLINKED_LATE
		note_unlinked();
#endif
#ifdef BATCH_AT_ONCE
		freed[i] = true
#else
		d_step { calls_free = calls_free | BIT(i); calls++; }
#endif
	:: else -> freed[i] = true
	fi
}

inline note_unlinked()
{
	d_step {
		if
		:: to_purge[i] && unlinked < i -> unlinked = i
		:: else
		fi
	}
}

inline unlink()
{
	d_step {
		at = oldest;
		do
		:: at == i -> break
		:: else -> prev = at; at = next[at]
		od;
		if
		:: newest == i -> newest = prev
		:: else
		fi;
		if
		:: prev -> next[prev] = next[i]
		:: else -> oldest = next[i]
		fi;
		at = 0;
		prev = 0
	}
}

/* One grace period for all calls that wait for one. Two threads may publish in one order and call in another. */
active proctype worker()
{
	byte i, b, at, prev, run_done, run_free;
	bool last_one;

end:
	do
	:: calls_done || calls_free ->
		d_step {
			run_done = calls_done;
			run_free = calls_free;
			calls_done = 0;
			calls_free = 0
		}
		grace();
		do
		:: run_done & 2 -> i = 1; run_done = run_done & ~2; batch_done(); d_step { calls_run++; i = 0; }
		:: run_done & 4 -> i = 2; run_done = run_done & ~4; batch_done(); d_step { calls_run++; i = 0; }
#if BLOCKS > 2
		:: run_done & 8 -> i = 3; run_done = run_done & ~8; batch_done(); d_step { calls_run++; i = 0; }
#endif
		:: run_free & 2 -> d_step { run_free = run_free & ~2; freed[1] = true; calls_run++; }
		:: run_free & 4 -> d_step { run_free = run_free & ~4; freed[2] = true; calls_run++; }
#if BLOCKS > 2
		:: run_free & 8 -> d_step { run_free = run_free & ~8; freed[3] = true; calls_run++; }
#endif
		:: else -> break
		od
	od
}

init {
	atomic {
		reader[0] = 1;
		run vcpu(0);
#if CPUS > 1
		reader[1] = 1;
		run vcpu(1);
#endif
#if RIVALS > 0
		run rival(CPUS);
#endif
#if RIVALS > 1
		run rival(CPUS + 1);
#endif
	}
}
