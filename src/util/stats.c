/* SPDX-License-Identifier: MIT */
#include "util/stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_COLUMNS 8 /* more vCPUs than that are summed up as least and most */

_Thread_local struct vcpu_stats *stats_self;
struct vcpu_stats stats_other;

static struct vcpu_stats *sets; /* [const] after stats_init() */
static unsigned nr_sets;

static const struct {
	const char *name, *help;
} descs[STAT_COUNT] = {
#define STAT(name, help) { #name, help },
#include "util/stats.def"
#undef STAT
#define LOCK_RANK(NAME, name, several) { "lock_wait_" #name, "waits for locks of rank " #NAME },
#include "util/lock_ranks.def"
#undef LOCK_RANK
};

int stats_init(unsigned nr)
{
	size_t size = nr * sizeof(*sets);

	sets = aligned_alloc(_Alignof(struct vcpu_stats), size ? size : sizeof(*sets));
	if (!sets)
		return -1;
	memset(sets, 0, size);
	nr_sets = nr;
	return 0;
}

void stats_fini(void)
{
	free(sets);
	sets = NULL;
	nr_sets = 0;
}

struct vcpu_stats *stats_of(unsigned vcpu)
{
	return vcpu < nr_sets ? &sets[vcpu] : NULL;
}

void stats_attach(unsigned vcpu)
{
	stats_self = stats_of(vcpu);
}

const char *stat_name(enum stat_id id)
{
	return descs[id].name;
}

const char *stat_help(enum stat_id id)
{
	return descs[id].help;
}

static uint64_t load(const struct vcpu_stats *s, enum stat_id id)
{
	return __atomic_load_n(&s->v[id], __ATOMIC_RELAXED);
}

uint64_t stat_total(enum stat_id id)
{
	uint64_t sum = load(&stats_other, id);

	for (unsigned i = 0; i < nr_sets; i++)
		sum += load(&sets[i], id);
	return sum;
}

static void print_head(FILE *out)
{
	fprintf(out, "%-22s %14s", "counter", "total");
	if (nr_sets > TEXT_COLUMNS) {
		fprintf(out, " %14s %14s", "least", "most");
	} else {
		for (unsigned i = 0; i < nr_sets; i++)
			fprintf(out, "     vcpu%-5u", i);
	}
	fprintf(out, "  meaning\n");
}

static void print_range(FILE *out, enum stat_id id)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (unsigned i = 0; i < nr_sets; i++) {
		uint64_t v = load(&sets[i], id);

		least = v < least ? v : least;
		most = v > most ? v : most;
	}
	fprintf(out, " %14" PRIu64 " %14" PRIu64, least, most);
}

void stats_print_text(FILE *out)
{
	print_head(out);
	for (unsigned id = 0; id < STAT_COUNT; id++) {
		uint64_t total = stat_total(id);

		if (!total)
			continue;
		fprintf(out, "%-22s %14" PRIu64, descs[id].name, total);
		if (nr_sets > TEXT_COLUMNS) {
			print_range(out, id);
		} else {
			for (unsigned i = 0; i < nr_sets; i++)
				fprintf(out, " %13" PRIu64, load(&sets[i], id));
		}
		fprintf(out, "  %s\n", descs[id].help);
	}
	fflush(out);
}

static void print_json_set(FILE *out, const struct vcpu_stats *s)
{
	fputc('{', out);
	for (unsigned id = 0; id < STAT_COUNT; id++)
		fprintf(out, "%s\"%s\": %" PRIu64, id ? ", " : "", descs[id].name, load(s, id));
	fputc('}', out);
}

void stats_print_json(FILE *out)
{
	fprintf(out, "{\"total\": {");
	for (unsigned id = 0; id < STAT_COUNT; id++)
		fprintf(out, "%s\"%s\": %" PRIu64, id ? ", " : "", descs[id].name, stat_total(id));
	fprintf(out, "},\n \"vcpus\": [");
	for (unsigned i = 0; i < nr_sets; i++) {
		fprintf(out, "%s\n  ", i ? "," : "");
		print_json_set(out, &sets[i]);
	}
	fprintf(out, "],\n \"other\": ");
	print_json_set(out, &stats_other);
	fprintf(out, "}\n");
	fflush(out);
}
