# SPDX-License-Identifier: MIT
noinst_LIBRARIES += src/sched/libsched.a
src_sched_libsched_a_SOURCES = \
	src/sched/clock.c \
	src/sched/clock.h \
	src/sched/cpu_thread.c \
	src/sched/cpu_thread.h \
	src/sched/evloop.c \
	src/sched/evloop.h \
	src/sched/host_cpu.c \
	src/sched/host_cpu.h \
	src/sched/host_topology.c \
	src/sched/host_topology.h \
	src/sched/numa.c \
	src/sched/numa.h \
	src/sched/placement.c \
	src/sched/placement.h \
	src/sched/placement_plan.c \
	src/sched/placement_plan.h \
	src/sched/timer.c \
	src/sched/timer.h \
	src/sched/timer_queue.h
