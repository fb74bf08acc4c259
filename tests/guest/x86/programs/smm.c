/* SPDX-License-Identifier: MIT */
/*
 * System-management mode (AMD64 manual vol. 2, chapter 10; Intel SDM vol. 3, chapter 33): entry by an APIC message and by the APM port, what
 * the handler finds, RSM, relocation of SMBASE, an SMI in HLT, NMIs and INIT held back until RSM.
 */
#include "rt64.h"

#define SMBASE	   0x30000ul
#define NEW_SMBASE 0x40000ul
#define ICR_SMI	   0x200u

static volatile struct {
	uint32_t count, esp, cr0, cr4, eflags, cs, efer, dr7;
	uint32_t new_smbase, smbase, mark, send_nmi, hold, turns, left, apic_id;
} *const out = (void *)0x60000;

extern const uint8_t smi_handler[], smi_handler_end[];

struct sum {
	uint64_t sum, flags;
};
struct sum smi_registers(volatile uint32_t *icr, uint32_t count); /* smm_code.S */

static void prepare(void)
{
	memset((void *)out, 0, sizeof(*out));
	out->smbase = SMBASE;
	memcpy((void *)(SMBASE + 0x8000), smi_handler, (size_t)(smi_handler_end - smi_handler));
	memcpy((void *)(NEW_SMBASE + 0x8000), smi_handler, (size_t)(smi_handler_end - smi_handler));
}

static uint64_t area(unsigned long smbase, unsigned off, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)(smbase + off), size);
	return v;
}

static void send(void)
{
	uint32_t next = out->count + 1;

	apic_send(this_cpu()->apic_id, ICR_SMI | ICR_ASSERT);
	while (out->count != next)
		cpu_pause();
}

static void entry_and_return(void)
{
	uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER), dr7;
	struct sum s;

	prepare();
	asm volatile("mov %0, %%dr7" : : "r"(0x401ul));
	apic_write(APIC_ICR_HIGH, this_cpu()->apic_id << 24);
	s = smi_registers((volatile uint32_t *)(0xfee00000ul + APIC_ICR_LOW), 1);
	asm volatile("mov %%dr7, %0" : "=r"(dr7));
	asm volatile("mov %0, %%dr7" : : "r"(0x400ul));
	CHECK_EQ(s.sum, 0x1111111111111111ul * (1 + 2 + 3 + 4 + 5 + 8 + 9 + 10 + 11 + 12 + 13 + 14 + 15));
	CHECK(s.flags & FL_DF);
	CHECK_EQ(out->count, 1);
	CHECK_EQ(out->cr0, (uint32_t)cr0 & ~(CR0_PE | CR0_PG | CR0_TS | 4));
	CHECK_EQ(out->cr4, 0);
	CHECK_EQ(out->efer, 0);
	CHECK_EQ(out->eflags & ~0x8d5u, FL_FIXED);
	CHECK_EQ(out->cs, SMBASE >> 4);
	CHECK_EQ(out->dr7, 0x400);
	CHECK_EQ(dr7, 0x401);
	CHECK_EQ(read_cr0(), cr0);
	CHECK_EQ(read_cr3(), cr3);
	CHECK_EQ(read_cr4(), cr4);
	CHECK_EQ(rdmsr(MSR_EFER), efer);
	CHECK_EQ(area(SMBASE, 0xfefc, 4), 0x20064);
	CHECK_EQ(area(SMBASE, 0xff00, 4), SMBASE);
	CHECK_EQ(area(SMBASE, 0xff58, 8), cr0);
	CHECK_EQ(area(SMBASE, 0xff50, 8), cr3);
	CHECK_EQ(area(SMBASE, 0xfff8, 8), 0x1111111111111111);
	CHECK_EQ(area(SMBASE, 0xff80, 8), ~0ul);
	CHECK_EQ(area(SMBASE, 0xfe10, 2), SEL_KCODE);
	CHECK(area(SMBASE, 0xff78, 8) - (uint64_t)smi_registers < 512);
	CHECK_EQ(area(SMBASE, 0xfec9, 1), 0);
}

/* What the handler writes to the save area is what the program goes on with. */
static void changes(void)
{
	uint64_t rax = 0;
	uint32_t next;

	prepare();
	next = out->count + 1;
	out->mark = 0xdecade;
	apic_write(APIC_ICR_HIGH, this_cpu()->apic_id << 24);
	asm volatile("movl %2, (%1)\n"
		     "1: cmpl %3, 0x60000\n\t"
		     "jne 1b"
		     : "+a"(rax)
		     : "D"(0xfee00000ul + APIC_ICR_LOW), "r"(ICR_SMI | ICR_ASSERT), "r"(next)
		     : "memory", "cc");
	CHECK_EQ((uint32_t)rax, 0xdecade);
}

