/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <string.h>

#include "hw/fw/acpi.h"
#include "hw/fw/aml.h"
#include "hw/pc/pc_map.h"
#include "sched/numa.h"

#define BASE 0x7fe0000u
#define MAX 0x20000u

static uint8_t buf[MAX], rsdp[ACPI_RSDP_SIZE];
static uint32_t ids[300];
static long used;

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

static void build(unsigned cpus, bool hpet)
{
	struct acpi_config cfg = {.nr_cpus = cpus, .apic_ids = ids, .nr_serial = 1, .hpet = hpet};

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = i;
	used = acpi_build(&cfg, BASE, buf, MAX, rsdp);
	assert_in_range(used, 1, MAX);
}

/* The table at an address, its checksum proved. */
static const uint8_t *at(uint64_t addr)
{
	const uint8_t *t = buf + (addr - BASE);

	assert_in_range(addr, BASE, BASE + (uint64_t)used - 36);
	assert_true(addr - BASE + get(t + 4, 4) <= (uint64_t)used);
	if (memcmp(t, "FACS", 4) != 0)
		assert_int_equal(sum(t, get(t + 4, 4)), 0);
	return t;
}

static const uint8_t *find(const char *sig)
{
	const uint8_t *xsdt = at(get(rsdp + 24, 8));

	for (size_t off = 36; off < get(xsdt + 4, 4); off += 8) {
		const uint8_t *t = at(get(xsdt + off, 8));

		if (memcmp(t, sig, 4) == 0)
			return t;
	}
	return NULL;
}

static void root_pointer_leads_to_both_lists(void **state)
{
	const uint8_t *rsdt, *xsdt;

	(void)state;
	build(4, true);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	rsdt = at(get(rsdp + 16, 4));
	xsdt = at(get(rsdp + 24, 8));
	assert_memory_equal(rsdt, "RSDT", 4);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_int_equal((get(rsdt + 4, 4) - 36) / 4, 3);
	assert_int_equal((get(xsdt + 4, 4) - 36) / 8, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get(rsdt + 36 + 4 * i, 4), get(xsdt + 36 + 8 * i, 8));
}

static void fadt_names_the_fixed_hardware(void **state)
{
	const uint8_t *f;

	(void)state;
	build(1, true);
	f = find("FACP");
	assert_non_null(f);
	assert_int_equal(get(f + 4, 4), 244);
	assert_memory_equal(at(get(f + 36, 4)), "FACS", 4);
	assert_int_equal(get(f + 36, 4) % 64, 0);
	assert_memory_equal(at(get(f + 140, 8)), "DSDT", 4);
	assert_int_equal(get(f + 40, 4), get(f + 140, 8));
	assert_int_equal(get(f + 46, 2), PC_IRQ_SCI);
	assert_int_equal(get(f + 56, 4), PC_PORT_PM);
	assert_int_equal(get(f + 152, 8), PC_PORT_PM);
	assert_int_equal(get(f + 76, 4), get(f + 212, 8));
	assert_int_equal(get(f + 120, 8), PC_PORT_RESET);
	assert_true(get(f + 112, 4) & 1 << 10);
}

struct madt {
	unsigned lapic, x2apic, ioapic, override, nmi, x2nmi;
};

static struct madt count_madt(void)
{
	const uint8_t *t = find("APIC"), *p = t + 44;
	struct madt m = {0};

	assert_int_equal(get(t + 36, 4), PC_LAPIC_BASE);
	while (p < t + get(t + 4, 4)) {
		m.lapic += p[0] == 0 && p[1] == 8;
		m.ioapic += p[0] == 1 && p[1] == 12;
		m.override += p[0] == 2 && p[1] == 10;
		m.nmi += p[0] == 4 && p[1] == 6;
		m.x2apic += p[0] == 9 && p[1] == 16;
		m.x2nmi += p[0] == 10 && p[1] == 12;
		assert_true(p[1] >= 6);
		p += p[1];
	}
	assert_ptr_equal(p, t + get(t + 4, 4));
	return m;
}

static void madt_lists_every_cpu(void **state)
{
	struct madt m;

	(void)state;
	build(16, true);
	m = count_madt();
	assert_int_equal(m.lapic, 16);
	assert_int_equal(m.x2apic, 0);
	assert_int_equal(m.ioapic, 1);
	assert_int_equal(m.override, 2);
	assert_int_equal(m.nmi, 1);
	assert_int_equal(m.x2nmi, 0);
	build(300, true);
	m = count_madt();
	assert_int_equal(m.lapic, 255);
	assert_int_equal(m.x2apic, 45);
	assert_int_equal(m.x2nmi, 1);
}

