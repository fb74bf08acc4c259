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

void stat_ipi_latency(uint64_t ns)
{
	uint64_t *n = stats_self ? &stats_self->ipi_latency[bucket_of(ns)] : NULL;

	if (n)
		__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
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

static uint64_t bucket_total(unsigned bucket)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nr_sets; i++)
		sum += __atomic_load_n(&sets[i].ipi_latency[bucket], __ATOMIC_RELAXED);
	return sum;
}

static void print_latency(FILE *out)
{
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		uint64_t total = bucket_total(i);

		if (!total)
			continue;
		fprintf(out, "ipi_ns_%-15" PRIu64, (uint64_t)1 << i);
		print_row(out, total, offsetof(struct vcpu_stats, ipi_latency[0]) + i * sizeof(uint64_t));
		fprintf(out, "  IPIs that took at least so long, and less than twice that, from send to handler\n");
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
	print_latency(out);
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
static void print_json_latency(FILE *out)
{
	fprintf(out, ",\n \"ipi_latency_log2_ns\": {\"total\": [");
	for (unsigned b = 0; b < STATS_BUCKETS; b++)
		fprintf(out, "%s%" PRIu64, b ? ", " : "", bucket_total(b));
	fprintf(out, "],\n  \"vcpus\": [");
	for (unsigned i = 0; i < nr_sets; i++) {
		fprintf(out, "%s\n  [", i ? "," : "");
		for (unsigned b = 0; b < STATS_BUCKETS; b++)
			fprintf(out, "%s%" PRIu64, b ? ", " : "", __atomic_load_n(&sets[i].ipi_latency[b], __ATOMIC_RELAXED));
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
	print_json_latency(out);
	print_json_costs(out);
	fprintf(out, "}\n");
	fflush(out);
}
