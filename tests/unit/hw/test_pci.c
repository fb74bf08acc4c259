/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "fake_machine.h"
#include "hw/pci/i440fx.h"

static struct pci_bus bus;
static struct i440fx board;
static struct pci_device card;
static struct fake_line isa[16];

static const struct mmio_ops card_ops;
static const struct pci_device_type card_type = {
	.name = "card", .vendor = 0x1234, .device = 0x5678, .class_code = 0x020000, .pin = 1,
};

static uint32_t conf_read(unsigned devfn, unsigned off, unsigned size)
{
	dev_write(&pci_address_ops, &bus, 0, 0x80000000u | devfn << 8 | (off & 0xfc), 4);
	return (uint32_t)dev_read(&pci_data_ops, &bus, off & 3, size);
}

static void conf_write(unsigned devfn, unsigned off, uint32_t v, unsigned size)
{
	dev_write(&pci_address_ops, &bus, 0, 0x80000000u | devfn << 8 | (off & 0xfc), 4);
	dev_write(&pci_data_ops, &bus, off & 3, v, size);
}

static void on_reset(void *opaque)
{
	(void)opaque;
	machine_request_reset(NULL);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	memset(&bus, 0, sizeof(bus));
	memset(&board, 0, sizeof(board));
	memset(&card, 0, sizeof(card));
	for (unsigned i = 0; i < 16; i++)
		bus.isa_irq[i] = fake_line(&isa[i]);
	bus.reset = on_reset;
	pci_bus_init(&bus);
	memcpy(board.pirq, (const uint8_t[]){10, 10, 11, 11}, 4);
	board.pm_base = 0x600;
	i440fx_init(&board, &bus);
	pci_device_add(&bus, &card, &card_type, PCI_DEVFN(3, 0));
	pci_device_bar(&card, 0, 0x1000, false, &card_ops, NULL);
	pci_device_bar(&card, 1, 0x20, true, &card_ops, NULL);
	pci_bus_device.reset(&bus);
	return 0;
}

static void mechanism_1_finds_the_board(void **state)
{
	(void)state;
	assert_int_equal(conf_read(0, 0, 4), 0x12378086);
	assert_int_equal(conf_read(PCI_DEVFN(1, 0), 0, 4), 0x70008086);
	assert_int_equal(conf_read(PCI_DEVFN(1, 0), 0x0e, 1), 0x80);
	assert_int_equal(conf_read(PCI_DEVFN(1, 3), 2, 2), 0x7113);
	assert_int_equal(conf_read(PCI_DEVFN(1, 3), 0x40, 4), 0x601);
	assert_int_equal(conf_read(PCI_DEVFN(2, 0), 0, 4), 0xffffffff);
	dev_write(&pci_address_ops, &bus, 0, 0x80010000u, 4); /* bus 1 */
	assert_int_equal(dev_read(&pci_data_ops, &bus, 0, 4), 0xffffffff);
	dev_write(&pci_address_ops, &bus, 0, 0, 4); /* disabled */
	assert_int_equal(dev_read(&pci_data_ops, &bus, 0, 4), 0xffffffff);
}

static void address_register_ignores_bytes_and_reads_back(void **state)
{
	(void)state;
	dev_write(&pci_address_ops, &bus, 0, 0x80000000u, 4);
	dev_write(&pci_address_ops, &bus, 0, 0x12, 1);
	assert_int_equal(dev_read(&pci_address_ops, &bus, 0, 4), 0x80000000u);
}

static void bars_are_sized_and_mapped(void **state)
{
	(void)state;
	conf_write(card.devfn, 0x10, 0xffffffff, 4);
	assert_int_equal(conf_read(card.devfn, 0x10, 4), 0xfffff000);
	conf_write(card.devfn, 0x14, 0xffffffff, 4);
	assert_int_equal(conf_read(card.devfn, 0x14, 4), 0xffffffe1);
	conf_write(card.devfn, 0x18, 0xffffffff, 4);
	assert_int_equal(conf_read(card.devfn, 0x18, 4), 0);
	conf_write(card.devfn, 0x10, 0xe0000000, 4);
	assert_false(card.bar[0].mapped);
	conf_write(card.devfn, 0x04, 0x3, 2);
	assert_true(card.bar[0].mapped);
	assert_int_equal(card.bar[0].mapped_at, 0xe0000000);
	assert_false(card.bar[1].mapped); /* still all ones: no place */
	conf_write(card.devfn, 0x14, 0xc000, 4);
	assert_true(card.bar[1].mapped);
	conf_write(card.devfn, 0x04, 0, 2);
	assert_false(card.bar[0].mapped || card.bar[1].mapped);
}

static void identity_is_read_only(void **state)
{
	(void)state;
	conf_write(0, 0, 0, 4);
	assert_int_equal(conf_read(0, 0, 4), 0x12378086);
	conf_write(card.devfn, 0x3c, 0xffff, 2);
	assert_int_equal(conf_read(card.devfn, 0x3c, 2), 0x01ff);
}

static void interrupt_pins_are_routed_and_shared(void **state)
{
	struct pci_device other = {0};

	(void)state;
	pci_device_add(&bus, &other, &card_type, PCI_DEVFN(7, 0)); /* same PIRQ as slot 3 */
	pci_set_irq(&card, true);
	assert_true(isa[11].level); /* slot 3, INTA: PIRQC */
	pci_set_irq(&other, true);
	pci_set_irq(&card, false);
	assert_true(isa[11].level);
	pci_set_irq(&other, false);
	assert_false(isa[11].level);
	pci_set_irq(&card, true);
	conf_write(PCI_DEVFN(1, 0), 0x62, 5, 1);
	assert_false(isa[11].level);
	assert_true(isa[5].level);
	conf_write(PCI_DEVFN(1, 0), 0x62, 0x80, 1);
	assert_false(isa[5].level);
	bus.device[PCI_DEVFN(7, 0)] = NULL;
}

static void reset_register_hides_in_the_address_port(void **state)
{
	(void)state;
	dev_write(&pci_address_ops, &bus, 1, 0x02, 1);
	assert_int_equal(fake_resets, 0);
	assert_int_equal(dev_read(&pci_address_ops, &bus, 1, 1), 2);
	dev_write(&pci_address_ops, &bus, 1, 0x06, 1);
	assert_int_equal(fake_resets, 1);
}

static void accesses_off_the_end_are_ignored(void **state)
{
	(void)state;
	assert_int_equal(pci_config_read(&bus, 0, 0xfe, 4), ~0u);
	pci_config_write(&bus, 0, 0xff, 0, 4);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mechanism_1_finds_the_board),
		T(address_register_ignores_bytes_and_reads_back),
		T(bars_are_sized_and_mapped),
		T(identity_is_read_only),
		T(interrupt_pins_are_routed_and_shared),
		T(reset_register_hides_in_the_address_port),
		T(accesses_off_the_end_are_ignored),
	};

	return RUN_TESTS(tests);
}
