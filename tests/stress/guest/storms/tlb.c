/* SPDX-License-Identifier: MIT */
/*
 * TLB storm: CPUs change page-table entries of small windows and shoot the old translations down by interrupt, each
 * receiver by INVLPG, CR3, CR4.PGE or INVPCID, with PCIDs in use (Intel SDM vol. 3, 4.10). After the last
 * acknowledgement nobody may use the old translation: not to read, to write or to execute, nor write a page that has
 * become read-only. Others probe the windows all the time; a look counts if the window's epoch stayed the same.
 *
 * A frame that nobody can write any more is frozen: its checksum must be the same when it comes back into use.
 */
#include "storms.h"

#define WINDOWS	 32
#define VEC_TLB	 0xe0
#define NR_PCIDS 4
#define FAULTED	 (~0ul)
#define SLOTS	 16 /* index of the first of the words that CPUs write */

enum state { MAPPED, READ_ONLY, ABSENT, NR_STATES };
enum flush { BY_INVLPG, BY_CR3, BY_PGE, BY_INVPCID, NR_FLUSHES };

struct window {
	volatile int32_t lock;
	volatile uint32_t epoch; /* odd while the mapping is in doubt */
	volatile uint32_t state, frame;
	volatile uint32_t acks;
	uint32_t how;
	bool global;
	uint8_t *va;
	uint64_t *frames[2];
	bool frozen[2];
	uint64_t sum[2];
} __attribute__((aligned(64)));

static struct window windows[WINDOWS];
static volatile uint64_t mail[MAX_CPUS]; /* windows to be flushed */
static uint8_t stale_pcids[MAX_CPUS];	 /* [owner, interrupts off] */
static bool have_pcid, have_invpcid;

/* Accesses at known places, which the page-fault handler steps over. */
uint64_t tlb_load(const void *p), tlb_store(void *p, uint64_t v), tlb_call(const void *p);
extern const uint8_t tlb_load_at[], tlb_store_at[], tlb_faulted[];
asm("	.text\n"
    "tlb_load:\n"
    "tlb_load_at:\n"
    "	movq	(%rdi), %rax\n"
    "	ret\n"
    "tlb_store:\n"
    "	xorl	%eax, %eax\n"
    "tlb_store_at:\n"
    "	movq	%rsi, (%rdi)\n"
    "	ret\n"
    "tlb_call:\n"
    "	xorl	%eax, %eax\n"
    "	call	*%rdi\n"
    "	ret\n"
    "tlb_faulted:\n"
    "	movq	$-1, %rax\n"
    "	ret\n");

static bool in_windows(uint64_t va)
{
	return va - (uint64_t)windows[0].va < WINDOWS * PAGE;
}

/* Fetches fault at their first byte, with the return address on the stack. */
static bool on_page_fault(struct regs *r)
{
	if (r->rip != (uint64_t)tlb_load_at && r->rip != (uint64_t)tlb_store_at && !in_windows(r->rip))
		return false;
	r->rip = (uint64_t)tlb_faulted;
	return true;
}

static void invpcid_all(void)
{
	static const uint64_t none[2];

	asm volatile("invpcid %0, %1" : : "m"(none), "r"(2ul) : "memory");
}

/* Interrupts off. INVLPG and CR3 are of the current PCID: the others are flushed before their next use. */
static void flush(const struct window *w)
{
	uint32_t how = w->how;

	if (how == BY_INVPCID && !have_invpcid)
		how = BY_PGE;
	if (how == BY_CR3 && w->global)
		how = BY_INVLPG;
	switch (how) {
	case BY_INVLPG:
		invlpg(w->va);
		break;
	case BY_CR3:
		write_cr3(read_cr3());
		break;
	case BY_PGE:
		tlb_flush_all();
		return;
	default:
		invpcid_all();
		return;
	}
	stale_pcids[this_cpu()->index] = 0xff & ~(1u << (read_cr3() & 7));
}

static bool on_shoot(struct regs *r)
{
	uint64_t bits = __atomic_exchange_n(&mail[this_cpu()->index], 0, __ATOMIC_SEQ_CST);

	(void)r;
	for (; bits; bits &= bits - 1) {
		struct window *w = &windows[__builtin_ctzll(bits)];

		flush(w);
		__atomic_add_fetch(&w->acks, 1, __ATOMIC_SEQ_CST);
	}
	apic_eoi();
	return true;
}

static void shoot_down(struct worker *me, struct window *w)
{
	uint64_t bit = 1ull << (w - windows), held = 0;
	uint32_t sent = 0;

	w->acks = 0;
	for (unsigned c = 0; c < storm_cpus; c++) {
		if (c == me->index || !cpu_hold(c))
			continue;
		held |= 1ull << c;
		sent++;
		if (!__atomic_fetch_or(&mail[c], bit, __ATOMIC_SEQ_CST))
			apic_send(cpus[c].apic_id, VEC_TLB);
	}
	irq_off();
	flush(w);
	irq_on();
	storm_wait(me, &w->acks, sent, "acknowledgements of a TLB shoot-down", MAX_CPUS);
	for (; held; held &= held - 1)
		cpu_release((unsigned)__builtin_ctzll(held));
}

static uint64_t checksum(const uint64_t *frame)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < SLOTS + MAX_CPUS; i++)
		sum = sum * 31 + ((const volatile uint64_t *)frame)[i];
	return sum;
}

