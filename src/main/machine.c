/* SPDX-License-Identifier: MIT */
/*
 * Puts the parts together: RAM, guest CPUs, board, consoles; then runs the I/O loop and carries out power requests on it.
 */
#include "main/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hw/char/chardev.h"
#include "hw/pc/pc.h"
#include "main/gdb.h"
#include "main/monitor.h"
#include "main/options.h"
#include "mem/ram.h"
#include "sched/clock.h"
#include "sched/evloop.h"
#include "sched/placement.h"
#include "tcg/tcg.h"
#include "util/bitops.h"
#include "util/err.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/stats.h"
#include "vcpu/vcpu.h"

#define RAM_UNIT ((uint64_t)2 << 20)

static const struct options *options; /* [const] */
static struct pc *pc;
static struct chardev *serial[OPTIONS_MAX_SERIAL], *debugcon, *monitor_chardev;
static bool vcpus_made, running; /* main thread only */
static bool *chosen; /* [nr_vcpus], main thread only: who runs while `running` is set, or did before it was cleared */
static int signal_fd = -1;

/* Counters */

/* Rather now than at the end of a long run. A pipe need not have its reader yet. */
static int check_stats_file(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno == ENXIO ? 0 : err_set(err, "-stats: cannot write '%s': %s", path, strerror(errno));
	close(fd);
	return 0;
}

static void print_stats(void)
{
	enum stats_format format = options->stats == STATS_NONE ? STATS_TEXT : options->stats;
	FILE *out = options->stats_file ? fopen(options->stats_file, "w") : stderr;

	if (!out) {
		warn("-stats: cannot write '%s': %s", options->stats_file, strerror(errno));
		return;
	}
	if (format == STATS_JSON)
		stats_print_json(out);
	else
		stats_print_text(out);
	if (out != stderr && fclose(out))
		warn("-stats: cannot write '%s': %s", options->stats_file, strerror(errno));
}

/* Power and run state */

bool machine_is_running(void)
{
	return running;
}

void machine_pause(void)
{
	if (!running)
		return;
	vcpus_pause_all();
	running = false;
}

void machine_resume(void)
{
	if (running)
		return;
	for (unsigned i = 0; i < nr_vcpus; i++)
		chosen[i] = true;
	machine_resume_some();
}

void machine_choose(unsigned cpu, bool runs)
{
	chosen[cpu] = runs;
}

void machine_resume_some(void)
{
	running = true;
	for (unsigned i = 0; i < nr_vcpus; i++)
		if (chosen[i])
			vcpu_resume(vcpus[i]);
}

/*
 * Requests come from any thread and are carried out on the I/O loop. Kernels ask for a reset in several ways, one after the
 * other: `reset_pending` makes that one reset. It is cleared with all vCPUs paused, so that a later request is a new one.
 */
static bool reset_pending;       /* [atomic] */
static const char *reset_reason; /* [atomic] of the pending request */
static int poweroff_status;      /* [atomic] */

/* All vCPUs are paused. */
static void reset_paused(void)
{
	struct err err;

	__atomic_store_n(&reset_pending, false, __ATOMIC_SEQ_CST);
	if (pc_reset(pc, &err)) {
		info("reset: %s", err.text);
		evloop_stop(1);
		return;
	}
	vcpus_reset_all();
}

void machine_reset(void)
{
	bool was_running = running;

	machine_pause();
	reset_paused();
	if (was_running)
		machine_resume_some();
}

static void do_reset(void *opaque)
{
	static const char *told; /* a guest that crashes at each start says so once */
	const char *why = __atomic_load_n(&reset_reason, __ATOMIC_ACQUIRE);

	(void)opaque;
	if (why && why != told)
		info("%s: %s", why, options->no_reboot ? "ending, because of -no-reboot" : "resetting the machine");
	told = why;
	if (options->no_reboot)
		evloop_stop(0);
	else
		machine_reset();
}

static void on_reset(const char *why)
{
	if (__atomic_exchange_n(&reset_pending, true, __ATOMIC_SEQ_CST))
		return;
	__atomic_store_n(&reset_reason, why, __ATOMIC_RELEASE);
	evloop_call(do_reset, NULL);
}

