/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "main/option_handlers.h"

#include <stdio.h>
#include <string.h>

#include "main/keyval.h"
#include "main/options.h"
#include "main/version.h"
#include "util/err.h"
#include "util/log.h"
#include "vcpu/vcpu.h"

#define MIB (1u << 20)
#define TB_SIZE_MIN_MIB 1
#define TB_SIZE_MAX_MIB 2047 /* code memory is reached by 32-bit displacements */
#define PORT_MAX 0xffff

static int is_help(const char *arg)
{
	return !strcmp(arg, "help") || !strcmp(arg, "?");
}

/* Machine */

static int machine_type(void *member, const char *value, struct err *err)
{
	(void)member;
	if (!strncmp(value, "pc-q35", 6) || !strcmp(value, "q35")) {
		warn("-machine: there is no q35 machine, taking pc");
		return 0;
	}
	if (!strcmp(value, "pc") || !strncmp(value, "pc-i440fx", 9))
		return 0;
	return err_set(err, "there is no machine '%s' ('-machine help' lists them)", value);
}

/* "tcg", "kvm:tcg": the first that there is. */
static int machine_accel(void *dest, const char *value, struct err *err)
{
	struct options *o = dest;
	const char *tcg = strstr(value, "tcg");

	(void)err;
	if (tcg && (tcg == value || tcg[-1] == ':') && (!tcg[3] || tcg[3] == ':'))
		o->accel_tcg = true;
	else
		o->accel_other = true;
	return 0;
}

static int machine_hpet(void *dest, const char *value, struct err *err)
{
	struct options *o = dest;
	bool on = true;

	if (keyval_bool(&on, value, err))
		return -1;
	o->no_hpet = !on;
	return 0;
}

static int machine_ignored(void *dest, const char *value, struct err *err)
{
	(void)dest;
	(void)err;
	warn("-machine: ignoring a property set to '%s'", value);
	return 0;
}

int opt_machine(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "type", machine_type, 0 },       { "accel", machine_accel, 0 }, { "hpet", machine_hpet, 0 },
		{ "usb", NULL, 0 },                { "vmport", NULL, 0 },         { "graphics", NULL, 0 },
		{ "smm", NULL, 0 },                { "dump-guest-core", NULL, 0 }, { "mem-merge", NULL, 0 },
		{ "kernel-irqchip", NULL, 0 },     { "nvdimm", machine_ignored, 0 }, { "acpi", NULL, 0 },
		{ NULL, NULL, 0 },
	};

	if (is_help(arg)) {
		printf("Machines:\n  pc       standard PC: i440FX-like host bridge, IOAPIC, HPET, serial port (default)\n");
		return OPTION_EXIT;
	}
	return keyval_parse(arg, "type", keys, o, err);
}

static int cpu_count(void *member, const char *value, struct err *err)
{
	if (keyval_unsigned(member, value, err))
		return -1;
	return *(unsigned *)member ? 0 : err_set(err, "must be at least 1");
}

int opt_smp(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "cpus", cpu_count, offsetof(struct options, cpus) },
		{ "sockets", cpu_count, offsetof(struct options, sockets) },
		{ "cores", cpu_count, offsetof(struct options, cores) },
		{ "threads", cpu_count, offsetof(struct options, threads) },
		{ "maxcpus", cpu_count, offsetof(struct options, max_cpus) },
		{ NULL, NULL, 0 },
	};

	o->cpus = o->sockets = o->cores = o->threads = o->max_cpus = 0;
	return keyval_parse(arg, "cpus", keys, o, err);
}

static int memory_size(void *member, const char *value, struct err *err)
{
	if (parse_size(value, MIB, member, err))
		return -1;
	if (!*(uint64_t *)member)
		return err_set(err, "the size must not be 0");
	return 0;
}

static int memory_hotplug(void *member, const char *value, struct err *err)
{
	(void)member;
	(void)err;
	warn("-m: ignoring '%s': memory cannot be added while the guest runs", value);
	return 0;
}

