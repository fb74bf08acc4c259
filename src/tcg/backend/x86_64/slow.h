/* SPDX-License-Identifier: MIT */
/*
 * Pieces that the makers of shared stubs (entry.c, slow.c) have in common. Set-up time only.
 */
#ifndef COHORT_TCG_X86_64_SLOW_H
#define COHORT_TCG_X86_64_SLOW_H

#include "tcg/backend/x86_64/asm.h"
#include "tcg/backend/x86_64/stubs.h"
#include "tcg/backend/x86_64/vec.h"
#include "tcg/guest.h"

void stub_save_pins(struct as *s, uint32_t mask);
void stub_load_pins(struct as *s, uint32_t mask);
void stub_flags_to_c(struct as *s); /* env.flags from env.be_flags; rax and EFLAGS are lost */
void stub_to_c_stack(struct as *s);
void stub_from_c_stack(struct as *s);
void stub_call_reg(struct as *s, unsigned reg);

void stub_vec_spill(struct as *s); /* on the C stack, EFLAGS lost: vectors are in env behind it */
void stub_vec_fill(struct as *s, enum vec_level level); /* on the C stack, EFLAGS lost: live at that level, if it is not 0 */

void vec_emit(struct as *s, bool evex); /* vec.c: first of all, the others call it; evex: the host has AVX-512 */
void slow_emit(struct as *s); /* the slow paths of memory accesses */
void shortcut_emit(struct as *s, const struct guest_shortcut *guest); /* what needs no runtime call in the common case */

#endif
