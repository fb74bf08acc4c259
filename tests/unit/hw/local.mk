# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/hw/test_acpi \
	tests/unit/hw/test_acpi_pm \
	tests/unit/hw/test_chardev \
	tests/unit/hw/test_hpet \
	tests/unit/hw/test_i8042 \
	tests/unit/hw/test_i8254 \
	tests/unit/hw/test_i8259 \
	tests/unit/hw/test_ioapic \
	tests/unit/hw/test_lapic \
	tests/unit/hw/test_lapic_race \
	tests/unit/hw/test_linuxboot \
	tests/unit/hw/test_mc146818 \
	tests/unit/hw/test_multiboot \
	tests/unit/hw/test_pc \
	tests/unit/hw/test_pci \
	tests/unit/hw/test_uart16550

# Devices stand on doubles of the clock, the loop and the guest CPUs; only the character back end has the real loop.
HW_FAKES = tests/unit/hw/fake_machine.c tests/unit/hw/fake_machine.h
LDADD_HW_TEST = src/hw/libhw.a $(LIBS_UTIL) $(CMOCKA_LIBS)
tests_unit_hw_test_acpi_SOURCES = tests/unit/hw/test_acpi.c $(HW_FAKES)
tests_unit_hw_test_acpi_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_acpi_pm_SOURCES = tests/unit/hw/test_acpi_pm.c $(HW_FAKES)
tests_unit_hw_test_acpi_pm_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_chardev_LDADD = src/hw/libhw.a $(LIBS_SCHED) $(CMOCKA_LIBS)
tests_unit_hw_test_hpet_SOURCES = tests/unit/hw/test_hpet.c $(HW_FAKES)
tests_unit_hw_test_hpet_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_i8042_SOURCES = tests/unit/hw/test_i8042.c $(HW_FAKES)
tests_unit_hw_test_i8042_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_i8254_SOURCES = tests/unit/hw/test_i8254.c $(HW_FAKES)
tests_unit_hw_test_i8254_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_i8259_SOURCES = tests/unit/hw/test_i8259.c $(HW_FAKES)
tests_unit_hw_test_i8259_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_ioapic_SOURCES = tests/unit/hw/test_ioapic.c $(HW_FAKES)
tests_unit_hw_test_ioapic_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_lapic_SOURCES = tests/unit/hw/test_lapic.c $(HW_FAKES)
tests_unit_hw_test_lapic_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_linuxboot_SOURCES = tests/unit/hw/test_linuxboot.c $(HW_FAKES)
tests_unit_hw_test_linuxboot_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_mc146818_SOURCES = tests/unit/hw/test_mc146818.c $(HW_FAKES)
tests_unit_hw_test_mc146818_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_multiboot_SOURCES = tests/unit/hw/test_multiboot.c $(HW_FAKES)
tests_unit_hw_test_multiboot_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_pci_SOURCES = tests/unit/hw/test_pci.c $(HW_FAKES)
tests_unit_hw_test_pci_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_uart16550_SOURCES = tests/unit/hw/test_uart16550.c $(HW_FAKES)
tests_unit_hw_test_uart16550_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_lapic_race_SOURCES = tests/unit/hw/test_lapic_race.c $(HW_FAKES)
tests_unit_hw_test_lapic_race_LDADD = $(LDADD_HW_TEST)
tests_unit_hw_test_pc_SOURCES = tests/unit/hw/test_pc.c $(HW_FAKES)
tests_unit_hw_test_pc_LDADD = $(LDADD_HW_TEST)
