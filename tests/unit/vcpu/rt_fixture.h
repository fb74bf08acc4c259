/* SPDX-License-Identifier: MIT */
/*
 * A CPU for runtime routines: four pages of flat memory at address 0 (the last one absent), ports, an interrupt controller's MSRs, and faults
 * that come back as values. Everything below the routines is replaced here; include it in one file of a program only.
 */
#ifndef COHORT_TESTS_UNIT_VCPU_RT_FIXTURE_H
#define COHORT_TESTS_UNIT_VCPU_RT_FIXTURE_H

#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "mem/aspace.h"
#include "mem/tlb.h"
#include "sched/clock.h"
#include "tcg/backend.h"
#include "util/err.h"
#include "vcpu/exec.h"
#include "vcpu/x86/decode/decode.h"
#include "vcpu/x86/rt/rt.h"
#include "vcpu/x86/x86_cpuid.h"
#include "vcpu/x86/x86_msr.h"
#include "vcpu/x86/x86_data_fault.h"
#include "vcpu/x86/x86_debug.h"
#include "vcpu/x86/x86_int.h"
#include "vcpu/x86/x86_segment.h"
#include "vcpu/x86/x86_smm.h"
#include "vcpu/x86/x86_vme.h"
#include "vcpu/x86/x86_x87.h"
#include "vcpu/x86/x86_xstate.h"

#define MEM_PAGES 3u
#define MEM_SIZE (MEM_PAGES * GUEST_PAGE_SIZE)
#define NO_FAULT (-1)

static uint8_t mem[MEM_SIZE] __attribute__((aligned(4096)));
static struct x86_cpu *cpu;
static struct tcg_env *env;
static jmp_buf fault_exit;
static bool io_allowed;
static uint64_t tsc, port_value;
static unsigned ferrs __attribute__((unused));
static unsigned timer_changes, flushes, mode_updates;

/* ---- What the routines call */

void vcpu_unwind(struct tcg_env *e)
{
	(void)e;
	longjmp(fault_exit, 1);
}

void x86_fault_raise_err(struct x86_cpu *c, enum x86_vector vec, uint32_t error)
{
	c->fault.raised = (struct x86_event){ .vector = (uint8_t)vec, .error = error };
	c->fault.pending = true;
	longjmp(fault_exit, 1);
}

void x86_fault_raise(struct x86_cpu *c, enum x86_vector vec)
{
	x86_fault_raise_err(c, vec, 0);
}

void x86_mode_update(struct x86_cpu *c)
{
	(void)c;
	mode_updates++;
}

static void *at(gva_t va, size_t len)
{
	if (va + len > MEM_SIZE)
		x86_fault_raise(cpu, X86_PF);
	return mem + va;
}

void *tlb_access_slow(struct tcg_env *e, gva_t va, unsigned size, enum tlb_access access, unsigned mode, unsigned slot, bool align)
{
	(void)access;
	(void)mode;
	(void)slot;
	if (align && va & (size - 1))
		x86_fault_raise(cpu, X86_GP);
	e->bounce_kind = TLB_BOUNCE_NONE;
	return at(va, size);
}

void tlb_commit(struct tcg_env *e)
{
	(void)e;
}

/* The second page is one that has to be accessed piece by piece. */
void *tlb_page_ptr(struct tcg_env *e, gva_t va, enum tlb_access access, unsigned mode)
{
	(void)e;
	(void)access;
	(void)mode;
	return at(va, 1) && va / GUEST_PAGE_SIZE == 1 ? NULL : mem + va;
}

uint64_t tlb_load(struct tcg_env *e, gva_t va, unsigned size, unsigned mode)
{
	uint64_t v = 0;

	(void)e;
	(void)mode;
	memcpy(&v, at(va, size), size);
	return v;
}

void tlb_store(struct tcg_env *e, gva_t va, uint64_t value, unsigned size, unsigned mode)
{
	(void)e;
	(void)mode;
	memcpy(at(va, size), &value, size);
}

void tlb_load_bytes(struct tcg_env *e, gva_t va, void *buf, size_t len, unsigned mode)
{
	(void)e;
	(void)mode;
	memcpy(buf, at(va, len), len);
}

void tlb_store_bytes(struct tcg_env *e, gva_t va, const void *buf, size_t len, unsigned mode)
{
	(void)e;
	(void)mode;
	memcpy(at(va, len), buf, len);
}

