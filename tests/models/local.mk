# SPDX-License-Identifier: MIT
check_scripts += tests/models/run.sh
slow_tests += tests/models/run.sh
