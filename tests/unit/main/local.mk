# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/main/test_keyval \
	tests/unit/main/test_monitor \
	tests/unit/main/test_options

# main is no library: each test names the files it needs and fakes the rest.
tests_unit_main_test_keyval_SOURCES = \
	src/main/keyval.c \
	tests/unit/main/test_keyval.c
tests_unit_main_test_keyval_LDADD = $(LIBS_UTIL) $(CMOCKA_LIBS)
tests_unit_main_test_monitor_SOURCES = \
	src/main/keyval.c \
	src/main/monitor.c \
	tests/unit/main/test_monitor.c
tests_unit_main_test_monitor_LDADD = $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_main_test_options_SOURCES = \
	src/main/keyval.c \
	src/main/numa_options.c \
	src/main/option_handlers.c \
	src/main/options.c \
	tests/unit/main/test_options.c
tests_unit_main_test_options_LDADD = $(LIBS_SCHED) $(CMOCKA_LIBS)
