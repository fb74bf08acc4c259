/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "main/keyval.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

#define PART_MAX 1024

int parse_number(const char *text, uint64_t max, uint64_t *value, struct err *err)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (!isdigit((unsigned char)text[0]) || *end)
		return err_set(err, "'%s' is not a number", text);
	if (errno || *value > max)
		return err_set(err, "%s is too large: at most %" PRIu64, text, max);
	return 0;
}

static int size_unit(char suffix, uint64_t bare, uint64_t *unit)
{
	static const char suffixes[] = "BKMGTPE";
	const char *at = suffix ? strchr(suffixes, toupper((unsigned char)suffix)) : NULL;

	if (!suffix)
		*unit = bare;
	else if (at)
		*unit = (uint64_t)1 << (10 * (at - suffixes));
	else
		return -1;
	return 0;
}

int parse_size(const char *text, uint64_t unit, uint64_t *size, struct err *err)
{
	uint64_t whole, scale, thousandths = 0;
	unsigned place = 100;
	char *end;

	errno = 0;
	whole = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]))
		goto bad;
	if (*end == '.') {
		for (end++; isdigit((unsigned char)*end); end++, place /= 10)
			thousandths += place * (unsigned)(*end - '0');
	}
	if (size_unit(*end, unit, &scale) || (*end && end[1] && strcasecmp(end + 1, "B") && strcasecmp(end + 1, "iB")))
		goto bad;
	if (errno || whole > (UINT64_MAX >> 1) / scale)
		return err_set(err, "size '%s' is too large", text);
	*size = whole * scale + thousandths * (scale / 1000) + thousandths * (scale % 1000) / 1000;
	return 0;

bad:
	return err_set(err, "'%s' is not a size such as 512M or 4G", text);
}

int keyval_unsigned(void *member, const char *value, struct err *err)
{
	uint64_t v;

	if (parse_number(value, UINT_MAX, &v, err))
		return -1;
	*(unsigned *)member = (unsigned)v;
	return 0;
}

int keyval_uint64(void *member, const char *value, struct err *err)
{
	return parse_number(value, UINT64_MAX, member, err);
}

int keyval_bool(void *member, const char *value, struct err *err)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true" };

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (!strcmp(value, words[i])) {
			*(bool *)member = i % 2;
			return 0;
		}
	}
	return err_set(err, "'%s' should be on or off", value);
}

int keyval_text(void *member, const char *value, struct err *err)
{
	if (strlen(value) >= KEYVAL_TEXT_SIZE)
		return err_set(err, "'%.20s...' is too long: at most %d characters", value, KEYVAL_TEXT_SIZE - 1);
	strcpy(member, value);
	return 0;
}

/* Copies the next part to `part`, with ",," made ",". Returns where the one after it starts, or NULL: none. */
static const char *next_part(const char *arg, char *part)
{
	size_t n = 0;

	for (; *arg; arg++) {
		if (*arg == ',') {
			if (arg[1] != ',')
				break;
			arg++;
		}
		if (n < PART_MAX - 1)
			part[n++] = *arg;
	}
	part[n] = 0;
	return *arg ? arg + 1 : NULL;
}

/* '_' counts as '-', as in QEMU. */
static bool is_same(const char *a, const char *b)
{
	for (; *a && (*a == *b || (*a == '-' && *b == '_')); a++)
		b++;
	return !*a && !*b;
}

static const struct keyval *find(const struct keyval *table, const char *key)
{
	for (; table->key; table++) {
		if (is_same(table->key, key))
			return table;
	}
	return NULL;
}

/* "'a' is unknown here; known are b, c, d" */
static int unknown_key(const struct keyval *table, const char *key, struct err *err)
{
	char known[300] = "";

	for (; table->key; table++) {
		size_t len = strlen(known);

		snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", table->key);
	}
	return err_set(err, "'%s' is unknown here; known: %s", key, known);
}

static int apply(const struct keyval *kv, void *dest, const char *value, struct err *err)
{
	struct err why;

	if (!kv->fn)
		return 0;
	if (!*value)
		return err_set(err, "%s has no value", kv->key);
	if (!kv->fn((char *)dest + kv->offset, value, &why))
		return 0;
	return err_set(err, "%s: %.400s", kv->key, why.text);
}

static int parse_part(char *part, const char *implied, const struct keyval *table, void *dest, struct err *err)
{
	char *equals = strchr(part, '=');
	const struct keyval *kv;

	if (equals)
		*equals = 0;
	else if (implied)
		return apply(find(table, implied), dest, part, err);
	kv = find(table, part);
	if (kv)
		return apply(kv, dest, equals ? equals + 1 : "on", err);
	if (!equals && !strncmp(part, "no", 2) && (kv = find(table, part + 2)))
		return apply(kv, dest, "off", err);
	return unknown_key(table, part, err);
}

int keyval_parse(const char *arg, const char *implied, const struct keyval *table, void *dest, struct err *err)
{
	char part[PART_MAX];

	while (arg) {
		arg = next_part(arg, part);
		if (parse_part(part, implied, table, dest, err))
			return -1;
		implied = NULL;
	}
	return 0;
}
