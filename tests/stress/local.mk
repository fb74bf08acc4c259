# SPDX-License-Identifier: MIT
EXTRA_DIST += tests/stress/guest tests/stress/run
