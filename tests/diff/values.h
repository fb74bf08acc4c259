/* SPDX-License-Identifier: MIT */
/*
 * Values worth computing with: edges of each width, denormals, infinities, NaN payloads, unnormal extended reals.
 */
#ifndef COHORT_TESTS_DIFF_VALUES_H
#define COHORT_TESTS_DIFF_VALUES_H

#include <stddef.h>

#include "diff/rng.h"

uint64_t value_int(struct rng *r);
uint32_t value_f32(struct rng *r);
uint64_t value_f64(struct rng *r);
void value_f80(struct rng *r, uint8_t out[10]);
void value_bcd(struct rng *r, uint8_t out[10]);
void value_vec(struct rng *r, uint8_t out[16]);
/* Any of the above, to fill memory with. */
void value_bytes(struct rng *r, uint8_t *out, size_t len);

#endif
