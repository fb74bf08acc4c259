/* SPDX-License-Identifier: MIT */
/*
 * The command line, good and bad. A row is a command line, split at spaces, and what comes of it.
 */
#include "support/test.h"

#include <string.h>

#include "main/options.h"
#include "util/err.h"
#include "util/log.h"
#include "vcpu/vcpu.h"

/* Stand-ins for the vCPU layer: two models, one feature. */
int vcpu_check_model(const char *model, struct err *err)
{
	if (!strcmp(model, "max") || !strcmp(model, "qemu64") || !strcmp(model, "max,-avx") || !strcmp(model, "max,vendor=GenuineIntel"))
		return 0;
	return err_set(err, "no model '%s'", model);
}

void vcpu_print_models(FILE *out)
{
	fprintf(out, "max\n");
}

static struct options o;
static struct err err;

static enum options_result parse(const char *line)
{
	static char copy[1024];
	char *argv[64] = { "cohort" };
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = strcmp(word, "''") ? word : "";
	argv[argc] = NULL;
	err.text[0] = 0;
	log_mask = 0;
	return options_parse(&o, argc, argv, &err);
}

static void parse_ok(const char *line)
{
	if (parse(line) != OPTIONS_RUN)
		fail_msg("'%s': %s", line, err.text);
}

