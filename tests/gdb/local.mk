# SPDX-License-Identifier: MIT
check_scripts += tests/gdb/run
slow_tests += tests/gdb/run
EXTRA_DIST += tests/gdb/client.py tests/gdb/storm