static void do_poweroff(void *opaque)
{
	(void)opaque;
	if (!options->no_shutdown) {
		evloop_stop(__atomic_load_n(&poweroff_status, __ATOMIC_ACQUIRE));
		return;
	}
	info("the guest has powered off; staying because of -no-shutdown");
	machine_pause();
}

static void on_poweroff(int exit_status)
{
	__atomic_store_n(&poweroff_status, exit_status, __ATOMIC_RELEASE);
	evloop_call(do_poweroff, NULL);
}

static const struct machine_power_ops power_ops = { on_reset, on_poweroff };

void machine_powerdown(void)
{
	pc_power_button(pc);
}

void machine_quit(int status)
{
	evloop_stop(status);
}

void machine_nmi(void)
{
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpu_request(vcpus[i], VCPU_REQ_NMI);
}

/* Signals */

/* Of a guest that hangs. Should a CPU be what hangs, the pause does not end, and what was told before must do. */
static void print_state(void)
{
	static const char *const states[] = { "waits for start", "running", "halted" };
	bool was_running = running;

	for (unsigned i = 0; i < nr_vcpus; i++)
		fprintf(stderr, "CPU#%u: %s, requests %04x, %s\n", i, states[vcpu_run_state(vcpus[i])],
			atomic_load_explicit(&vcpus[i]->env.request, memory_order_relaxed), atomic_load(&vcpus[i]->inside) ? "awake" : "asleep");
	machine_pause();
	for (unsigned i = 0; i < nr_vcpus; i++)
		vcpu_dump(vcpus[i], stderr);
	if (was_running)
		machine_resume_some();
}

static void on_signal(void *opaque, int fd, unsigned events)
{
	struct signalfd_siginfo si;

	(void)opaque;
	(void)events;
	if (read(fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGUSR1) {
		print_stats();
		return;
	}
	if (si.ssi_signo == SIGUSR2) {
		print_state();
		return;
	}
	info("ended by signal %u", si.ssi_signo);
	evloop_stop(128 + (int)si.ssi_signo);
}

static void loop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
}

/*
 * liburcu's threads block all signals but SIGUSR1, so that one may choose such a thread though nobody waits for it there: on to the main thread,
 * where it is blocked and read.
 */
static void on_stray_signal(int sig)
{
	int saved_errno = errno;

	syscall(SYS_tgkill, getpid(), getpid(), sig);
	errno = saved_errno;
}

/* Blocked here, before any thread is made, so that they all arrive at the I/O loop. */
static int signals_init(struct err *err)
{
	sigset_t set;

	loop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, on_stray_signal);
	signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signal_fd < 0 || evloop_fd_add(signal_fd, EPOLLIN, on_signal, NULL))
		return err_set(err, "cannot watch for signals: %s", strerror(errno));
	return 0;
}

