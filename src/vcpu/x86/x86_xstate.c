/* SPDX-License-Identifier: MIT */
/*
 * The FPU image, see x86_xstate.h.
 */
#include "vcpu/x86/x86_xstate.h"

#include "tcg/backend.h"
#include "vcpu/x86/x86_x87.h"

void x86_fx_set_top(uint8_t *image, unsigned top)
{
	uint16_t fsw = x86_fx_get(image, X86_FX_FSW);
	unsigned by = (top - (fsw >> X86_FSW_TOP_SHIFT)) & 7;
	uint8_t old[8][16];

	memcpy(old, image + X86_FX_ST, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(image + X86_FX_ST + 16 * i, old[(i + by) & 7], 16);
	x86_fx_set(image, X86_FX_FSW, (uint16_t)((fsw & ~(7u << X86_FSW_TOP_SHIFT)) | top << X86_FSW_TOP_SHIFT));
}

void x86_fx_init(uint8_t *image)
{
	x86_fx_set_top(image, 0);
	memset(image, 0, X86_FX_MXCSR);
	x86_fx_set(image, X86_FX_FCW, 0x37f);
}

void x86_fpu_reset(struct x86_cpu *c)
{
	struct tcg_env *env = &c->vcpu.env;

	memset(env->fpu_image, 0, sizeof(env->fpu_image));
	x86_fx_init(env->fpu_image);
	x86_fpu_write_pointers(env);
	env->mxcsr = X86_MXCSR_INIT;
	c->xcr0 = X86_XS_X87;
}

/*
 * Instruction and operand pointers live in env, see tcg/env.h; the image shows them. The instruction's is an offset in the code segment of the time
 * when it ran.
 */
void x86_fpu_read_pointers(struct tcg_env *env)
{
	uint64_t ip = env->fpu_pc;

	if (env->fpu_op & TCG_FPU_LINEAR && x86_cpu(env)->fpu_cs_base)
		ip = (uint32_t)(ip - x86_cpu(env)->fpu_cs_base);
	x86_fx_set(env->fpu_image, X86_FX_FOP, env->fpu_op & X86_FOP_MASK);
	memcpy(env->fpu_image + X86_FX_FIP, &ip, 8);
	memcpy(env->fpu_image + X86_FX_FDP, &env->fpu_data, 8);
}

void x86_fpu_write_pointers(struct tcg_env *env)
{
	env->fpu_op = x86_fx_get(env->fpu_image, X86_FX_FOP) & X86_FOP_MASK;
	memcpy(&env->fpu_pc, env->fpu_image + X86_FX_FIP, 8);
	memcpy(&env->fpu_data, env->fpu_image + X86_FX_FDP, 8);
}

void x86_fpu_cs_moved(struct x86_cpu *c, gva_t base)
{
	struct tcg_env *env = &c->vcpu.env;

	if (env->fpu_op & TCG_FPU_LINEAR) {
		env->fpu_op &= ~TCG_FPU_LINEAR;
		if (c->fpu_cs_base)
			env->fpu_pc = (uint32_t)(env->fpu_pc - c->fpu_cs_base);
	}
	c->fpu_cs_base = base;
}

void x86_fpu_read(struct tcg_env *env)
{
	tcg_backend->fpu_save(env);
	x86_fpu_read_pointers(env);
}

bool x86_fpu_pending(const struct tcg_env *env)
{
	return env->fpu_in_host ? tcg_backend->fpu_pending() : x86_fx_pending(env->fpu_image);
}

void x86_fpu_written(struct tcg_env *env)
{
	x86_fpu_write_pointers(env);
	tcg_backend->fpu_load(env);
}

/* Any offsets would do, CPUID tells them. These are Intel's. */
static const struct {
	uint16_t size, offset;
} components_at[X86_XSC_COUNT] = {
	[X86_XSC_AVX] = { 256, X86_XS_EXTENDED }, [X86_XSC_OPMASK] = { 64, 1088 },     [X86_XSC_ZMM] = { 512, 1152 },
	[X86_XSC_ZMM_MORE] = { 1024, 1664 },      [X86_XSC_PKRU] = { 8, 2688 },
};

uint32_t x86_xsave_component(unsigned i, uint32_t *offset)
{
	if (i >= X86_XSC_COUNT)
		return *offset = 0;
	*offset = components_at[i].offset;
	return components_at[i].size;
}

uint32_t x86_xsave_offset(unsigned i, bool compact, uint64_t components)
{
	uint32_t offset = X86_XS_EXTENDED;

	if (!compact)
		return components_at[i].offset;
	for (unsigned k = 2; k < i; k++)
		if (components >> k & 1)
			offset += components_at[k].size;
	return offset;
}

uint32_t x86_xsave_size(uint64_t components, bool compact)
{
	uint32_t size = X86_XS_EXTENDED;

	for (unsigned i = 2; i < X86_XSC_COUNT; i++) {
		uint32_t end = x86_xsave_offset(i, compact, components) + components_at[i].size;

		if ((components >> i & 1) && size < end)
			size = end;
	}
	return size;
}