int opt_memory(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "size", memory_size, offsetof(struct options, ram_size) },
		{ "slots", memory_hotplug, 0 },
		{ "maxmem", memory_hotplug, 0 },
		{ NULL, NULL, 0 },
	};

	return keyval_parse(arg, "size", keys, o, err);
}

int opt_cpu(struct options *o, const char *arg, struct err *err)
{
	if (is_help(arg)) {
		vcpu_print_models(stdout);
		return OPTION_EXIT;
	}
	if (!*arg || *arg == ',')
		return err_set(err, "a model is missing ('-cpu help' lists them)");
	o->cpu_model = arg;
	return vcpu_check_model(arg, err);
}

static int accel_name(void *dest, const char *value, struct err *err)
{
	struct options *o = dest;
	static const char *const others[] = { "kvm", "xen", "hvf", "whpx", "nvmm", "hax", "qtest" };

	if (!strcmp(value, "tcg")) {
		o->accel_tcg = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (!strcmp(value, others[i])) {
			o->accel_other = true;
			return 0;
		}
	}
	return err_set(err, "unknown accelerator '%s' ('-accel help' lists them)", value);
}

static int accel_thread(void *dest, const char *value, struct err *err)
{
	(void)dest;
	if (!strcmp(value, "single"))
		warn("-accel: thread=single: Cohort always runs one thread per CPU");
	else if (strcmp(value, "multi"))
		return err_set(err, "'%s' should be multi", value);
	return 0;
}

static int accel_engine(void *dest, const char *value, struct err *err)
{
	struct options *o = dest;

	if (strcmp(value, "jit") && strcmp(value, "interp"))
		return err_set(err, "'%s' should be jit or interp", value);
	o->interp = !strcmp(value, "interp");
	return 0;
}

static int accel_tb_size(void *dest, const char *value, struct err *err)
{
	struct options *o = dest;
	uint64_t mib;

	if (parse_number(value, TB_SIZE_MAX_MIB, &mib, err))
		return -1;
	if (mib < TB_SIZE_MIN_MIB)
		return err_set(err, "%s MiB is too small: at least %d", value, TB_SIZE_MIN_MIB);
	o->tb_size = mib * MIB;
	return 0;
}

int opt_accel(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "accel", accel_name, 0 },
		{ "thread", accel_thread, 0 },
		{ "engine", accel_engine, 0 },
		{ "tb-size", accel_tb_size, 0 },
		{ "jitter", keyval_uint64, offsetof(struct options, jitter) },
		{ "exact-flags", keyval_bool, offsetof(struct options, exact_flags) },
		{ "split-wx", NULL, 0 },
		{ "one-insn-per-tb", NULL, 0 },
		{ "kernel-irqchip", NULL, 0 },
		{ "dirty-ring-size", NULL, 0 },
		{ NULL, NULL, 0 },
	};

	if (is_help(arg)) {
		printf("Accelerators:\n"
		       "  tcg      translation to host code, one thread per CPU\n"
		       "             thread=multi        always so\n"
		       "             engine=jit|interp   host code, or the portable interpreter of the IR\n"
		       "             tb-size=MiB         room for translated code\n"
		       "             exact-flags=on      arithmetic flags that nothing reads are right in the frames of faults, too\n"
		       "             jitter=SEED         disturb the schedule at random (testing)\n");
		return OPTION_EXIT;
	}
	return keyval_parse(arg, "accel", keys, o, err);
}

static int port_number(void *member, const char *value, struct err *err)
{
	return parse_number(value, PORT_MAX, member, err);
}

static int device_isa_debug_exit(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "driver", NULL, 0 },
		{ "id", NULL, 0 },
		{ "iobase", port_number, offsetof(struct options, debug_exit_base) },
		{ "iosize", port_number, offsetof(struct options, debug_exit_size) },
		{ NULL, NULL, 0 },
	};

	o->debug_exit = true;
	o->debug_exit_base = 0x501;
	o->debug_exit_size = 2;
	if (keyval_parse(arg, "driver", keys, o, err))
		return err_set(err, "isa-debug-exit: %.400s", strdupa(err->text));
	if (!o->debug_exit_size || o->debug_exit_base + o->debug_exit_size > PORT_MAX + 1)
		return err_set(err, "isa-debug-exit: iosize does not fit behind iobase");
	return 0;
}

