/* SPDX-License-Identifier: MIT */
#include "util/stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "util/cost.h"

#define TEXT_COLUMNS 8 /* more vCPUs than that are summed up as least and most */

_Thread_local struct vcpu_stats *stats_self;
struct vcpu_stats stats_other;
bool stats_timed;
_Thread_local enum cost_op cost_now;

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

static const struct {
	const char *name, *help;
} cost_descs[NR_COST_OPS] = {
	{ "none", "" },
#define COST_OP(name, help) { #name, help },
#include "util/cost_ops.def"
#undef COST_OP
};

static const char *const cost_metrics[NR_COST_METRICS] = { "ops", "lines", "kicks", "waits", "looks" };

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

static unsigned bucket_of(uint64_t ns)
{
	unsigned i = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;

	return i < STATS_BUCKETS ? i : STATS_BUCKETS - 1;
}

void stat_time(enum stat_time what, uint64_t ns)
{
	struct vcpu_stats *s = stats_self;

	if (s)
		__atomic_store_n(&s->times[what][bucket_of(ns)], s->times[what][bucket_of(ns)] + 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&stats_other.times[what][bucket_of(ns)], 1, __ATOMIC_RELAXED);
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

static const struct {
	const char *name, *help;
} times[NR_STAT_TIMES] = {
#define STAT_TIME(name, help) { #name, help },
#include "util/stat_times.def"
#undef STAT_TIME
};

static uint64_t cost_load(const struct vcpu_stats *s, enum cost_op op, enum cost_metric metric)
{
	return __atomic_load_n(&s->cost[op][metric], __ATOMIC_RELAXED);
}

uint64_t stat_cost_total(enum cost_op op, enum cost_metric metric)
{
	uint64_t sum = cost_load(&stats_other, op, metric);

	for (unsigned i = 0; i < nr_sets; i++)
		sum += cost_load(&sets[i], op, metric);
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

/* A row: the total and, of few vCPUs each, of many the extremes. `offset`: of the number in a set. */
static void print_row(FILE *out, uint64_t total, size_t offset)
{
	uint64_t least = UINT64_MAX, most = 0;

	fprintf(out, " %14" PRIu64, total);
	for (unsigned i = 0; i < nr_sets; i++) {
		uint64_t v = __atomic_load_n((uint64_t *)((char *)&sets[i] + offset), __ATOMIC_RELAXED);

		least = v < least ? v : least;
		most = v > most ? v : most;
		if (nr_sets <= TEXT_COLUMNS)
			fprintf(out, " %13" PRIu64, v);
	}
	if (nr_sets > TEXT_COLUMNS)
		fprintf(out, " %14" PRIu64 " %14" PRIu64, least, most);
}

static uint64_t bucket_load(const struct vcpu_stats *s, enum stat_time what, unsigned bucket)
{
	return __atomic_load_n(&s->times[what][bucket], __ATOMIC_RELAXED);
}

static uint64_t bucket_total(enum stat_time what, unsigned bucket)
{
	uint64_t sum = bucket_load(&stats_other, what, bucket);

	for (unsigned i = 0; i < nr_sets; i++)
		sum += bucket_load(&sets[i], what, bucket);
	return sum;
}

static void print_times(FILE *out, enum stat_time what)
{
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		uint64_t total = bucket_total(what, i);
		char name[32];

		if (!total)
			continue;
		snprintf(name, sizeof(name), "%s_ns_%" PRIu64, times[what].name, (uint64_t)1 << i);
		fprintf(out, "%-22s", name);
		print_row(out, total, offsetof(struct vcpu_stats, times[0]) + (what * STATS_BUCKETS + i) * sizeof(uint64_t));
		fprintf(out, "  %s: so many took at least so long, and less than twice that\n", times[what].help);
	}
}

/* Each operation on a line: how often, and what one cost the other vCPUs. */
static void print_costs(FILE *out)
{
	bool head = false;

	for (unsigned op = COST_none + 1; op < NR_COST_OPS; op++) {
		uint64_t ops = stat_cost_total((enum cost_op)op, COST_OPS);

		if (!ops)
			continue;
		if (!head)
			fprintf(out, "%-22s %14s %14s %14s %14s %14s  each of them\n", "operation", "times", "shared lines", "kicks", "waits", "looks");
		head = true;
		fprintf(out, "%-22s %14" PRIu64, cost_descs[op].name, ops);
		for (unsigned m = COST_LINES; m < NR_COST_METRICS; m++)
			fprintf(out, " %14.3f", (double)stat_cost_total((enum cost_op)op, (enum cost_metric)m) / (double)ops);
		fprintf(out, "  %s\n", cost_descs[op].help);
	}
}

static void print_json_costs(FILE *out)
{
	fprintf(out, ",\n \"costs\": {");
	for (unsigned op = COST_none + 1; op < NR_COST_OPS; op++) {
		fprintf(out, "%s\"%s\": {", op > COST_none + 1 ? ",\n  " : "", cost_descs[op].name);
		for (unsigned m = 0; m < NR_COST_METRICS; m++)
			fprintf(out, "%s\"%s\": %" PRIu64, m ? ", " : "", cost_metrics[m], stat_cost_total((enum cost_op)op, (enum cost_metric)m));
		fputc('}', out);
	}
	fputc('}', out);
}

void stats_print_text(FILE *out)
{
	print_head(out);
	for (unsigned id = 0; id < STAT_COUNT; id++) {
		uint64_t total = stat_total(id);

		if (!total)
			continue;
		fprintf(out, "%-22s", descs[id].name);
		print_row(out, total, offsetof(struct vcpu_stats, v[0]) + id * sizeof(uint64_t));
		fprintf(out, "  %s\n", descs[id].help);
	}
	for (unsigned what = 0; what < NR_STAT_TIMES; what++)
		print_times(out, (enum stat_time)what);
	print_costs(out);
	fflush(out);
}

static void print_json_set(FILE *out, const struct vcpu_stats *s)
{
	fputc('{', out);
	for (unsigned id = 0; id < STAT_COUNT; id++)
		fprintf(out, "%s\"%s\": %" PRIu64, id ? ", " : "", descs[id].name, load(s, id));
	fputc('}', out);
}

/* Bucket i: 2^i ns and more. */
static void print_json_times(FILE *out, enum stat_time what)
{
	fprintf(out, ",\n \"%s_latency_log2_ns\": {\"total\": [", times[what].name);
	for (unsigned b = 0; b < STATS_BUCKETS; b++)
		fprintf(out, "%s%" PRIu64, b ? ", " : "", bucket_total(what, b));
	fprintf(out, "],\n  \"vcpus\": [");
	for (unsigned i = 0; i < nr_sets; i++) {
		fprintf(out, "%s\n  [", i ? "," : "");
		for (unsigned b = 0; b < STATS_BUCKETS; b++)
			fprintf(out, "%s%" PRIu64, b ? ", " : "", bucket_load(&sets[i], what, b));
		fputc(']', out);
	}
	fprintf(out, "]}");
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
	for (unsigned what = 0; what < NR_STAT_TIMES; what++)
		print_json_times(out, (enum stat_time)what);
	print_json_costs(out);
	fprintf(out, "}\n");
	fflush(out);
}
