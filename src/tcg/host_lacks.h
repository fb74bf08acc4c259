/* SPDX-License-Identifier: MIT */
/*
 * What the host's own instructions cannot do, of the groups of operations in backend.h.
 * Threads: any.
 */
#ifndef COHORT_TCG_HOST_LACKS_H
#define COHORT_TCG_HOST_LACKS_H

#include "util/types.h"

uint32_t host_lacks(void); /* BACKEND_* */

#endif