static int device_pc_testdev(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {{ "driver", NULL, 0 }, { "id", NULL, 0 }, { NULL, NULL, 0 }};

	o->testdev = true;
	return keyval_parse(arg, "driver", keys, o, err) ? err_set(err, "pc-testdev: %.400s", strdupa(err->text)) : 0;
}

static const struct {
	const char *name;
	int (*add)(struct options *o, const char *arg, struct err *err);
	const char *help;
} devices[] = {
	{ "isa-debug-exit", device_isa_debug_exit, "iobase=PORT,iosize=N: a write of V ends Cohort with status 2*V+1" },
	{ "pc-testdev", device_pc_testdev, "ports, memory and interrupt lines for test programs" },
};

int opt_device(struct options *o, const char *arg, struct err *err)
{
	size_t len = strcspn(arg, ",");

	if (is_help(arg)) {
		printf("Devices:\n"); /* each line as in QEMU's list, in which test suites look for the name in quotes */
		for (size_t i = 0; i < ARRAY_LEN(devices); i++)
			printf("name \"%s\", bus ISA, desc \"%s\"\n", devices[i].name, devices[i].help);
		return OPTION_EXIT;
	}
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		if (len == strlen(devices[i].name) && !strncmp(arg, devices[i].name, len))
			return devices[i].add(o, arg, err);
	return err_set(err, "there is no device '%.*s' ('-device help' lists them)", (int)len, arg);
}

int opt_no_hpet(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->no_hpet = true;
	return 0;
}

int opt_no_acpi(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->no_acpi = true;
	return 0;
}

static int rtc_base(void *dest, const char *value, struct err *err)
{
	(void)dest;
	return strcmp(value, "utc") ? err_set(err, "'%s' is not there: the clock runs in utc", value) : 0;
}

int opt_rtc(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "base", rtc_base, 0 }, { "clock", NULL, 0 }, { "driftfix", NULL, 0 }, { NULL, NULL, 0 },
	};

	return keyval_parse(arg, "base", keys, o, err);
}

int opt_name(struct options *o, const char *arg, struct err *err)
{
	static const struct keyval keys[] = {
		{ "guest", keyval_text, offsetof(struct options, name) },
		{ "process", NULL, 0 },
		{ "debug-threads", NULL, 0 },
		{ NULL, NULL, 0 },
	};

	return keyval_parse(arg, "guest", keys, o, err);
}

/* Direct boot */

static int file_name(const char **member, const char *arg, struct err *err)
{
	if (!*arg)
		return err_set(err, "a file name is missing");
	*member = arg;
	return 0;
}

int opt_kernel(struct options *o, const char *arg, struct err *err)
{
	return file_name(&o->kernel, arg, err);
}

int opt_initrd(struct options *o, const char *arg, struct err *err)
{
	return file_name(&o->initrd, arg, err);
}

int opt_append(struct options *o, const char *arg, struct err *err)
{
	(void)err;
	o->append = arg;
	return 0;
}

/* Console */

static int check_backend(const char *arg, bool may_mux, struct err *err)
{
	if (!strcmp(arg, "stdio") || !strcmp(arg, "null") || !strcmp(arg, "none"))
		return 0;
	if (!strcmp(arg, "mon:stdio") && may_mux)
		return 0;
	if (!strncmp(arg, "file:", 5) && arg[5])
		return 0;
	return err_set(err, "'%s' is not there: use stdio, %sfile:PATH, null or none", arg, may_mux ? "mon:stdio, " : "");
}

