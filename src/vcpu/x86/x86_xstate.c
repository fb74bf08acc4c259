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
	env->mxcsr = X86_MXCSR_INIT;
	c->xcr0 = X86_XS_X87;
}

/*
 * Instruction and operand pointers of a native engine are addresses of generated code and host memory, not the guest's: they read as zero,
 * as on a CPU that keeps them for unmasked exceptions only and forgets CS and DS.
 */
void x86_fpu_read(struct tcg_env *env)
{
	tcg_backend->fpu_save(env);
	if (tcg_backend->native)
		memset(env->fpu_image + X86_FX_FOP, 0, X86_FX_MXCSR - X86_FX_FOP);
}

void x86_fpu_written(struct tcg_env *env)
{
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
