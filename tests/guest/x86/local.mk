# SPDX-License-Identifier: MIT
check_scripts += tests/guest/x86/run
slow_tests += tests/guest/x86/run
