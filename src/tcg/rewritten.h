/* SPDX-License-Identifier: MIT */
/*
 * Which code is rewritten again and again: where blocks start that stores have killed several times. New blocks there read the immediates of
 * their instructions when they run (IR_LDCODE), as far as the translator can: then a store that changes only those kills nothing.
 * (Dehnert et al., "The Transmeta Code Morphing Software", CGO 2003, 3.5: stylized self-modifying code.)
 *
 * Only a hint: what is not killed for long is forgotten.
 * Threads: any.
 */
#ifndef COHORT_TCG_REWRITTEN_H
#define COHORT_TCG_REWRITTEN_H

#include "util/types.h"

enum rewritten {
	REWRITTEN_PLAIN,   /* the block that was killed had its immediates in its code */
	REWRITTEN_IN_VAIN, /* it read them when it ran, and few of the stores since changed no more than that */
	REWRITTEN_WELL,    /* it read them when it ran, and lived longer by it */
};

/*
 * Kills before a block is built in this way; each time that it was in vain, it takes twice as many the next time. Stores that a block must outlive
 * for it to pay: a build costs as much as some 50 of them.
 */
#define REWRITTEN_OFTEN 4u
#define REWRITTEN_PAYS 32u

bool rewritten_often(ram_off_t code);
/* More than immediates is rewritten there: see versions.h. */
bool rewritten_anew(ram_off_t code);
/* A store killed the block that starts here. */
void rewritten_mark(ram_off_t code, enum rewritten how);

#endif
