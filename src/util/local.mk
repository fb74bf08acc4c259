# SPDX-License-Identifier: MIT
noinst_LIBRARIES += src/util/libutil.a
src_util_libutil_a_SOURCES = \
	src/util/bitops.h \
	src/util/cost.h \
	src/util/cost_ops.def \
	src/util/err.c \
	src/util/err.h \
	src/util/jitter.c \
	src/util/jitter.h \
	src/util/list.h \
	src/util/lock.c \
	src/util/lock.h \
	src/util/lock_ranks.def \
	src/util/log.c \
	src/util/log.h \
	src/util/log_items.def \
	src/util/rcu.c \
	src/util/rcu.h \
	src/util/futex.h \
	src/util/stat_times.def \
	src/util/stats.c \
	src/util/stats.def \
	src/util/stats.h \
	src/util/tsan.h \
	src/util/types.h \
	src/util/vcpu_set.h