static void relocation(void)
{
	prepare();
	out->new_smbase = NEW_SMBASE;
	send();
	CHECK_EQ(out->cs, SMBASE >> 4);
	out->smbase = NEW_SMBASE;
	out->new_smbase = 0;
	memset((void *)(NEW_SMBASE + 0xfe00), 0, 0x200);
	send();
	CHECK_EQ(out->cs, NEW_SMBASE >> 4);
	CHECK_EQ(area(NEW_SMBASE, 0xff00, 4), NEW_SMBASE);
	out->new_smbase = SMBASE;
	send();
	out->new_smbase = 0;
	prepare();
	send();
	CHECK_EQ(out->cs, SMBASE >> 4);
}

static bool woken;

static bool on_wake(struct regs *r)
{
	(void)r;
	woken = true;
	apic_eoi();
	return true;
}

/* HLT is entered again; an interrupt ends it. */
static void halted(void)
{
	prepare();
	trap_set_handler(0x60, on_wake);
	woken = false;
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, 0x60);
	apic_write(APIC_ICR_HIGH, this_cpu()->apic_id << 24);
	apic_write(APIC_ICR_LOW, ICR_SMI | ICR_ASSERT);
	apic_write(APIC_TIMER_COUNT, 3000000);
	while (!woken)
		irq_on_halt();
	irq_off();
	CHECK_EQ(out->count, 1);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	trap_set_handler(0x60, NULL);
}

static volatile unsigned nmis, count_at_nmi;

static bool on_nmi(struct regs *r)
{
	nmis++;
	count_at_nmi = r->cs == SEL_KCODE ? out->count : 0;
	return true;
}

static void nmi_waits(void)
{
	prepare();
	trap_set_handler(VEC_NMI, on_nmi);
	nmis = 0;
	out->send_nmi = 1;
	send();
	while (!nmis)
		cpu_pause();
	CHECK_EQ(nmis, 1);
	CHECK_EQ(count_at_nmi, 1);
	trap_set_handler(VEC_NMI, NULL);
}

#define START 0x50000ul /* page where the other CPU starts */

/* INIT waits for RSM; a start-up does not. Then the CPU waits for one. */
static void init_waits(void)
{
	static const uint8_t mark_and_halt[] = {0x2e, 0xc7, 0x06, 0x00, 0x01, 0x34, 0x12, 0xfa, 0xf4, 0xeb, 0xfd}; /* movw $0x1234, %cs:0x100 */
	volatile uint16_t *mark = (volatile uint16_t *)(START + 0x100);
	uint32_t turns;

	if (smp_start() < 2)
		return test_skip("one CPU");
	prepare();
	memcpy((void *)START, mark_and_halt, sizeof(mark_and_halt));
	*mark = 0;
	out->hold = 1;
	apic_send(cpus[1].apic_id, ICR_SMI);
	while (out->count != 1)
		cpu_pause();
	apic_send(cpus[1].apic_id, ICR_INIT);
	apic_send(cpus[1].apic_id, ICR_SIPI | START >> 12);
	delay_us(3000);
	turns = out->turns;
	while (out->turns == turns) /* still in the handler */
		cpu_pause();
	CHECK_EQ(*mark, 0);
	out->hold = 0;
	while (!out->left)
		cpu_pause();
	delay_us(1000);
	CHECK_EQ(*mark, 0); /* the start-up is lost; one behind RSM is not */
	for (uint64_t end = tsc_after_ms(PATIENCE_MS); !*mark && rdtsc() < end;) {
		apic_send(cpus[1].apic_id, ICR_SIPI | START >> 12);
		delay_us(100);
	}
	CHECK_EQ(*mark, 0x1234);
	cpu_reset_to_idle(&cpus[1]);
}

static uint32_t pci_address(unsigned devfn, unsigned reg)
{
	return 0x80000000u | devfn << 8 | (reg & ~3u);
}

/*
 * The host bridge hides A0000-BFFFF from all but the management mode, until it is opened; locked, it stays hidden until reset.
 */
#define SMRAM	   0xa0000ul
#define SMRAM_ON   0x0au
#define SMRAM_OPEN 0x4au
#define SMRAM_LOCK 0x1au