void tlb_flush_all(struct tcg_env *e)
{
	(void)e;
	flushes++;
}

/* Breakpoints: none hits here. */
void x86_debug_update(struct x86_cpu *c)
{
	(void)c;
}

void x86_debug_fetch(struct x86_cpu *c)
{
	(void)c;
}

void x86_debug_port(struct x86_cpu *c, uint16_t port, unsigned size)
{
	(void)c;
	(void)port;
	(void)size;
}

/* Alignment is not checked, no x87 exception waits. */
void x86_data_fault_check_alignment(struct x86_cpu *c, gva_t va, unsigned size)
{
	(void)c;
	(void)va;
	(void)size;
}

void x86_data_fault_check_x87(struct x86_cpu *c)
{
	(void)c;
}

void vcpu_ferr(void)
{
	ferrs++;
}

void vcpu_ignne(bool on)
{
	(void)on;
}

bool vcpu_ignne_is_on(void)
{
	return false;
}

bool x86_smm_leave(struct x86_cpu *c)
{
	(void)c;
	return true;
}

void x86_shutdown(struct x86_cpu *c, const char *why)
{
	(void)c;
	(void)why;
}

bool x86_vme_int(struct x86_cpu *c, uint8_t vector, gva_t next)
{
	(void)c;
	(void)vector;
	(void)next;
	return false;
}

bool x86_io_allowed(struct x86_cpu *c, uint16_t port, unsigned size)
{
	(void)c;
	(void)port;
	(void)size;
	return io_allowed;
}

uint64_t pio_read(uint16_t port, unsigned size)
{
	(void)size;
	return port_value + port;
}

void pio_write(uint16_t port, uint64_t value, unsigned size)
{
	port_value = value | (uint64_t)port << 32 | (uint64_t)size << 48;
}

uint64_t vcpu_tsc_read(const struct vcpu *v)
{
	return tsc + ((const struct x86_cpu *)v)->tsc_adjust;
}

void vcpu_timer_changed(struct vcpu *v)
{
	(void)v;
	timer_changes++;
}

/* The test may fill in others. */
struct vcpu **vcpus;
unsigned nr_vcpus;
static uint32_t requests __attribute__((unused));

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	(void)v;
	requests |= bits;
}

static int intc_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)v;
	*value = msr == 0x1b ? 0xfee00900 : msr;
	return 0;
}

static int intc_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	(void)v;
	(void)msr;
	return value == 0xbad ? -1 : 0;
}

static const struct intc_ops fake_intc = { .msr_read = intc_msr_read, .msr_write = intc_msr_write };

static void fpu_nothing(struct tcg_env *e)
{
	(void)e;
}

static const struct backend fake_backend = { .name = "fake", .fpu_save = fpu_nothing, .fpu_load = fpu_nothing };
const struct backend *tcg_backend = &fake_backend;

/* ---- For the tests */

/* The vector that a call raised, or NO_FAULT. */
#define FAULT_OF(call) (cpu->fault.pending = false, setjmp(fault_exit) ? (int)cpu->fault.raised.vector : ((void)(call), NO_FAULT))

#define assert_fault(vec, call) assert_int_equal(FAULT_OF(call), vec)
#define assert_runs(call) assert_int_equal(FAULT_OF(call), NO_FAULT)

static int cpu_model(const char *model)
{
	struct vcpu_config config = { .nr = 8, .sockets = 2, .cores = 3, .threads = 2, .cpu_model = model };
	struct err err;

	return x86_cpuid_init(cpu, 0, &config, &err);
}

static int rt_setup(void **state)
{
	(void)state;
	clock_init();
	if (!cpu)
		cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~(size_t)63);
	if (!cpu)
		return -1;
	memset(cpu, 0, sizeof(*cpu));
	env = &cpu->vcpu.env;
	cpu->vcpu.intc = &fake_intc;
	cpu->tb_flags = X86_MODE_64;
	cpu->efer = X86_EFER_LME | X86_EFER_LMA;
	cpu->cr0 = X86_CR0_PE | X86_CR0_PG;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
	memset(mem, 0xcc, sizeof(mem));
	io_allowed = true;
	tsc = 1000000;
	x86_msr_reset(cpu);
	x86_fpu_reset(cpu);
	return cpu_model("max");
}

static int rt_end(void **state)
{
	(void)state;
	free(cpu);
	cpu = NULL;
	return 0;
}

#endif