int opt_serial(struct options *o, const char *arg, struct err *err)
{
	if (o->nr_serial == OPTIONS_MAX_SERIAL)
		return err_set(err, "there are at most %d serial ports", OPTIONS_MAX_SERIAL);
	o->serial[o->nr_serial++] = arg;
	return check_backend(arg, true, err);
}

int opt_monitor(struct options *o, const char *arg, struct err *err)
{
	if (!strcmp(arg, "none") || !strcmp(arg, "null")) {
		o->monitor = NULL;
		return 0;
	}
	if (strcmp(arg, "stdio") && strcmp(arg, "mon:stdio"))
		return err_set(err, "'%s' is not there: use stdio or none", arg);
	o->monitor = "stdio";
	return 0;
}

int opt_gdb(struct options *o, const char *arg, struct err *err)
{
	(void)err;
	o->gdb = strcmp(arg, "none") ? arg : NULL;
	return 0;
}

int opt_gdb_default(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	return opt_gdb(o, "tcp::1234", err);
}

int opt_stopped(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->stopped = true;
	return 0;
}

int opt_debugcon(struct options *o, const char *arg, struct err *err)
{
	o->debugcon = arg;
	return check_backend(arg, false, err);
}

int opt_nographic(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->nographic = true;
	return 0;
}

int opt_display(struct options *o, const char *arg, struct err *err)
{
	static const char *const others[] = { "gtk", "sdl", "curses", "spice-app", "dbus", "egl-headless", "vnc", "cocoa" };
	size_t len = strcspn(arg, ",=");

	o->display_none = true;
	if (!strcmp(arg, "none"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strlen(others[i]) == len && !strncmp(others[i], arg, len)) {
			warn("-display: there is no %s yet, going on without a display", others[i]);
			return 0;
		}
	}
	return err_set(err, "'%s' is unknown: use none", arg);
}

int opt_vnc(struct options *o, const char *arg, struct err *err)
{
	o->display_none = true;
	return strcmp(arg, "none") ? err_set(err, "there is no display yet; use -display none") : 0;
}

/* Behaviour */

int opt_no_reboot(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->no_reboot = true;
	return 0;
}

int opt_no_shutdown(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->no_shutdown = true;
	return 0;
}

int opt_placement(struct options *o, const char *arg, struct err *err)
{
	return placement_parse(arg, &o->placement, err);
}

/* Looking inside */

int opt_log_items(struct options *o, const char *arg, struct err *err)
{
	(void)o;
	if (is_help(arg)) {
		log_print_items(stdout);
		return OPTION_EXIT;
	}
	return log_parse_items(arg, err);
}

int opt_log_file(struct options *o, const char *arg, struct err *err)
{
	return file_name(&o->log_file, arg, err);
}

/* NULL, "text", "json", each with ":FILE" */
int opt_stats(struct options *o, const char *arg, struct err *err)
{
	const char *colon = arg ? strchr(arg, ':') : NULL;
	size_t len = !arg ? 0 : colon ? (size_t)(colon - arg) : strlen(arg);

	if (colon && !colon[1])
		return err_set(err, "a file name is missing after ':'");
	o->stats_file = colon ? colon + 1 : NULL;
	if (!arg || (len == 4 && !strncmp(arg, "text", len)))
		o->stats = STATS_TEXT;
	else if (len == 4 && !strncmp(arg, "json", len))
		o->stats = STATS_JSON;
	else
		return err_set(err, "'%.*s' should be text or json", (int)len, arg);
	return 0;
}

int opt_perfmap(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->perfmap = true;
	return 0;
}

int opt_topology(struct options *o, const char *arg, struct err *err)
{
	(void)arg;
	(void)err;
	o->show_topology = true;
	return 0;
}

int opt_help(struct options *o, const char *arg, struct err *err)
{
	(void)o;
	(void)arg;
	(void)err;
	options_print_help(stdout);
	return OPTION_EXIT;
}

int opt_version(struct options *o, const char *arg, struct err *err)
{
	(void)o;
	(void)arg;
	(void)err;
	printf("Cohort %s\n", COHORT_VERSION);
	return OPTION_EXIT;
}