static const struct {
	const char *line, *says;
} bad_lines[] = {
	{ "", "-kernel: missing" },
	{ "-kernel", "-kernel: an argument is missing: FILE" },
	{ "-kernel k stray", "stray: not an option" },
	{ "-kernel k -", "-: not an option" },
	{ "-kernel k -nonsense", "-nonsense: unknown option; -help" },
	{ "-kernal k", "-kernal: unknown option; is -kernel meant?" },
	{ "-kernel k --apend x", "--apend: unknown option; is -append meant?" },
	{ "-kernel k -nographics", "is -nographic meant?" },
	{ "-initrd i", "-initrd: needs a -kernel" },
	{ "-append x", "-append: needs a -kernel" },
	{ "-kernel ''", "-kernel: a file name is missing" },
	{ "-kernel k -smp 0", "-smp: cpus: must be at least 1" },
	{ "-kernel k -smp -1", "-smp: cpus: '-1' is not a number" },
	{ "-kernel k -smp x", "-smp: " },
	{ "-kernel k -smp 1x", "-smp: " },
	{ "-kernel k -smp ''", "-smp: cpus has no value" },
	{ "-kernel k -smp 256", "-smp: 256 CPUs are too many: at most 255" },
	{ "-kernel k -smp 100000", "-smp: 100000 CPUs are too many" },
	{ "-kernel k -smp 4,sockets=3", "-smp: sockets=3 x cores=1 x threads=1 is not 4 CPUs" },
	{ "-kernel k -smp 4,cores=0", "-smp: cores: must be at least 1" },
	{ "-kernel k -smp 4,nonsense=1", "-smp: 'nonsense' is unknown here; known: cpus, sockets" },
	{ "-kernel k -smp 4,maxcpus=2", "-smp: maxcpus=2 is less" },
	{ "-kernel k -smp 2,sockets=4294967295,cores=4294967295", "-smp: " },
	{ "-kernel k -m 0", "-m: size: the size must not be 0" },
	{ "-kernel k -m -5", "-m: size: '-5' is not a size such as 512M" },
	{ "-kernel k -m 12Q", "-m: " },
	{ "-kernel k -m 99999999T", "-m: size: size '99999999T' is too large" },
	{ "-kernel k -cpu no-such-model", "-cpu: no model" },
	{ "-kernel k -cpu ''", "-cpu: a model is missing" },
	{ "-kernel k -accel kvm", "-accel: Cohort translates and has no KVM" },
	{ "-kernel k -machine pc,accel=kvm", "-accel: Cohort translates and has no KVM" },
	{ "-kernel k -enable-kvm", "-enable-kvm: Cohort translates" },
	{ "-kernel k -accel nonsense", "-accel: accel: unknown accelerator" },
	{ "-kernel k -accel tcg,thread=banana", "-accel: thread: 'banana' should be multi" },
	{ "-kernel k -accel tcg,engine=banana", "-accel: engine: 'banana' should be jit or interp" },
	{ "-kernel k -accel tcg,tb-size=x", "-accel: tb-size: 'x' is not a number" },
	{ "-kernel k -accel tcg,tb-size=0", "-accel: tb-size: 0 MiB is too small" },
	{ "-kernel k -accel tcg,tb-size=9999999", "-accel: tb-size: 9999999 is too large" },
	{ "-kernel k -accel tcg,nonsense=1", "-accel: 'nonsense' is unknown here" },
	{ "-kernel k -machine isapc", "-machine: type: there is no machine 'isapc'" },
	{ "-kernel k -M ''", "-M: type has no value" },
	{ "-kernel k -serial nonsense:x", "-serial: 'nonsense:x' is not there: use stdio, mon:stdio, file:PATH" },
	{ "-kernel k -serial file:", "-serial: 'file:' is not there" },
	{ "-kernel k -serial stdio -monitor stdio", "-serial: stdio can be used once" },
	{ "-kernel k -monitor telnet:x", "-monitor: 'telnet:x' is not there: use stdio or none" },
	{ "-kernel k -debugcon mon:stdio", "-debugcon: " },
	{ "-kernel k -display wall", "-display: 'wall' is unknown: use none" },
	{ "-kernel k -vnc :1", "-vnc: there is no display yet" },
	{ "-kernel k -device virtio-net-pci", "-device: there is no device 'virtio-net-pci' ('-device help'" },
	{ "-kernel k -device isa-debug-exit,iobase=zzz", "-device: isa-debug-exit: iobase: 'zzz' is not a number" },
	{ "-kernel k -device isa-debug-exit,iobase=0xffff,iosize=4", "-device: isa-debug-exit: iosize does not fit" },
	{ "-kernel k -d no-such-item", "-d: no such log item 'no-such-item' ('-d help'" },
	{ "-kernel k -D ''", "-D: a file name is missing" },
	{ "-kernel k --stats=xml", "-stats: 'xml' should be text or json" },
	{ "-kernel k --stats=json:", "-stats: a file name is missing" },
	{ "-kernel k -rtc base=localtime", "-rtc: base: 'localtime' is not there" },
	{ "-kernel k -numa hmat-lb,initiator=0", "-numa: 'hmat-lb' is unknown: use node, dist or cpu" },
	{ "-kernel k -numa node,cpus=0-", "-numa: cpus: '0-' is not a range" },
	{ "-kernel k -numa node,cpus=300", "-numa: cpus: 300 is too large" },
	{ "-kernel k -numa node,nodeid=64", "-numa: nodeid: 64 is too large" },
	{ "-kernel k -numa node,nodeid=1", "-numa: there is a node 1, but no node 0" },
	{ "-kernel k -numa node,nodeid=0 -numa node,nodeid=0", "-numa: node 0 is there already" },
	{ "-kernel k -smp 2 -numa node,cpus=0 -numa node,cpus=0-1", "-numa: CPU 0 has node 0 already" },
	{ "-kernel k -smp 2 -numa node,cpus=0-2", "-numa: there is no CPU 2: -smp makes 2" },
	{ "-kernel k -m 512 -numa node,mem=256M -numa node,mem=128M", "-numa: the nodes have 384 MiB of memory together" },
	{ "-kernel k -numa node,mem=512M,memdev=a", "-numa: node 0: mem and memdev exclude each other" },
	{ "-kernel k -numa node,memdev=a", "-numa: there is no -object with id=a" },
	{ "-kernel k -object memory-backend-ram,id=a,size=512M", "-object: 'a' is not used" },
	{ "-kernel k -object memory-backend-file,id=a,size=512M", "-object: there is no object 'memory-backend-file'" },
	{ "-kernel k -object memory-backend-ram,id=a", "-object: a memory backend needs an id and a size" },
	{ "-kernel k -object memory-backend-ram,id=a,size=1G,policy=bind", "-object: a: policy needs host-nodes" },
	{ "-kernel k -object memory-backend-ram,id=a,size=1G,host-nodes=0", "-object: a: host-nodes needs policy" },
	{ "-kernel k -object memory-backend-ram,id=a,size=1G,policy=near", "-object: policy: 'near' should be" },
	{ "-kernel k -numa dist,src=0,dst=1,val=9", "-numa: val: a distance is" },
	{ "-kernel k -numa dist,src=0", "-numa: dist needs src, dst and val" },
	{ "-kernel k -numa node -numa cpu,node-id=0,core-id=7", "-numa: cpu: -smp makes no such CPU" },
	{ "-kernel k -numa cpu,core-id=0", "-numa: cpu needs a node-id" },
	{ "-kernel k -numa cpu,node-id=0", "-numa: CPU 0: there is no node 0" },
	{ "-kernel k -placement wide", "-placement: unknown placement 'wide'" },
	{ "-kernel k -drive file=x", "-drive: there are no disks yet" },
	{ "-kernel k -net", "-net: an argument is missing" },
	{ "-kernel k -kernel=x", "-kernel=x: unknown option" },
};

