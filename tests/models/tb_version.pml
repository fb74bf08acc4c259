/* SPDX-License-Identifier: MIT */
/*
 * Code that is rewritten again and again: immediates that blocks read when they run ("late"), and kept versions that are published anew
 * (docs/CONCURRENCY.md, "Making a page code"; src/tcg/rewritten.h, src/tcg/versions.h).
 *
 * C files: src/tcg/tcg.c (build), src/tcg/versions.c (find, make, keep), src/tcg/cache/tb_inval.c (overlaps_home), src/mem/code_watch.c
 * (replace_locking), src/tcg/cache/tb_cache.c (publish).
 *
 * One page that stays CODE, in it one instruction of two bytes, opcode and immediate, and a place in the table for its block. Two vCPUs, doing OPS
 * and OPS1 operations of their free choice: store another opcode or immediate, build the block if it is not there, evict it. A
 * build may take the immediate as a constant or read it late, and may find and keep a version; each vCPU keeps one. Sequentially
 * consistent: what store buffers could do to the generation and the bytes is in code_page.pml.
 *
 * Checked: whenever the page lock is free, a block was made from the opcode in memory, and from the immediate in memory if that is a constant in it.
 *
 * Mutations (each must be caught): FIND_FIRST COPY_UNCHECKED KEEP_UNPUBLISHED MAKE_BEHIND IGNORE_CONSTANT LATE_QUIET LATE_LASTS ALL_LATE
 */
#ifndef OPS
#define OPS 2
#endif
#ifndef OPS1
#define OPS1 3 /* of the second */
#endif
#ifndef VALUES
#define VALUES 2 /* of each byte: one that comes back is what versions are for */
#endif

bool locked;
byte moved; /* the write generation: bit i, it has moved since vCPU i read it */
byte opcode, immediate;             /* the guest's bytes */
bool live, late;                    /* the block: it is there; it reads the immediate when it runs */
byte made_of_opcode, made_of_immediate;

inline lock()
{
	d_step { !locked -> locked = true; }
}

/* touch_home(): a late byte of the block is data. */
#if defined(ALL_LATE)
#define KILLED_BY_IMMEDIATE false
#elif defined(LATE_LASTS)
#define KILLED_BY_IMMEDIATE (!was_late)
#else
#define KILLED_BY_IMMEDIATE (!late)
#endif

#ifdef LATE_LASTS
bool was_late; /* of an earlier block at this place */
#endif

/* replace_locking(): kill, move the generation, put the bytes. */
inline guest_store(byte_of, dies)
{
	lock();
	if
	:: live && dies -> live = false
	:: else
	fi;
#ifdef LATE_QUIET
	if
	:: live
	:: else -> moved = 3
	fi;
#else
	moved = 3; /* whatever has died: who translates now may take the byte as a constant */
#endif
	byte_of = (byte_of + 1) % VALUES;
	locked = false
}

/* tb_kill() of a block that is cold. */
inline evict()
{
	lock();
	live = false;
	locked = false
}

/* versions_find(): word by word. A late byte does not matter. */
inline find()
{
	found = false;
	if
	:: kept && opcode == word_opcode ->
		if
#ifndef IGNORE_CONSTANT
		:: !kept_late && immediate != word_immediate
#endif
		:: else -> found = true
		fi
	:: else
	fi
}

/* version_make(): the bytes are read from memory again. */
inline make()
{
	word_opcode = opcode;
	word_immediate = immediate;
	kept_opcode = code_opcode;
	kept_immediate = code_immediate;
	kept_late = reads_late
}

/* tb_publish() */
inline publish()
{
	lock();
	if
#ifdef COPY_UNCHECKED
	:: !(moved & (1 << me)) || found ->
#else
	:: !(moved & (1 << me)) ->
#endif
		published = true;
		if
		:: live /* lost the race */
		:: else ->
			d_step { live = true; late = reads_late; made_of_opcode = code_opcode; made_of_immediate = code_immediate; }
#ifdef LATE_LASTS
			was_late = was_late || late
#endif
		fi
	:: else -> published = false
	fi;
	locked = false
}

/* build(). `place`: versions are looked for, and kept. */
inline build()
{
	do
	:: true ->
		if
		:: place = true; reads_late = true
		:: place = true; reads_late = false /* it cannot, here: see tr/late.c */
		:: place = false; reads_late = true
		:: place = false; reads_late = false
		fi;
		found = false;
#ifdef FIND_FIRST
		if
		:: place -> find()
		:: else
		fi;
#endif
		skip;
		d_step { !locked -> moved = moved & ~(1 << me); } /* code_watch_arm() */
#ifndef FIND_FIRST
		if
		:: place -> find()
		:: else
		fi;
#endif
		if
		:: found ->
			d_step { code_opcode = kept_opcode; code_immediate = kept_immediate; reads_late = kept_late; }
		:: else ->
			code_opcode = opcode;
			code_immediate = immediate
		fi;
		/* What is made is not among those kept yet, but nobody looks for it before it is. */
#ifndef MAKE_BEHIND
		if
		:: place && !found -> make(); kept = false; made = true
		:: else
		fi;
#endif
		publish();
#ifdef MAKE_BEHIND
		if
		:: place && !found -> make(); kept = false; made = true
		:: else
		fi;
#endif
		if
#ifdef KEEP_UNPUBLISHED
		:: made -> kept = true
#else
		:: made && published -> kept = true
#endif
		:: else
		fi;
		made = false;
		d_step {
			if
			:: !kept -> kept_opcode = 0; kept_immediate = 0; word_opcode = 0; word_immediate = 0; kept_late = false
			:: else
			fi;
			code_opcode = 0;
			code_immediate = 0;
		}
		if
		:: published -> break
		:: else
		fi
	od;
	skip;
	d_step { published = false; found = false; place = false; reads_late = false; }
}

proctype vcpu(byte me; byte ops)
{
	bool place, reads_late, found, made, published;
	bool kept, kept_late; /* the version */
	byte kept_opcode, kept_immediate, word_opcode, word_immediate;
	byte code_opcode, code_immediate;

	do
	:: ops ->
		ops--;
		if
		:: guest_store(opcode, true)
		:: guest_store(immediate, KILLED_BY_IMMEDIATE)
		:: evict()
		:: !live -> build()
		fi
	:: else -> break
	od
}

/* Enabled exactly in the states that must not exist. */
active proctype stale()
{
end:
	atomic {
		!locked && live && (made_of_opcode != opcode || (!late && made_of_immediate != immediate)) -> assert(false);
	}
}

init {
	atomic {
		run vcpu(0, OPS);
		run vcpu(1, OPS1)
	}
}
