# SPDX-License-Identifier: MIT
EXTRA_DIST += tests/support/test.h tests/support/tsan.supp tests/unit/mem/fake_code_watch.h
