/* SPDX-License-Identifier: MIT */
/*
 * Versions of code that is rewritten again and again: what was translated at a place is kept, with the bytes that the translation depends on.
 * When they are in memory again, the code is copied and put right for its new address, which takes a tenth of a translation.
 * (Cf. the translation groups of Dehnert et al., "The Transmeta Code Morphing Software", CGO 2003, 3.6.)
 *
 * A version is memory of its own, and not the block that died: that one's life ends as any block's does. A copy is what a translation of the same
 * bytes would be, and is published in the same way (tests/models/tb_version.pml). Bytes that blocks read when they run (late ones) do not
 * matter, which is why blocks at such places are translated with as many of them as possible.
 *
 * Owner:   the vCPU's thread, all of it.
 */
#ifndef COHORT_TCG_VERSIONS_H
#define COHORT_TCG_VERSIONS_H

#include "tcg/backend.h"
#include "tcg/cache/code_region.h"

struct tb;
struct version;
struct version_place;
struct versions;

struct versions *versions_new(void); /* NULL: out of memory */
void versions_free(struct versions *vs);

/* Where blocks with this key start; NULL: it is not worth while to keep versions there. */
struct version_place *versions_place(struct versions *vs, ram_off_t phys, gva_t pc, uint32_t flags);
/* The version that is in memory now. The page is armed, and its generation is looked at when the copy is published. */
const struct version *versions_find(struct version_place *p);

/*
 * Of a block of that place that has not been published. The bytes are read from memory: keep it only if the block could be published, which says
 * that they have not changed since it was translated. NULL: this block cannot be kept, or out of memory.
 */
struct version *version_make(const struct tb *tb, const struct backend_code *code);
void versions_keep(struct versions *vs, struct version_place *p, struct version *v);
void version_free(struct version *v); /* NULL is allowed */

size_t version_code_size(const struct version *v);
/* A block with code at rx in the segment, where version_code_size() bytes are free. NULL: out of memory. */
struct tb *version_copy(const struct version *v, struct code_segment *seg, uint8_t *rx);

#endif
