/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"

#define NR 2

static struct lapic storage[NR], *apic[NR] = {&storage[0], &storage[1]};
static struct apic_bus bus;
static struct ioapic io;

static uint32_t rd(unsigned reg)
{
	dev_write(&ioapic_mmio_ops, &io, 0, reg, 4);
	return (uint32_t)dev_read(&ioapic_mmio_ops, &io, 0x10, 4);
}

static void wr(unsigned reg, uint32_t v)
{
	dev_write(&ioapic_mmio_ops, &io, 0, reg, 4);
	dev_write(&ioapic_mmio_ops, &io, 0x10, v, 4);
}

static void route(unsigned pin, uint32_t low, uint32_t dest)
{
	wr(0x11 + 2 * pin, dest << 24);
	wr(0x10 + 2 * pin, low);
}

static int pending(unsigned n)
{
	return lapic_intc_ops.pending(vcpus[n]);
}

/* Accepts and ends whatever is pending. */
static int serve(unsigned n)
{
	int vector = lapic_intc_ops.accept(vcpus[n]);

	if (vector >= 0)
		lapic_eoi(apic[n]);
	return vector;
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	fake_vcpus(NR);
	bus = (struct apic_bus){.lapic = apic, .nr = NR, .by_id = apic, .nr_ids = NR, .eoi = ioapic_eoi, .eoi_opaque = &io};
	for (unsigned i = 0; i < NR; i++) {
		memset(apic[i], 0, sizeof(*apic[i]));
		vcpus[i]->intc_opaque = apic[i];
		lapic_init(apic[i], &bus, vcpus[i], i, i == 0);
		lapic_reg_write(apic[i], 0xf, 0x1ff);
	}
	memset(&io, 0, sizeof(io));
	ioapic_init(&io, &bus);
	return 0;
}

static void registers(void **state)
{
	(void)state;
	assert_int_equal(rd(1), 0x00170020);
	assert_int_equal(rd(0), 0);
	wr(0, 0xffffffff);
	assert_int_equal(rd(0), 0x0f000000);
	assert_int_equal(rd(0x10), 0x10000);
	wr(0x10, 0xffffffff);
	assert_int_equal(rd(0x10), 0x1afff);
	wr(0x11, 0xffffffff);
	assert_int_equal(rd(0x11), 0xff000000);
	assert_int_equal(rd(0x40), 0); /* beyond the last pin */
}

static void edge_sends_once_per_rise(void **state)
{
	(void)state;
	route(4, 0x41, 1);
	ioapic_set_irq(&io, 4, true);
	assert_int_equal(pending(0), -1);
	assert_int_equal(serve(1), 0x41);
	ioapic_set_irq(&io, 4, true);
	assert_int_equal(serve(1), -1);
	ioapic_set_irq(&io, 4, false);
	ioapic_set_irq(&io, 4, true);
	assert_int_equal(serve(1), 0x41);
	assert_int_equal(rd(0x18) & 0x4000, 0);
}

static void edge_on_masked_pin_is_lost(void **state)
{
	(void)state;
	route(4, 0x10041, 0);
	ioapic_set_irq(&io, 4, true);
	route(4, 0x41, 0);
	assert_int_equal(pending(0), -1);
}

static void level_repeats_while_asserted(void **state)
{
	(void)state;
	route(9, 0x8051, 0);
	ioapic_set_irq(&io, 9, true);
	assert_int_equal(rd(0x22) & 0x4000, 0x4000);
	assert_int_equal(lapic_intc_ops.accept(vcpus[0]), 0x51);
	assert_int_equal(pending(0), -1);
	lapic_eoi(apic[0]);
	assert_int_equal(lapic_intc_ops.accept(vcpus[0]), 0x51);
	ioapic_set_irq(&io, 9, false);
	lapic_eoi(apic[0]);
	assert_int_equal(pending(0), -1);
	assert_int_equal(rd(0x22) & 0x4000, 0);
}

static void level_on_masked_pin_waits_for_unmask(void **state)
{
	(void)state;
	route(9, 0x18051, 0);
	ioapic_set_irq(&io, 9, true);
	assert_int_equal(pending(0), -1);
	route(9, 0x8051, 0);
	assert_int_equal(pending(0), 0x51);
}

static void masking_in_service_keeps_remote_irr(void **state)
{
	(void)state;
	route(9, 0x8051, 0);
	ioapic_set_irq(&io, 9, true);
	assert_int_equal(lapic_intc_ops.accept(vcpus[0]), 0x51);
	wr(0x22, 0x18051);
	assert_int_equal(rd(0x22), 0x1c051);
	lapic_eoi(apic[0]);
	assert_int_equal(rd(0x22), 0x18051);
	assert_int_equal(pending(0), -1);
	wr(0x22, 0x8051);
	assert_int_equal(pending(0), 0x51);
}

static void edge_mode_clears_remote_irr(void **state)
{
	(void)state;
	route(9, 0x8051, 0);
	ioapic_set_irq(&io, 9, true);
	wr(0x22, 0x10051);
	assert_int_equal(rd(0x22), 0x10051);
	wr(0x22, 0x18051);
	assert_int_equal(rd(0x22) & 0x4000, 0);
}

static void eoi_register_ends_by_vector(void **state)
{
	(void)state;
	route(9, 0x8051, 0);
	ioapic_set_irq(&io, 9, true);
	ioapic_set_irq(&io, 9, false);
	dev_write(&ioapic_mmio_ops, &io, 0x40, 0x50, 4);
	assert_int_equal(rd(0x22) & 0x4000, 0x4000);
	dev_write(&ioapic_mmio_ops, &io, 0x40, 0x51, 4);
	assert_int_equal(rd(0x22) & 0x4000, 0);
}

static void nobody_accepts_leaves_remote_irr_clear(void **state)
{
	(void)state;
	route(9, 0x8051, 7);
	ioapic_set_irq(&io, 9, true);
	assert_int_equal(rd(0x22) & 0x4000, 0);
	route(9, 0x8051, 1);
	assert_int_equal(pending(1), 0x51);
}

static void nmi_and_extint_modes(void **state)
{
	(void)state;
	route(2, 0x400, 1);
	fake_take_requests(vcpus[1]);
	ioapic_set_irq(&io, 2, true);
	assert_int_equal(fake_take_requests(vcpus[1]), VCPU_REQ_NMI);
	route(0, 0x700, 0);
	ioapic_set_irq(&io, 0, true);
	assert_int_equal(pending(0), LAPIC_VECTOR_EXTINT);
}

static void pin_out_of_range_is_ignored(void **state)
{
	(void)state;
	ioapic_set_irq(&io, 24, true);
	assert_int_equal(io.level, 0);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers),
		T(edge_sends_once_per_rise),
		T(edge_on_masked_pin_is_lost),
		T(level_repeats_while_asserted),
		T(level_on_masked_pin_waits_for_unmask),
		T(masking_in_service_keeps_remote_irr),
		T(edge_mode_clears_remote_irr),
		T(eoi_register_ends_by_vector),
		T(nobody_accepts_leaves_remote_irr_clear),
		T(nmi_and_extint_modes),
		T(pin_out_of_range_is_ignored),
	};

	return RUN_TESTS(tests);
}
