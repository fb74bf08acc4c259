# SPDX-License-Identifier: MIT
include tests/meta/local.mk
include tests/models/local.mk
include tests/support/local.mk
include tests/unit/util/local.mk
include tests/unit/sched/local.mk
include tests/unit/mem/local.mk
include tests/unit/tcg/local.mk
include tests/unit/vcpu/local.mk
include tests/unit/hw/local.mk
include tests/unit/main/local.mk
include tests/diff/local.mk
include tests/gdb/local.mk
include tests/guest/x86/local.mk
include tests/stress/local.mk
include tests/bench/local.mk
