/* SPDX-License-Identifier: MIT */
/*
 * AML writer (ACPI 6.4, 20.2 "AML Grammar Definition"; resource descriptors 6.4.2, 6.4.3).
 * Package lengths always take the three-byte form, so nothing has to move when a package is closed.
 */
#include "hw/fw/aml.h"

#include <string.h>

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_DUAL_NAME = 0x2e,
	OP_MULTI_NAME = 0x2f,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
};

#define PKG_LENGTH_BYTES 3
#define PKG_LENGTH_MAX 0xfffffu

void aml_init(struct aml *a, void *buf, size_t max)
{
	memset(a, 0, sizeof(*a));
	a->buf = buf;
	a->max = max;
}

static void put(struct aml *a, uint64_t v, unsigned bytes)
{
	if (a->failed || a->max - a->len < bytes) {
		a->failed = true;
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		a->buf[a->len++] = (uint8_t)(v >> 8 * i);
}

static void put_path(struct aml *a, const char *path)
{
	size_t segments;

	if (*path == '\\')
		put(a, (uint8_t)*path++, 1);
	segments = (strlen(path) + 1) / 5;
	if (segments == 2)
		put(a, OP_DUAL_NAME, 1);
	if (segments > 2)
		put(a, OP_MULTI_NAME | segments << 8, 2);
	for (; *path; path++)
		if (*path != '.')
			put(a, (uint8_t)*path, 1);
}

static void begin(struct aml *a, bool resources)
{
	if (a->depth == AML_MAX_DEPTH) {
		a->failed = true;
		return;
	}
	a->open[a->depth].at = a->len;
	a->open[a->depth].resources = resources;
	a->depth++;
	put(a, 0, PKG_LENGTH_BYTES);
}

void aml_scope(struct aml *a, const char *path)
{
	put(a, OP_SCOPE, 1);
	begin(a, false);
	put_path(a, path);
}

void aml_device(struct aml *a, const char *name)
{
	put(a, OP_EXT | OP_EXT_DEVICE << 8, 2);
	begin(a, false);
	put_path(a, name);
}

void aml_package(struct aml *a, uint8_t elements)
{
	put(a, OP_PACKAGE, 1);
	begin(a, false);
	put(a, elements, 1);
}

void aml_resources(struct aml *a)
{
	put(a, OP_BUFFER, 1);
	begin(a, true);
	put(a, OP_WORD, 3); /* the size, filled in at the end */
}

void aml_end(struct aml *a)
{
	size_t at, len;

	if (!a->depth) {
		a->failed = true;
		return;
	}
	a->depth--;
	if (a->open[a->depth].resources)
		put(a, 0x0079, 2); /* end tag, checksum not used */
	at = a->open[a->depth].at;
	len = a->len - at;
	if (len > PKG_LENGTH_MAX)
		a->failed = true;
	if (a->failed)
		return;
	a->buf[at] = (uint8_t)(0x80 | (len & 0xf));
	a->buf[at + 1] = (uint8_t)(len >> 4);
	a->buf[at + 2] = (uint8_t)(len >> 12);
	if (a->open[a->depth].resources) {
		len -= PKG_LENGTH_BYTES + 3;
		a->buf[at + 4] = (uint8_t)len;
		a->buf[at + 5] = (uint8_t)(len >> 8);
	}
}

void aml_name(struct aml *a, const char *name)
{
	put(a, OP_NAME, 1);
	put_path(a, name);
}

void aml_int(struct aml *a, uint64_t v)
{
	if (v < 2) {
		put(a, v, 1); /* ZeroOp, OneOp */
		return;
	}
	if (v <= 0xff) {
		put(a, OP_BYTE, 1);
		put(a, v, 1);
	} else if (v <= 0xffff) {
		put(a, OP_WORD, 1);
		put(a, v, 2);
	} else if (v <= 0xffffffff) {
		put(a, OP_DWORD, 1);
		put(a, v, 4);
	} else {
		put(a, OP_QWORD, 1);
		put(a, v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	put(a, OP_STRING, 1);
	do
		put(a, (uint8_t)*s, 1);
	while (*s++);
}

/* Three letters in five bits each, four hex digits, big-endian (6.1.5 "_HID"). */
void aml_eisa_id(struct aml *a, const char *id)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)(id[i] - 0x40) & 0x1f);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
	put(a, OP_DWORD, 1);
	put(a, __builtin_bswap32(v), 4);
}

void aml_name_int(struct aml *a, const char *name, uint64_t v)
{
	aml_name(a, name);
	aml_int(a, v);
}

void aml_name_eisa_id(struct aml *a, const char *name, const char *id)
{
	aml_name(a, name);
	aml_eisa_id(a, id);
}

void aml_name_string(struct aml *a, const char *name, const char *s)
{
	aml_name(a, name);
	aml_string(a, s);
}

/* Small resource: I/O port descriptor, 16-bit decode. */
void aml_res_io(struct aml *a, uint16_t base, uint8_t len)
{
	put(a, 0x47 | 1 << 8, 2);
	put(a, base, 2);
	put(a, base, 2);
	put(a, 1, 1);
	put(a, len, 1);
}

/* Small resource: IRQ descriptor without flags: edge, active high, exclusive. */
void aml_res_irq(struct aml *a, unsigned irq)
{
	put(a, 0x22, 1);
	put(a, 1u << irq, 2);
}

void aml_res_mem32(struct aml *a, uint32_t base, uint32_t len)
{
	put(a, 0x86, 1);
	put(a, 9, 2);
	put(a, 1, 1); /* writable */
	put(a, base, 4);
	put(a, len, 4);
}

/* Large resource: address space descriptor, fixed at both ends, positive decode. */
static void window(struct aml *a, uint8_t tag, enum aml_space space, uint64_t min, uint64_t max, unsigned bytes)
{
	static const uint8_t type_flags[] = {
		[AML_MEMORY] = 1, /* non-cacheable, writable */
		[AML_IO] = 3,     /* ISA and non-ISA ports */
		[AML_BUS] = 0,
	};

	put(a, tag, 1);
	put(a, 3 + 5 * bytes, 2);
	put(a, space, 1);
	put(a, 0x0c, 1); /* minimum and maximum fixed, producer */
	put(a, type_flags[space], 1);
	put(a, 0, bytes);
	put(a, min, bytes);
	put(a, max, bytes);
	put(a, 0, bytes);
	put(a, max - min + 1, bytes);
}

void aml_res_window16(struct aml *a, enum aml_space space, uint16_t min, uint16_t max)
{
	window(a, 0x88, space, min, max, 2);
}

void aml_res_window32(struct aml *a, enum aml_space space, uint32_t min, uint32_t max)
{
	window(a, 0x87, space, min, max, 4);
}

void aml_res_window64(struct aml *a, enum aml_space space, uint64_t min, uint64_t max)
{
	window(a, 0x8a, space, min, max, 8);
}
