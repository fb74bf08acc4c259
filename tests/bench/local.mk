# SPDX-License-Identifier: MIT
check_scripts += tests/bench/scale-test tests/bench/usl-test