static void hpet_table_only_with_the_device(void **state)
{
	(void)state;
	build(2, true);
	assert_int_equal(get(find("HPET") + 44, 8), PC_HPET_BASE);
	build(2, false);
	assert_null(find("HPET"));
}

/* SRAT entries of a type, one after the other; NULL: no more. */
static const uint8_t *next_entry(const uint8_t *srat, const uint8_t *from, unsigned type)
{
	const uint8_t *end = srat + get(srat + 4, 4), *p = from ? from + from[1] : srat + 48;

	for (; p < end; p += p[1]) {
		assert_in_range(p[1], 16, 40);
		if (p[0] == type)
			return p;
	}
	assert_ptr_equal(p, end);
	return NULL;
}

static void build_with_nodes(struct numa *numa, unsigned cpus, uint64_t low_ram)
{
	struct acpi_config cfg = {.nr_cpus = cpus, .apic_ids = ids, .numa = numa, .low_ram = low_ram};

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = 2 * i;
	used = acpi_build(&cfg, BASE, buf, MAX, rsdp);
	assert_in_range(used, 1, MAX);
}

/* 5 GiB: node 0 has 1 GiB, node 1 the 4 that lie on both sides of the hole. */
static void srat_and_slit_describe_the_nodes(void **state)
{
	static struct numa numa;
	const uint8_t *t, *e = NULL;
	const struct {
		unsigned node;
		uint64_t start, size;
	} memory[] = {{0, 0, 1ull << 30}, {1, 1ull << 30, 2ull << 30}, {1, 4ull << 30, 2ull << 30}};

	(void)state;
	memset(&numa, 0, sizeof(numa));
	numa.nr = 2;
	numa.node[0].size = 1ull << 30;
	numa.node[1].size = 4ull << 30;
	memset(numa.node_of_cpu, 1, sizeof(numa.node_of_cpu));
	numa.node_of_cpu[0] = 0;
	numa.distance[0][0] = numa.distance[1][1] = 10;
	numa.distance[0][1] = 21;
	numa.distance[1][0] = 31;
	build_with_nodes(&numa, 200, 3ull << 30);
	t = find("SRAT");
	assert_non_null(t);
	assert_int_equal(get(t + 36, 4), 1);
	for (unsigned cpu = 0; cpu < 128; cpu++) { /* APIC ids to 254 */
		e = next_entry(t, e, 0);
		assert_non_null(e);
		assert_int_equal(e[2], cpu != 0);
		assert_int_equal(e[3], 2 * cpu);
		assert_int_equal(get(e + 4, 4), 1);
	}
	assert_null(next_entry(t, e, 0));
	e = NULL;
	for (unsigned cpu = 128; cpu < 200; cpu++) {
		e = next_entry(t, e, 2);
		assert_non_null(e);
		assert_int_equal(get(e + 4, 4), 1);
		assert_int_equal(get(e + 8, 4), 2 * cpu);
		assert_int_equal(get(e + 12, 4), 1);
	}
	assert_null(next_entry(t, e, 2));
	e = NULL;
	for (unsigned i = 0; i < ARRAY_LEN(memory); i++) {
		e = next_entry(t, e, 1);
		assert_non_null(e);
		assert_int_equal(get(e + 2, 4), memory[i].node);
		assert_int_equal(get(e + 8, 8), memory[i].start);
		assert_int_equal(get(e + 16, 8), memory[i].size);
		assert_int_equal(get(e + 28, 4), 1);
	}
	assert_null(next_entry(t, e, 1));
	t = find("SLIT");
	assert_non_null(t);
	assert_int_equal(get(t + 36, 8), 2);
	assert_memory_equal(t + 44, ((uint8_t[]){10, 21, 31, 10}), 4);
}

static void no_nodes_no_srat(void **state)
{
	(void)state;
	build(4, true);
	assert_null(find("SRAT"));
	assert_null(find("SLIT"));
}

static void too_small_a_buffer_fails(void **state)
{
	struct acpi_config cfg = {.nr_cpus = 4, .apic_ids = ids, .hpet = true};

	(void)state;
	for (size_t max = 0; max < 0x1800; max += 61)
		if (acpi_build(&cfg, BASE, buf, max, rsdp) >= 0)
			assert_true(max > 0x800);
}

