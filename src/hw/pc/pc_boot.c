/* SPDX-License-Identifier: MIT */
/*
 * The board's memory map, and what firmware would leave behind for an operating system: BIOS data area, CMOS memory
 * sizes, ACPI tables, and the kernel itself.
 */
#include <stdlib.h>

#include "hw/fw/acpi.h"
#include "hw/pc/pc_impl.h"
#include "hw/pc/pc_map.h"
#include "mem/aspace.h"
#include "mem/ram.h"
#include "util/err.h"
#include "vcpu/vcpu.h"

#define MIB (1ull << 20)
#define MIN_RAM (16 * MIB)

int pc_map_ram(struct pc *pc, struct err *err)
{
	int ret;

	if (ram_size < MIN_RAM)
		return err_set(err, "the machine needs at least %llu MiB of memory: give more with -m", MIN_RAM / MIB);
	pc->low_ram = ram_size < PC_LOW_RAM_MAX ? ram_size : PC_LOW_RAM_MAX;
	pc->high_ram = ram_size - pc->low_ram;
	ret = aspace_add_ram(&aspace_mem, 0, PC_VGA_HOLE, 0, false);
	if (!ret)
		ret = aspace_add_ram(&aspace_mem, PC_VGA_HOLE_END, pc->low_ram - PC_VGA_HOLE_END, PC_VGA_HOLE_END, false);
	if (!ret && pc->high_ram)
		ret = aspace_add_ram(&aspace_mem, PC_HIGH_RAM_BASE, pc->high_ram, pc->low_ram, false);
	return ret ? err_set(err, "out of memory for the memory map") : 0;
}

/* Tables take the end of low RAM. */
static uint64_t usable_low_ram(const struct pc *pc)
{
	return pc->low_ram - PC_ACPI_SIZE;
}

int pc_boot_open(struct pc *pc, struct err *err)
{
	const struct pc_config *c = &pc->config;
	const struct boot_config boot = {c->kernel, c->initrd, c->cmdline, usable_low_ram(pc)};

	if (!c->kernel)
		return 0;
	pc->boot_image = boot_image_open(&boot, err);
	return pc->boot_image ? 0 : -1;
}

static int load_acpi(struct pc *pc, struct err *err)
{
	uint8_t rsdp[ACPI_RSDP_SIZE], *buf = malloc(PC_ACPI_SIZE);
	uint32_t *ids = calloc(nr_vcpus, sizeof(ids[0]));
	struct acpi_config cfg = {.nr_cpus = nr_vcpus, .apic_ids = ids, .hpet = !pc->config.no_hpet,
				  .numa = pc->config.numa, .low_ram = pc->low_ram};
	long len = -1;

	for (unsigned i = 0; ids && i < nr_vcpus; i++)
		ids[i] = vcpus[i]->apic_id;
	for (unsigned i = 0; i < PC_SERIAL_PORTS; i++)
		cfg.nr_serial |= pc->config.serial[i] ? 1u << i : 0;
	if (buf && ids)
		len = acpi_build(&cfg, usable_low_ram(pc), buf, PC_ACPI_SIZE, rsdp);
	if (len < 0 || dma_write(usable_low_ram(pc), buf, (size_t)len) != 0 ||
	    dma_write(PC_RSDP, rsdp, sizeof(rsdp)) != 0)
		len = err_set(err, "no room for the ACPI tables");
	free(ids);
	free(buf);
	return len < 0 ? -1 : 0;
}

static unsigned memory_map(const struct pc *pc, struct e820_entry map[E820_MAX])
{
	uint64_t low = usable_low_ram(pc);
	unsigned n = 0;

	map[n++] = (struct e820_entry){0, PC_EBDA, E820_RAM};
	map[n++] = (struct e820_entry){PC_EBDA, PC_VGA_HOLE - PC_EBDA, E820_RESERVED};
	map[n++] = (struct e820_entry){PC_RSDP, MIB - PC_RSDP, E820_RESERVED};
	map[n++] = (struct e820_entry){MIB, low - MIB, E820_RAM};
	map[n++] = (struct e820_entry){low, PC_ACPI_SIZE, E820_ACPI};
	if (pc->high_ram)
		map[n++] = (struct e820_entry){PC_HIGH_RAM_BASE, pc->high_ram, E820_RAM};
	return n;
}

int pc_boot_load(struct pc *pc, struct err *err)
{
	struct e820_entry map[E820_MAX];
	struct vcpu_boot_state start;
	const struct boot_machine machine = {map, memory_map(pc, map), pc->config.no_acpi ? 0 : PC_RSDP};

	if (!pc->boot_image) {
		vcpu_set_boot_state(vcpus[0], NULL);
		return 0;
	}
	if (pc_bios_load(err) != 0 || (!pc->config.no_acpi && load_acpi(pc, err) != 0) ||
	    boot_image_load(pc->boot_image, &machine, &start, err) != 0)
		return -1;
	vcpu_set_boot_state(vcpus[0], &start);
	return 0;
}

static void cmos_word(struct mc146818 *rtc, unsigned reg, uint64_t value, uint64_t max)
{
	uint64_t v = value < max ? value : max;

	mc146818_set_cmos(rtc, reg, (uint8_t)v);
	mc146818_set_cmos(rtc, reg + 1, (uint8_t)(v >> 8));
}

/* Memory sizes where firmware and older systems look for them; the other fields are zero. */
void pc_fill_cmos(struct pc *pc)
{
	uint64_t above_1m = pc->low_ram - MIB;
	uint64_t above_16m = pc->low_ram > 16 * MIB ? pc->low_ram - 16 * MIB : 0;

	cmos_word(&pc->rtc, 0x15, 640, 640);
	cmos_word(&pc->rtc, 0x17, above_1m >> 10, 0xffff);
	cmos_word(&pc->rtc, 0x30, above_1m >> 10, 0xffff);
	cmos_word(&pc->rtc, 0x34, above_16m >> 16, 0xffff);
	cmos_word(&pc->rtc, 0x5b, pc->high_ram >> 16 & 0xffff, 0xffff);
	mc146818_set_cmos(&pc->rtc, 0x5d, (uint8_t)(pc->high_ram >> 32));
	mc146818_set_cmos(&pc->rtc, 0x5f, (uint8_t)(nr_vcpus - 1));
	mc146818_set_cmos(&pc->rtc, 0x14, 0x06); /* equipment: FPU, PS/2 mouse */
}
