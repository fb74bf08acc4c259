# SPDX-License-Identifier: MIT
noinst_LIBRARIES += src/tcg/libtcg.a
src_tcg_libtcg_a_SOURCES = \
	src/tcg/backend.h \
	src/tcg/backend/interp/interp.c \
	src/tcg/backend/interp/interp.h \
	src/tcg/backend/interp/interp_compile.c \
	src/tcg/backend/interp/interp_flow.c \
	src/tcg/backend/interp/interp_hot.c \
	src/tcg/backend/interp/interp_int.c \
	src/tcg/backend/interp/interp_mem.h \
	src/tcg/backend/interp/interp_select.c \
	src/tcg/backend/interp/interp_vec.c \
	src/tcg/cache/code_region.c \
	src/tcg/cache/code_region.h \
	src/tcg/cache/tb.h \
	src/tcg/cache/tb_cache.c \
	src/tcg/cache/tb_inval.c \
	src/tcg/cache/tb_link.c \
	src/tcg/cache/tb_private.h \
	src/tcg/cache/tb_reclaim.c \
	src/tcg/env.h \
	src/tcg/guest.h \
	src/tcg/ir/ir.h \
	src/tcg/ir/ir_build.c \
	src/tcg/ir/ir_eval.c \
	src/tcg/ir/ir_eval.h \
	src/tcg/ir/ir_eval_inline.h \
	src/tcg/ir/ir_info.c \
	src/tcg/ir/ir_ops.def \
	src/tcg/ir/ir_parse.c \
	src/tcg/ir/ir_parse.h \
	src/tcg/ir/ir_print.c \
	src/tcg/ir/ir_verify.c \
	src/tcg/ir/vec_crypto.c \
	src/tcg/ir/vec_eval.c \
	src/tcg/ir/vec_eval.h \
	src/tcg/ir/vec_fp.c \
	src/tcg/ir/vec_fp_host.c \
	src/tcg/ir/vec_int.c \
	src/tcg/ir/vec_lanes.def \
	src/tcg/ir/vec_ops.def \
	src/tcg/ir/vec_private.h \
	src/tcg/ir/vec_str.c \
	src/tcg/opt/dce.c \
	src/tcg/opt/fold.c \
	src/tcg/opt/liveness.c \
	src/tcg/opt/liveness.h \
	src/tcg/opt/opt.h \
	src/tcg/opt/pipeline.c \
	src/tcg/perfmap.c \
	src/tcg/perfmap.h \
	src/tcg/tcg.c \
	src/tcg/tcg.h \
	src/tcg/tcg_log.c \
	src/tcg/tcg_log.h \
	src/tcg/wander.c \
	src/tcg/wander.h

# The back end of this host.
if HOST_X86_64
src_tcg_libtcg_a_SOURCES += \
	src/tcg/backend/x86_64/asm.c \
	src/tcg/backend/x86_64/asm.h \
	src/tcg/backend/x86_64/cold.c \
	src/tcg/backend/x86_64/disasm.c \
	src/tcg/backend/x86_64/disasm.h \
	src/tcg/backend/x86_64/entry.c \
	src/tcg/backend/x86_64/flags.c \
	src/tcg/backend/x86_64/fpu_word.c \
	src/tcg/backend/x86_64/fpu_word.h \
	src/tcg/backend/x86_64/gen.h \
	src/tcg/backend/x86_64/lower.c \
	src/tcg/backend/x86_64/lower.def \
	src/tcg/backend/x86_64/lower_flow.c \
	src/tcg/backend/x86_64/lower_fpu.c \
	src/tcg/backend/x86_64/lower_int.c \
	src/tcg/backend/x86_64/lower_shift.c \
	src/tcg/backend/x86_64/lower_vec.c \
	src/tcg/backend/x86_64/mem.c \
	src/tcg/backend/x86_64/native.c \
	src/tcg/backend/x86_64/operand.c \
	src/tcg/backend/x86_64/patch.c \
	src/tcg/backend/x86_64/patch.h \
	src/tcg/backend/x86_64/regalloc.c \
	src/tcg/backend/x86_64/regs.def \
	src/tcg/backend/x86_64/regs.h \
	src/tcg/backend/x86_64/ret_stack.c \
	src/tcg/backend/x86_64/ret_stack.h \
	src/tcg/backend/x86_64/share.c \
	src/tcg/backend/x86_64/signals.c \
	src/tcg/backend/x86_64/slow.c \
	src/tcg/backend/x86_64/slow.h \
	src/tcg/backend/x86_64/stubs.h \
	src/tcg/backend/x86_64/vec.c \
	src/tcg/backend/x86_64/vec.h \
	src/tcg/backend/x86_64/vec_enc.def
endif
