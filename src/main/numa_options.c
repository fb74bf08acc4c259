/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "main/numa_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/option_handlers.h"
#include "main/options.h"
#include "util/err.h"
#include "util/log.h"

#define MIB (1u << 20)

/* A list "FIRST[-LAST]"; several keys add up. */
struct range {
	unsigned first, last;
};

static int parse_range(const char *text, unsigned max, struct range *r, struct err *err)
{
	char *end;
	unsigned long first = strtoul(text, &end, 10), last = first;

	if (end == text)
		goto bad;
	if (*end == '-') {
		const char *second = end + 1;

		last = strtoul(second, &end, 10);
		if (end == second || last < first)
			goto bad;
	}
	if (*end)
		goto bad;
	if (last > max)
		return err_set(err, "%lu is too large: at most %u", last, max);
	*r = (struct range){ (unsigned)first, (unsigned)last };
	return 0;

bad:
	return err_set(err, "'%s' is not a range such as 0 or 0-3", text);
}

/* -numa node */

struct node_keys {
	bool cpu[NUMA_MAX_CPUS];
	unsigned id;
	bool has_id, has_mem;
	uint64_t mem;
	char memdev[KEYVAL_TEXT_SIZE];
};

static int node_cpus(void *dest, const char *value, struct err *err)
{
	struct node_keys *k = dest;
	struct range r;

	if (parse_range(value, NUMA_MAX_CPUS - 1, &r, err))
		return -1;
	for (unsigned i = r.first; i <= r.last; i++)
		k->cpu[i] = true;
	return 0;
}

static int node_number(void *member, const char *value, struct err *err)
{
	uint64_t v;

	if (parse_number(value, NUMA_MAX_NODES - 1, &v, err))
		return -1;
	*(unsigned *)member = (unsigned)v;
	return 0;
}

static int node_id(void *dest, const char *value, struct err *err)
{
	struct node_keys *k = dest;

	k->has_id = true;
	return node_number(&k->id, value, err);
}

static int node_mem(void *dest, const char *value, struct err *err)
{
	struct node_keys *k = dest;

	k->has_mem = true;
	return parse_size(value, MIB, &k->mem, err);
}

static int no_id_left(struct err *err)
{
	return err_set(err, "there are at most %d nodes", NUMA_MAX_NODES);
}

static int set_node(struct numa_options *n, struct node_keys *k, struct err *err)
{
	struct numa_node *node;

	while (!k->has_id && k->id < NUMA_MAX_NODES && n->numa.node[k->id].exists)
		k->id++;
	if (k->id == NUMA_MAX_NODES)
		return no_id_left(err);
	node = &n->numa.node[k->id];
	if (node->exists)
		return err_set(err, "node %u is there already", k->id);
	if (k->has_mem && *k->memdev)
		return err_set(err, "node %u: mem and memdev exclude each other", k->id);
	node->exists = true;
	node->has_size = k->has_mem || *k->memdev;
	node->size = k->mem;
	strcpy(n->node_backend[k->id], k->memdev);
	for (unsigned i = 0; i < NUMA_MAX_CPUS; i++) {
		if (!k->cpu[i])
			continue;
		if (n->numa.node_of_cpu[i] != NUMA_UNASSIGNED)
			return err_set(err, "CPU %u has node %u already", i, n->numa.node_of_cpu[i]);
		n->numa.node_of_cpu[i] = (uint8_t)k->id;
	}
	return 0;
}

static int numa_node_option(struct numa_options *n, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "type", NULL, 0 },
		{ "nodeid", node_id, 0 },
		{ "cpus", node_cpus, 0 },
		{ "mem", node_mem, 0 },
		{ "memdev", keyval_text, offsetof(struct node_keys, memdev) },
		{ NULL, NULL, 0 },
	};
	struct node_keys k = { .id = 0 };

	return keyval_parse(arg, "type", keys, &k, err) ? -1 : set_node(n, &k, err);
}

/* -numa dist */

struct dist_keys {
	unsigned src, dst, val;
};

