# SPDX-License-Identifier: MIT
unit_tests += \
	tests/unit/hw/test_acpi \
	tests/unit/hw/test_acpi_pm \
	tests/unit/hw/test_hpet \
	tests/unit/hw/test_i8042 \
	tests/unit/hw/test_i8254 \
	tests/unit/hw/test_i8259 \
	tests/unit/hw/test_ioapic \
	tests/unit/hw/test_lapic \
	tests/unit/hw/test_mc146818 \
	tests/unit/hw/test_pci \
	tests/unit/hw/test_uart16550

EXTRA_DIST += \
	tests/unit/hw/fake_machine.c \
	tests/unit/hw/fake_machine.h

tests_unit_hw_test_acpi_SOURCES = tests/unit/hw/test_acpi.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_acpi_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_acpi_pm_SOURCES = tests/unit/hw/test_acpi_pm.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_acpi_pm_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_hpet_SOURCES = tests/unit/hw/test_hpet.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_hpet_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_i8042_SOURCES = tests/unit/hw/test_i8042.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_i8042_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_i8254_SOURCES = tests/unit/hw/test_i8254.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_i8254_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_i8259_SOURCES = tests/unit/hw/test_i8259.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_i8259_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_ioapic_SOURCES = tests/unit/hw/test_ioapic.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_ioapic_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_lapic_SOURCES = tests/unit/hw/test_lapic.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_lapic_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_mc146818_SOURCES = tests/unit/hw/test_mc146818.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_mc146818_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_pci_SOURCES = tests/unit/hw/test_pci.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_pci_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
tests_unit_hw_test_uart16550_SOURCES = tests/unit/hw/test_uart16550.c tests/unit/hw/fake_machine.c
tests_unit_hw_test_uart16550_LDADD = src/hw/libhw.a $(LIBS_MEM) $(CMOCKA_LIBS)