/* AML: walks the package structure; every package must end inside its parent. */

static const uint8_t *skip_path(const uint8_t *p)
{
	unsigned segments = 1;

	if (*p == '\\')
		p++;
	if (*p == 0x2e) {
		segments = 2;
		p++;
	} else if (*p == 0x2f) {
		segments = p[1];
		p += 2;
	}
	for (unsigned i = 0; i < segments * 4; i++)
		assert_true((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '_' || (p[i] >= '0' && p[i] <= '9'));
	return p + segments * 4;
}

static const uint8_t *package_end(const uint8_t **p)
{
	const uint8_t *start = *p;

	assert_int_equal(start[0] & 0xf0, 0x80); /* two more bytes */
	*p += 3;
	return start + ((start[0] & 15u) | start[1] << 4 | start[2] << 12);
}

static unsigned devices;

static const uint8_t *walk_term(const uint8_t *p, const uint8_t *end);

static void walk(const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		p = walk_term(p, end);
	assert_ptr_equal(p, end);
}

static const uint8_t *walk_term(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *stop;

	switch (*p++) {
	case 0x00:
	case 0x01:
		return p;
	case 0x08:
		return walk_term(skip_path(p), end);
	case 0x0a:
		return p + 1;
	case 0x0b:
		return p + 2;
	case 0x0c:
		return p + 4;
	case 0x0d:
		return p + strlen((const char *)p) + 1;
	case 0x0e:
		return p + 8;
	case 0x10:
		stop = package_end(&p);
		assert_true(stop <= end);
		walk(skip_path(p), stop);
		return stop;
	case 0x11:
		stop = package_end(&p);
		assert_true(stop <= end);
		assert_int_equal(p[0], 0x0b);
		assert_ptr_equal(p + 3 + get(p + 1, 2), stop);
		assert_int_equal(stop[-2], 0x79);
		return stop;
	case 0x12:
		stop = package_end(&p);
		assert_true(stop <= end);
		walk(p + 1, stop);
		return stop;
	case 0x5b:
		assert_int_equal(*p++, 0x82);
		devices++;
		stop = package_end(&p);
		assert_true(stop <= end);
		walk(skip_path(p), stop);
		return stop;
	default:
		fail_msg("unknown AML byte %#x", p[-1]);
		return end;
	}
}

static void dsdt_is_well_formed(void **state)
{
	const uint8_t *d;

	(void)state;
	build(8, true);
	d = at(get(find("FACP") + 40, 4));
	devices = 0;
	walk(d + 36, d + get(d + 4, 4));
	assert_int_equal(devices, 8 + 1 + 1 + 4 + 1); /* CPUs, PCI root, ISA bridge and its four, HPET */
}

static void aml_overflow_and_nesting_are_caught(void **state)
{
	uint8_t small[16];
	struct aml a;

	(void)state;
	aml_init(&a, small, sizeof(small));
	aml_name_string(&a, "NAME", "longer than the buffer");
	assert_true(a.failed);
	aml_init(&a, buf, MAX);
	for (unsigned i = 0; i <= AML_MAX_DEPTH; i++)
		aml_scope(&a, "\\_SB_");
	assert_true(a.failed);
	aml_init(&a, buf, MAX);
	aml_end(&a);
	assert_true(a.failed);
}

static void eisa_ids_are_packed(void **state)
{
	struct aml a;

	(void)state;
	aml_init(&a, buf, MAX);
	aml_eisa_id(&a, "PNP0A03");
	assert_memory_equal(buf, "\x0c\x41\xd0\x0a\x03", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_pointer_leads_to_both_lists),
		cmocka_unit_test(fadt_names_the_fixed_hardware),
		cmocka_unit_test(madt_lists_every_cpu),
		cmocka_unit_test(hpet_table_only_with_the_device),
		cmocka_unit_test(srat_and_slit_describe_the_nodes),
		cmocka_unit_test(no_nodes_no_srat),
		cmocka_unit_test(too_small_a_buffer_fails),
		cmocka_unit_test(dsdt_is_well_formed),
		cmocka_unit_test(aml_overflow_and_nesting_are_caught),
		cmocka_unit_test(eisa_ids_are_packed),
	};

	return RUN_TESTS(tests);
}