static int numa_dist_option(struct numa_options *n, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "type", NULL, 0 },
		{ "src", node_number, offsetof(struct dist_keys, src) },
		{ "dst", node_number, offsetof(struct dist_keys, dst) },
		{ "val", keyval_unsigned, offsetof(struct dist_keys, val) },
		{ NULL, NULL, 0 },
	};
	struct dist_keys k = { UINT_MAX, UINT_MAX, 0 };

	if (keyval_parse(arg, "type", keys, &k, err))
		return -1;
	if (k.src == UINT_MAX || k.dst == UINT_MAX)
		return err_set(err, "dist needs src, dst and val");
	if (k.src == k.dst ? k.val != NUMA_LOCAL : k.val <= NUMA_LOCAL || k.val > 255)
		return err_set(err, "val: a distance is %d from a node to itself, %d to 255 to another (255: out of reach)",
			       NUMA_LOCAL, NUMA_LOCAL + 1);
	n->numa.distance[k.src][k.dst] = (uint8_t)k.val;
	return 0;
}

/* -numa cpu */

struct cpu_keys {
	unsigned node, socket, core, thread;
};

static int rule_number(unsigned v)
{
	return v == UINT_MAX ? -1 : (int)(v > INT_MAX ? INT_MAX : v);
}

static int numa_cpu_option(struct numa_options *n, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "type", NULL, 0 },
		{ "node-id", node_number, offsetof(struct cpu_keys, node) },
		{ "socket-id", keyval_unsigned, offsetof(struct cpu_keys, socket) },
		{ "core-id", keyval_unsigned, offsetof(struct cpu_keys, core) },
		{ "thread-id", keyval_unsigned, offsetof(struct cpu_keys, thread) },
		{ NULL, NULL, 0 },
	};
	struct cpu_keys k = { UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX };

	if (keyval_parse(arg, "type", keys, &k, err))
		return -1;
	if (k.node == UINT_MAX)
		return err_set(err, "cpu needs a node-id");
	if (n->nr_rules == NUMA_MAX_RULES)
		return err_set(err, "there are at most %d of -numa cpu", NUMA_MAX_RULES);
	n->rule[n->nr_rules++] =
		(struct numa_cpu_rule){ k.node, rule_number(k.socket), rule_number(k.core), rule_number(k.thread) };
	return 0;
}

int opt_numa(struct options *o, const char *arg, struct err *err)
{
	static const struct {
		const char *name;
		int (*fn)(struct numa_options *n, const char *arg, struct err *err);
	} types[] = {
		{ "node", numa_node_option },
		{ "dist", numa_dist_option },
		{ "cpu", numa_cpu_option },
	};
	size_t len = strcspn(arg, ",");

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i].name) == len && !strncmp(types[i].name, arg, len))
			return types[i].fn(&o->numa, arg, err);
	return err_set(err, "'%.*s' is unknown: use node, dist or cpu", (int)len, arg);
}

/* -object */

static int backend_size(void *dest, const char *value, struct err *err)
{
	struct numa_backend *b = dest;

	if (parse_size(value, MIB, &b->size, err))
		return -1;
	return b->size ? 0 : err_set(err, "the size must not be 0");
}

static int backend_host_nodes(void *dest, const char *value, struct err *err)
{
	struct numa_backend *b = dest;
	struct range r;

	if (parse_range(value, 63, &r, err))
		return -1;
	for (unsigned i = r.first; i <= r.last; i++)
		b->host.nodes |= 1ull << i;
	return 0;
}

static int backend_policy(void *dest, const char *value, struct err *err)
{
	static const char *const names[] = { "default", "preferred", "bind", "interleave" };
	struct numa_backend *b = dest;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(value, names[i])) {
			b->host.policy = (enum numa_policy)i;
			return 0;
		}
	}
	return err_set(err, "'%s' should be default, preferred, bind or interleave", value);
}

static int backend_ignored(void *dest, const char *value, struct err *err)
{
	(void)dest;
	(void)err;
	if (strcmp(value, "off"))
		warn("-object: ignoring a property set to '%s': memory is private, anonymous, and taken when it is touched", value);
	return 0;
}