static void smram(unsigned how)
{
	outl(0xcf8, pci_address(0, 0x72));
	outb(0xcfc + 2, (uint8_t)how);
}

static void hidden_memory(void)
{
	size_t size = (size_t)(smi_handler_end - smi_handler);
	volatile uint64_t *p = (volatile uint64_t *)SMRAM;

	outl(0xcf8, pci_address(0, 0));
	if (inl(0xcfc) != 0x12378086)
		return test_skip("no 440FX");
	prepare();
	smram(SMRAM_OPEN);
	p[0] = 0x1122334455667788;
	CHECK_EQ(p[0], 0x1122334455667788);
	memset((void *)(SMRAM + 0x8000), 0, 0x8000);
	memcpy((void *)(SMRAM + 0x8000), smi_handler, size);
	smram(SMRAM_ON);
	CHECK(p[0] != 0x1122334455667788);
	CHECK(memcmp((void *)(SMRAM + 0x8000), smi_handler, size));
	p[0] = 0;
	memset((void *)(SMRAM + 0x8000), 0, size);
	smram(SMRAM_OPEN);
	CHECK_EQ(p[0], 0x1122334455667788);
	smram(SMRAM_ON);
	/* The handler there. */
	out->new_smbase = SMRAM;
	send();
	out->new_smbase = 0;
	out->smbase = SMRAM;
	send();
	CHECK_EQ(out->cs, SMRAM >> 4);
	smram(SMRAM_OPEN);
	CHECK_EQ(area(SMRAM, 0xff00, 4), SMRAM);
	CHECK_EQ(area(SMRAM, 0xfefc, 4), 0x20064);
	smram(0x02); /* off: the handler would not be there */
	CHECK(p[0] != 0x1122334455667788);
	smram(SMRAM_LOCK | 0x40);
	CHECK_EQ(inb(0xcfc + 2), SMRAM_LOCK);
	smram(SMRAM_OPEN);
	CHECK_EQ(inb(0xcfc + 2), SMRAM_LOCK);
	CHECK(p[0] != 0x1122334455667788);
	out->new_smbase = SMBASE;
	send();
	out->new_smbase = 0;
	prepare();
	send();
	CHECK_EQ(out->cs, SMBASE >> 4);
}

static void write_apm_port(void *unused)
{
	(void)unused;
	if (this_cpu() != &cpus[nr_cpus - 1])
		return;
	outb(0xb2, 0x56);
	while (!out->left)
		cpu_pause();
}

/* Whoever writes the port, the first CPU takes the SMI, as with QEMU: firmware has moved no other CPU's SMBASE, and all would save to one place. */
static void apm_port(void)
{
	uint32_t id, old;

	outl(0xcf8, pci_address(1 << 3 | 3, 0));
	id = inl(0xcfc);
	if (id != 0x71138086)
		return test_skip("no PIIX4");
	prepare();
	outb(0xb3, 0x77);
	outb(0xb2, 0x55);
	CHECK_EQ(out->count, 0); /* not enabled */
	outl(0xcf8, pci_address(1 << 3 | 3, 0x58));
	old = inl(0xcfc);
	outl(0xcfc, old | 1u << 25);
	outb(0xb2, 0x56);
	while (!out->left)
		cpu_pause();
	CHECK_EQ(out->count, 1);
	CHECK_EQ(out->apic_id >> 24, cpus[0].apic_id);
	prepare();
	out->apic_id = ~0u;
	smp_run(smp_start(), write_apm_port, NULL);
	CHECK_EQ(out->count, 1);
	CHECK_EQ(out->apic_id >> 24, cpus[0].apic_id);
	CHECK_EQ(inb(0xb2), 0x56);
	CHECK_EQ(inb(0xb3), 0x77);
	outl(0xcf8, pci_address(1 << 3 | 3, 0x58));
	outl(0xcfc, old);
}

asm("smm_rsm: rsm; ret\n");

static void outside(void)
{
	extern void smm_rsm(void);
	struct trap t;

	CHECK_EQ(trap_of(smm_rsm, &t), VEC_UD);
}

/* clang-format off */
const struct rt_test rt_tests[] = {
	RT_TEST(entry_and_return),
	RT_TEST(changes),
	RT_TEST(relocation),
	RT_TEST(halted),
	RT_TEST(nmi_waits),
	RT_TEST(init_waits),
	RT_TEST(apm_port),
	RT_TEST(outside),
	RT_TEST(hidden_memory),
	{0},
};
