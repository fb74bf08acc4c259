# SPDX-License-Identifier: MIT
check_scripts += tests/bench/usl-test
