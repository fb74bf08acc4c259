# SPDX-License-Identifier: MIT
bin_PROGRAMS += cohort
cohort_SOURCES = \
	src/main/gdb.h \
	src/main/gdb_cmd.c \
	src/main/gdb_monitor.c \
	src/main/gdb_server.c \
	src/main/keyval.c \
	src/main/keyval.h \
	src/main/machine.c \
	src/main/machine.h \
	src/main/main.c \
	src/main/monitor.c \
	src/main/monitor.h \
	src/main/numa_options.c \
	src/main/numa_options.h \
	src/main/option_handlers.c \
	src/main/option_handlers.h \
	src/main/options.c \
	src/main/options.def \
	src/main/options.h \
	src/main/options_foreign.def \
	src/main/version.h
cohort_CPPFLAGS = $(AM_CPPFLAGS) -DCOHORT_VERSION='"$(VERSION)"'
cohort_LDADD = $(LIBS_HW)