/* From here on a second signal ends the process at once. */
static void signals_fini(void)
{
	sigset_t set;

	if (signal_fd < 0)
		return;
	evloop_fd_del(signal_fd);
	close(signal_fd);
	signal_fd = -1;
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	loop_signals(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Construction */

static int open_chardev(struct chardev **cd, const char *option, const char *spec, struct err *err)
{
	struct err why;

	if (!spec || !strcmp(spec, "none"))
		return 0;
	*cd = chardev_open(spec, &why);
	return *cd ? 0 : err_set(err, "-%s: %.450s", option, why.text);
}

static int open_consoles(struct err *err)
{
	for (unsigned i = 0; i < options->nr_serial; i++) {
		if (open_chardev(&serial[i], "serial", options->serial[i], err))
			return -1;
	}
	if (open_chardev(&debugcon, "debugcon", options->debugcon, err))
		return -1;
	return open_chardev(&monitor_chardev, "monitor", options->monitor, err);
}

static void attach_monitors(void)
{
	if (monitor_chardev)
		monitor_attach(monitor_chardev);
	for (unsigned i = 0; i < options->nr_serial; i++) {
		if (!strcmp(options->serial[i], "mon:stdio"))
			monitor_attach(serial[i]); /* behind the serial port: Ctrl-A c goes there */
	}
}

static int create_vcpus(struct err *err)
{
	const struct vcpu_config config = {
		.nr = options->cpus,
		.sockets = options->sockets,
		.cores = options->cores,
		.threads = options->threads,
		.cpu_model = options->cpu_model,
		.interp = options->interp,
		.tb_size = options->tb_size,
		.jitter = options->jitter,
		.exact_flags = options->exact_flags,
		.perfmap = options->perfmap,
	};

	if (vcpus_create(&config, err))
		return -1;
	vcpus_made = true;
	chosen = malloc(options->cpus * sizeof(*chosen));
	if (!chosen)
		return err_set(err, "out of memory");
	memset(chosen, true, options->cpus * sizeof(*chosen));
	return 0;
}

static int create_board(struct err *err)
{
	struct pc_config config = {
		.kernel = options->kernel,
		.initrd = options->initrd,
		.cmdline = options->append,
		.no_hpet = options->no_hpet,
		.no_acpi = options->no_acpi,
		.numa = options->numa.numa.nr ? &options->numa.numa : NULL,
		.debugcon = debugcon,
		.testdev = options->testdev,
		.debug_exit = options->debug_exit,
		.debug_exit_base = (uint16_t)options->debug_exit_base,
		.debug_exit_size = (uint16_t)options->debug_exit_size,
	};

	memcpy(config.serial, serial, sizeof(config.serial));
	pc = pc_new(&config, err);
	return pc ? 0 : -1;
}

int machine_create(const struct options *o, struct err *err)
{
	const struct placement_guest guest = { options_cpus(o), &o->numa.numa };

	options = o;
	if (o->stats_file && check_stats_file(o->stats_file, err))
		return -1;
	clock_init();
	rcu_register();
	if (evloop_init())
		return err_set(err, "cannot make the event loop: %s", strerror(errno));
	if (signals_init(err) || placement_init(&o->placement, &guest, err))
		return -1;
	placement_apply_others(); /* before any other thread is made */
	stats_timed = o->stats != STATS_NONE;
	if (stats_init(o->cpus))
		return err_set(err, "out of memory");
	if (ram_init(align_up(o->ram_size, RAM_UNIT), err)) {
		struct err why = *err;

		return err_set(err, "-m: %.480s", why.text);
	}
	if (placement_bind_memory(ram_base, err)) {
		struct err why = *err;

		return err_set(err, "-numa: %.480s", why.text);
	}
	machine_set_power_ops(&power_ops);
	if (create_vcpus(err) || open_consoles(err) || create_board(err))
		return -1;
	attach_monitors();
	return 0;
}

static size_t heap_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* When the vCPUs have ended, the heap is as it was before they began, but for the blocks in code memory; what else is there has leaked. */
static void account_for_heap(size_t at_start)
{
	size_t blocks, now;

	vcpus_stop();
	blocks = tcg_settle();
	now = heap_in_use();
	if (now > at_start + blocks)
		stat_add(STAT_heap_left, now - at_start - blocks);
}

int machine_run(struct err *err)
{
	size_t heap_at_start = heap_in_use();
	int status;

	running = !options->stopped;
	if (options->gdb && gdb_server_open(options->gdb, err))
		return -1;
	if (vcpus_start(options->stopped, err))
		return -1;
	status = evloop_run();
	gdb_server_close(status);
	if (options->stats != STATS_NONE) {
		account_for_heap(heap_at_start);
		print_stats();
	}
	return status;
}

void machine_destroy(void)
{
	signals_fini();
	gdb_server_close(0);
	if (vcpus_made)
		vcpus_stop();
	monitors_free();
	if (pc)
		pc_free(pc);
	for (unsigned i = 0; i < OPTIONS_MAX_SERIAL; i++) {
		if (serial[i])
			chardev_close(serial[i]);
	}
	if (debugcon)
		chardev_close(debugcon);
	if (monitor_chardev)
		chardev_close(monitor_chardev);
	if (vcpus_made)
		vcpus_free();
	free(chosen);
	chosen = NULL;
	placement_fini();
	ram_fini();
	stats_fini();
}