static void bad_lines_name_the_option_and_the_remedy(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_lines); i++) {
		if (parse(bad_lines[i].line) != OPTIONS_ERROR)
			fail_msg("'%s' was accepted", bad_lines[i].line);
		if (!strstr(err.text, bad_lines[i].says) || strchr(err.text, '\n'))
			fail_msg("'%s' gives '%s', not '%s'", bad_lines[i].line, err.text, bad_lines[i].says);
	}
}

static void defaults_are_a_small_machine_on_the_terminal(void **state)
{
	(void)state;
	parse_ok("-kernel k");
	assert_true(o.cpus == 1 && o.sockets == 1 && o.cores == 1 && o.threads == 1);
	assert_true(o.ram_size == 512ull << 20);
	assert_string_equal(o.cpu_model, "max");
	assert_int_equal(o.nr_serial, 1);
	assert_string_equal(o.serial[0], "mon:stdio");
	assert_true(!o.interp && !o.monitor && o.stats == STATS_NONE && o.placement.policy == PLACEMENT_AUTO);
}

static void topology_is_completed(void **state)
{
	static const struct {
		const char *smp;
		unsigned cpus, sockets, cores, threads;
	} cases[] = {
		{ "4", 4, 1, 4, 1 },
		{ "cpus=6,threads=2", 6, 1, 3, 2 },
		{ "8,sockets=2", 8, 2, 4, 1 },
		{ "8,sockets=2,cores=2,threads=2", 8, 2, 2, 2 },
		{ "8,cores=2", 8, 4, 2, 1 },
		{ "sockets=2,cores=3", 6, 2, 3, 1 },
		{ "maxcpus=4", 4, 1, 4, 1 },
		{ "2,maxcpus=4,sockets=2,cores=2", 2, 2, 2, 1 },
		{ "255", 255, 1, 255, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[100];

		snprintf(line, sizeof(line), "-kernel k -smp %s", cases[i].smp);
		parse_ok(line);
		if (o.cpus != cases[i].cpus || o.sockets != cases[i].sockets || o.cores != cases[i].cores ||
		    o.threads != cases[i].threads)
			fail_msg("%s: %u = %u x %u x %u", cases[i].smp, o.cpus, o.sockets, o.cores, o.threads);
	}
}

static void qemu_command_lines_are_understood(void **state)
{
	(void)state;
	parse_ok("-M q35 -cpu qemu64 -smp 4 -m 2G -accel tcg,thread=multi,tb-size=256 -nodefaults -no-user-config -display none"
		 " -vga none -net none -serial stdio -kernel k -initrd i -append console=ttyS0 -no-reboot -name guest=x,process=y"
		 " -boot c -rtc base=utc,clock=host -device isa-debug-exit,iobase=0xf4,iosize=0x04 -global a.b=c -monitor none");
	assert_true(o.debug_exit && o.debug_exit_base == 0xf4 && o.debug_exit_size == 4);
	assert_true(o.no_reboot && o.tb_size == 256ull << 20 && o.ram_size == 2ull << 30);
	assert_string_equal(o.name, "x");
	assert_string_equal(o.append, "console=ttyS0");
	parse_ok("-accel kvm -accel tcg -kernel k");
	parse_ok("-machine pc,accel=kvm:tcg -kernel k");
	parse_ok("-machine pc-i440fx-7.2,usb=off -kernel k -m size=256M,slots=2,maxmem=1G");
	assert_true(o.ram_size == 256ull << 20);
	parse_ok("-display gtk -kernel k");
	parse_ok("-accel tcg,engine=interp,jitter=99 --kernel k --cpu max,-avx");
	assert_true(o.interp && o.jitter == 99);
}

static void console_defaults_follow_the_display(void **state)
{
	(void)state;
	parse_ok("-kernel k -nographic");
	assert_string_equal(o.serial[0], "mon:stdio");
	parse_ok("-kernel k -display none");
	assert_string_equal(o.serial[0], "null");
	parse_ok("-kernel k -nodefaults");
	assert_int_equal(o.nr_serial, 0);
	parse_ok("-kernel k -monitor stdio");
	assert_string_equal(o.serial[0], "none");
	parse_ok("-kernel k -serial null -serial file:x");
	assert_int_equal(o.nr_serial, 2);
}

static void observation_options(void **state)
{
	(void)state;
	parse_ok("-kernel k --stats");
	assert_true(o.stats == STATS_TEXT && !o.stats_file);
	parse_ok("-kernel k --stats=json:out.json -perfmap");
	assert_true(o.stats == STATS_JSON && o.perfmap);
	assert_string_equal(o.stats_file, "out.json");
	assert_true(!o.gdb && !o.stopped);
	parse_ok("-kernel k -s -S");
	assert_string_equal(o.gdb, "tcp::1234");
	assert_true(o.stopped);
	parse_ok("-kernel k -gdb unix:/x");
	assert_string_equal(o.gdb, "unix:/x");
	parse_ok("-kernel k -stats=text:/x");
	assert_string_equal(o.stats_file, "/x");
	parse_ok("-kernel k -d int,exec -D log");
	assert_int_equal(log_mask, LOG_INT | LOG_EXEC);
	parse_ok("--topology -smp 3");
	assert_true(o.show_topology);
	parse_ok("-kernel k -placement cpus=0-1");
	assert_int_equal(o.placement.policy, PLACEMENT_CPUS);
}

/* As the run scripts of public hypervisor tests have them. */
static void hypervisor_tests_are_started(void **state)
{
	(void)state;
	parse_ok("-no-reboot -nodefaults -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none -serial stdio"
		 " -machine accel=tcg,kernel_irqchip=split -kernel k -smp 2 -cpu max,vendor=GenuineIntel -initrd i --append x");
	assert_true(o.testdev && o.debug_exit && o.display_none && !o.nographic);
	assert_int_equal(o.cpus, 2);
}

static void help_ends_successfully(void **state)
{
	static const char *const lines[] = { "-h", "-help", "--help", "-version", "--version", "-d help", "-cpu help",
					     "-cpu ?", "-device help", "-machine help", "-accel help" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (parse(lines[i]) != OPTIONS_DONE)
			fail_msg("'%s'", lines[i]);
	}
}

static void nodes_are_put_together(void **state)
{
	const struct numa *n = &o.numa.numa;

	(void)state;
	parse_ok("-kernel k -smp 4 -m 1G -numa node,cpus=0,cpus=2-3,memdev=b -numa node,memdev=a,cpus=1"
		 " -object memory-backend-ram,id=a,size=256M,host-nodes=0-1,policy=interleave"
		 " -object memory-backend-ram,id=b,size=768M -numa dist,src=0,dst=1,val=30");
	assert_int_equal(n->nr, 2);
	assert_memory_equal(n->node_of_cpu, ((uint8_t[]){ 0, 1, 0, 0 }), 4);
	assert_int_equal(n->node[0].size, 768ull << 20);
	assert_int_equal(n->node[0].host.policy, NUMA_DEFAULT);
	assert_int_equal(n->node[1].size, 256ull << 20);
	assert_int_equal(n->node[1].host.policy, NUMA_INTERLEAVE);
	assert_int_equal(n->node[1].host.nodes, 3);
	assert_int_equal(n->distance[1][0], 30);
	parse_ok("-kernel k -smp 4,sockets=2,cores=1,threads=2 -numa node -numa node -numa cpu,node-id=1,socket-id=0"
		 " -numa cpu,node-id=0,socket-id=1");
	assert_memory_equal(n->node_of_cpu, ((uint8_t[]){ 1, 1, 0, 0 }), 4);
	assert_int_equal(n->node[1].size, 256ull << 20);
	parse_ok("-kernel k -smp 2");
	assert_int_equal(n->nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_lines_name_the_option_and_the_remedy),
		cmocka_unit_test(defaults_are_a_small_machine_on_the_terminal),
		cmocka_unit_test(topology_is_completed),
		cmocka_unit_test(qemu_command_lines_are_understood),
		cmocka_unit_test(console_defaults_follow_the_display),
		cmocka_unit_test(observation_options),
		cmocka_unit_test(hypervisor_tests_are_started),
		cmocka_unit_test(help_ends_successfully),
		cmocka_unit_test(nodes_are_put_together),
	};

	return RUN_TESTS(tests);
}