static int check_backend(const struct numa_options *n, const struct numa_backend *b, struct err *err)
{
	if (!*b->id || !b->size)
		return err_set(err, "a memory backend needs an id and a size");
	for (unsigned i = 0; i < n->nr_backends; i++)
		if (!strcmp(n->backend[i].id, b->id))
			return err_set(err, "'%s' is there already", b->id);
	if (b->host.policy == NUMA_DEFAULT && b->host.nodes)
		return err_set(err, "%s: host-nodes needs policy=bind, preferred or interleave", b->id);
	if (b->host.policy != NUMA_DEFAULT && !b->host.nodes)
		return err_set(err, "%s: policy needs host-nodes", b->id);
	if (n->nr_backends == NUMA_MAX_NODES)
		return err_set(err, "there are at most %d memory backends", NUMA_MAX_NODES);
	return 0;
}

int opt_object(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "qom-type", NULL, 0 },
		{ "id", keyval_text, offsetof(struct numa_backend, id) },
		{ "size", backend_size, 0 },
		{ "host-nodes", backend_host_nodes, 0 },
		{ "policy", backend_policy, 0 },
		{ "prealloc", backend_ignored, 0 },
		{ "share", backend_ignored, 0 },
		{ "merge", NULL, 0 },
		{ "dump", NULL, 0 },
		{ NULL, NULL, 0 },
	};
	struct numa_backend b = { .size = 0 };
	size_t len = strcspn(arg, ",");

	if (strncmp(arg, "memory-backend-ram", len) || len != strlen("memory-backend-ram"))
		return err_set(err, "there is no object '%.*s': only memory-backend-ram", (int)len, arg);
	if (keyval_parse(arg, "qom-type", keys, &b, err) || check_backend(&o->numa, &b, err))
		return -1;
	o->numa.backend[o->numa.nr_backends++] = b;
	return 0;
}

/* The end */

static int join_backend(struct numa_options *n, unsigned node, struct err *err)
{
	for (unsigned i = 0; i < n->nr_backends; i++) {
		struct numa_backend *b = &n->backend[i];

		if (strcmp(b->id, n->node_backend[node]))
			continue;
		if (b->used)
			return err_set(err, "-numa: memdev '%s' has two nodes", b->id);
		b->used = true;
		n->numa.node[node].size = b->size;
		n->numa.node[node].host = b->host;
		return 0;
	}
	return err_set(err, "-numa: there is no -object with id=%.80s", n->node_backend[node]);
}

static int apply_rule(struct numa *n, const struct numa_cpu_rule *r, const struct guest_cpus *c, struct err *err)
{
	bool any = false;

	for (unsigned i = 0; i < c->nr; i++) {
		int thread = (int)(i % c->threads), core = (int)(i / c->threads % c->cores);
		int socket = (int)(i / c->threads / c->cores);

		if ((r->socket >= 0 && r->socket != socket) || (r->core >= 0 && r->core != core) ||
		    (r->thread >= 0 && r->thread != thread))
			continue;
		any = true;
		if (n->node_of_cpu[i] != NUMA_UNASSIGNED && n->node_of_cpu[i] != r->node)
			return err_set(err, "-numa: CPU %u has node %u already", i, n->node_of_cpu[i]);
		n->node_of_cpu[i] = (uint8_t)r->node;
	}
	return any ? 0 : err_set(err, "-numa: cpu: -smp makes no such CPU");
}

int numa_options_finish(struct numa_options *n, const struct guest_cpus *cpus, uint64_t ram_size, struct err *err)
{
	struct err why;

	for (unsigned i = 0; i < NUMA_MAX_NODES; i++)
		if (*n->node_backend[i] && join_backend(n, i, err))
			return -1;
	for (unsigned i = 0; i < n->nr_backends; i++)
		if (!n->backend[i].used)
			return err_set(err, "-object: '%s' is not used: name it with -numa node,memdev=%.60s", n->backend[i].id,
				       n->backend[i].id);
	for (unsigned i = 0; i < n->nr_rules; i++)
		if (apply_rule(&n->numa, &n->rule[i], cpus, err))
			return -1;
	return numa_finish(&n->numa, cpus, ram_size, &why) ? err_set(err, "-numa: %.480s", why.text) : 0;
}