static void check_frozen(struct worker *me, struct window *w, unsigned f)
{
	if (w->frozen[f] && checksum(w->frames[f]) != w->sum[f])
		STALE("stale translation, seen by CPU %u: window %u: a frame was written after its shoot-down",
		      me->index, (unsigned)(w - windows));
}

static void fill(uint64_t *frame, uint32_t epoch)
{
	frame[0] = epoch;
	put_function((uint8_t *)frame + 64, epoch);
}

static void change(struct worker *me, struct window *w)
{
	static const uint64_t bits[NR_STATES] = {PTE_P | PTE_W, PTE_P, 0};
	uint32_t epoch = w->epoch, old = w->frame, frame = pick(me, 4) ? !old : old, state = pick(me, NR_STATES);

	if (!try_write(&w->lock))
		return;
	epoch = w->epoch;
	old = w->frame;
	check_frozen(me, w, 0);
	check_frozen(me, w, 1);
	__atomic_store_n(&w->epoch, epoch + 1, __ATOMIC_SEQ_CST);
	w->frozen[frame] = false;
	fill(w->frames[frame], epoch + 2);
	w->how = pick(me, NR_FLUSHES);
	__atomic_store_n(pte_of(windows[0].va) + (w - windows),
			 (uint64_t)w->frames[frame] | bits[state] | (w->global ? PTE_G : 0), __ATOMIC_SEQ_CST);
	shoot_down(me, w);
	w->frame = frame;
	w->state = state;
	for (unsigned f = 0; f < 2; f++) {
		w->frozen[f] = f != frame || state != MAPPED;
		w->sum[f] = checksum(w->frames[f]);
	}
	__atomic_store_n(&w->epoch, epoch + 2, __ATOMIC_SEQ_CST);
	end_write(&w->lock);
	me->ops[STORM_TLB]++;
}

static void look(struct worker *me, struct window *w)
{
	uint32_t epoch = __atomic_load_n(&w->epoch, __ATOMIC_SEQ_CST), state = w->state;
	uint64_t *page = (uint64_t *)w->va, *mine = &w->frames[w->frame][SLOTS + me->index];
	uint64_t value = random_next(&me->seed), data, code, stored, back;

	data = tlb_load(page);
	stored = tlb_store(page + SLOTS + me->index, value);
	back = *(volatile uint64_t *)mine;
	code = tlb_call((uint8_t *)page + 64);
	if ((epoch & 1) || __atomic_load_n(&w->epoch, __ATOMIC_SEQ_CST) != epoch)
		return;
	me->ops[STORM_TLB]++;
	if (data != (state == ABSENT ? FAULTED : epoch) || code != (state == ABSENT ? FAULTED : epoch))
		STALE("stale translation on CPU %u: window %u, state %u, epoch %u: data of %lu, code of %lu", me->index,
		      (unsigned)(w - windows), state, epoch, data, code);
	if (stored != (state == MAPPED ? 0 : FAULTED) || (state == MAPPED && back != value))
		STALE("stale translation on CPU %u: window %u, state %u, epoch %u: store gave %lx, memory %lx for %lx",
		      me->index, (unsigned)(w - windows), state, epoch, stored, back, value);
}

static void change_pcid(struct worker *me)
{
	uint32_t id = pick(me, NR_PCIDS);
	uint8_t *stale = &stale_pcids[me->index];

	irq_off();
	write_cr3((uint64_t)kernel_root | id | (*stale & 1u << id ? 0 : 1ul << 63));
	*stale &= (uint8_t) ~(1u << id);
	irq_on();
}

static void prepare(void)
{
	static uint8_t *area;

	if (!area) {
		area = storm_area(WINDOWS);
		for (unsigned i = 0; i < WINDOWS; i++)
			for (unsigned f = 0; f < 2; f++)
				windows[i].frames[f] = (uint64_t *)page_alloc();
	}
	have_pcid = cpuid(1, 0).ecx & 1u << 17;
	have_invpcid = cpuid(7, 0).ebx & 1u << 10;
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *w = &windows[i];

		w->va = area + i * PAGE;
		w->lock = 0;
		w->epoch = w->state = w->frame = 0;
		w->frozen[0] = w->frozen[1] = false;
		w->global = i & 1;
		fill(w->frames[0], 0);
		map_page(w->va, (uint64_t)w->frames[0], PTE_P | PTE_W | (w->global ? PTE_G : 0));
		invlpg(w->va);
	}
	memset((void *)mail, 0, sizeof(mail));
	trap_set_handler(VEC_PF, on_page_fault);
	trap_set_handler(VEC_TLB, on_shoot);
}

static void enter(struct worker *w)
{
	tlb_flush_all();
	stale_pcids[w->index] = 0xff;
	if (have_pcid)
		write_cr4(read_cr4() | CR4_PCIDE);
}

static void leave(struct worker *w)
{
	(void)w;
	write_cr3((uint64_t)kernel_root);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

static void turn(struct worker *w)
{
	for (unsigned n = 0; n < 16; n++)
		look(w, &windows[pick(w, WINDOWS)]);
	change(w, &windows[pick(w, WINDOWS)]);
	if (have_pcid)
		change_pcid(w);
}

static void finish(void)
{
	trap_set_handler(VEC_PF, NULL);
}

const struct storm tlb_storm = {
	.name = "tlb", .prepare = prepare, .enter = enter, .leave = leave, .turn = turn, .finish = finish};
