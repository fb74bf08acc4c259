/* SPDX-License-Identifier: MIT */
/*
 * The board as a whole, by its wires: an interrupt's way from the chip to the CPU, and resets.
 */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/pc/pc_impl.h"
#include "hw/pc/pc_map.h"
#include "util/err.h"

static struct pc *pc;
static struct err err;

static int accept_(unsigned n)
{
	return lapic_intc_ops.accept(vcpus[n]);
}

static void ioapic_route(unsigned pin, uint32_t low)
{
	dev_write(&ioapic_mmio_ops, &pc->ioapic, 0, 0x11 + 2 * pin, 4);
	dev_write(&ioapic_mmio_ops, &pc->ioapic, 0x10, 0, 4);
	dev_write(&ioapic_mmio_ops, &pc->ioapic, 0, 0x10 + 2 * pin, 4);
	dev_write(&ioapic_mmio_ops, &pc->ioapic, 0x10, low, 4);
}

static void pic_init(void)
{
	static const uint8_t icw[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};

	for (unsigned c = 0; c < 2; c++) {
		for (unsigned i = 0; i < 4; i++)
			dev_write(&i8259_port_ops, &pc->pic.port[c], i ? 1 : 0, icw[c][i], 1);
		dev_write(&i8259_port_ops, &pc->pic.port[c], 1, 0, 1);
	}
}

static int setup(void **state)
{
	const struct pc_config config = {0};

	(void)state;
	fake_reset();
	fake_vcpus(2);
	pc = pc_new(&config, &err);
	assert_non_null(pc);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pc_free(pc);
	return 0;
}

static void timer_reaches_the_cpu_through_the_8259(void **state)
{
	(void)state;
	pic_init();
	assert_int_equal(accept_(0), -1);
	fake_advance(60 * MS); /* 18.2 Hz */
	assert_int_equal(accept_(0), 0x20);
	assert_int_equal(accept_(1), -1);
}

static void timer_is_on_pin_2_of_the_ioapic(void **state)
{
	(void)state;
	ioapic_route(2, 0x31);
	fake_advance(60 * MS);
	assert_int_equal(accept_(0), 0x31);
}

static void pic_output_is_on_pin_0(void **state)
{
	(void)state;
	lapic_reg_write(&pc->lapics[0], 0x35, 0x10700); /* LINT0 masked */
	pic_init();
	ioapic_route(0, 0x700);
	fake_advance(60 * MS);
	assert_int_equal(lapic_pending(&pc->lapics[0]), LAPIC_VECTOR_EXTINT);
	assert_int_equal(accept_(0), 0x20);
	assert_int_equal(lapic_pending(&pc->lapics[0]), -1);
}

static void hpet_legacy_routing_replaces_the_8254(void **state)
{
	(void)state;
	ioapic_route(2, 0x31);
	dev_write(&hpet_ops, &pc->hpet, 0x10, 3, 8);
	fake_advance(200 * MS);
	assert_int_equal(accept_(0), -1);
	dev_write(&hpet_ops, &pc->hpet, 0x100, 4, 8);
	dev_write(&hpet_ops, &pc->hpet, 0x108, dev_read(&hpet_ops, &pc->hpet, 0xf0, 8) + 1000, 8);
	fake_advance(MS);
	assert_int_equal(accept_(0), 0x31);
	lapic_eoi(&pc->lapics[0]);
	dev_write(&hpet_ops, &pc->hpet, 0x10, 1, 8);
	fake_advance(60 * MS);
	assert_int_equal(accept_(0), 0x31);
}

static void sci_is_level_triggered(void **state)
{
	(void)state;
	ioapic_route(PC_IRQ_SCI, 0x8041);
	dev_write(&acpi_pm_ops, &pc->pm, 2, 0x100, 2);
	pc_power_button(pc);
	assert_int_equal(accept_(0), 0x41);
	lapic_eoi(&pc->lapics[0]);
	assert_int_equal(accept_(0), 0x41);
	dev_write(&acpi_pm_ops, &pc->pm, 0, 0x100, 2);
	lapic_eoi(&pc->lapics[0]);
	assert_int_equal(accept_(0), -1);
}

static void every_way_to_switch_off_and_reset(void **state)
{
	(void)state;
	dev_write(&i8042_command_ops, &pc->kbd, 0, 0xfe, 1);
	assert_int_equal(fake_resets, 1);
	dev_write(&pci_address_ops, &pc->pci, 1, PC_RESET_VALUE, 1);
	assert_int_equal(fake_resets, 2);
	dev_write(&pc_port_a_ops, &pc->ports, 0, 3, 1);
	assert_int_equal(fake_resets, 3);
	assert_int_equal(fake_poweroff, -1);
	dev_write(&acpi_pm_ops, &pc->pm, 4, 0x2000, 2);
	assert_int_equal(fake_poweroff, 0);
}

static void reset_brings_back_the_power_on_state(void **state)
{
	(void)state;
	ioapic_route(4, 0x41);
	lapic_reg_write(&pc->lapics[1], 0xf, 0x1ff);
	dev_write(&hpet_ops, &pc->hpet, 0x10, 3, 8);
	assert_int_equal(pc_reset(pc, &err), 0);
	vcpus_reset_all();
	assert_int_equal(pc->ioapic.rte[4], IOAPIC_RTE_MASKED);
	assert_int_equal(lapic_reg_read(&pc->lapics[1], 0xf), 0xff);
	assert_int_equal(lapic_reg_read(&pc->lapics[0], 0x35), 0x700);
	assert_false(pc->hpet_legacy);
	assert_int_equal(dev_read(&i8259_elcr_ops, &pc->pic, 1, 1), 0x0e);
}

static void memory_sizes_are_in_cmos(void **state)
{
	(void)state;
	assert_int_equal(pc->rtc.cmos[0x15] | pc->rtc.cmos[0x16] << 8, 640);
	assert_int_equal((pc->rtc.cmos[0x34] | pc->rtc.cmos[0x35] << 8) * 65536u, FAKE_RAM_SIZE - (16u << 20));
	assert_int_equal(pc->rtc.cmos[0x5f], 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timer_reaches_the_cpu_through_the_8259),
		T(timer_is_on_pin_2_of_the_ioapic),
		T(pic_output_is_on_pin_0),
		T(hpet_legacy_routing_replaces_the_8254),
		T(sci_is_level_triggered),
		T(every_way_to_switch_off_and_reset),
		T(reset_brings_back_the_power_on_state),
		T(memory_sizes_are_in_cmos),
	};

	return RUN_TESTS(tests);
}
