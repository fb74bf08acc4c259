/* SPDX-License-Identifier: MIT */
/*
 * Parking is the token protocol of thread parkers everywhere, on one futex word:
 *
 *     park:  AWAKE -> PARKED, sleep while PARKED;   TOKEN -> AWAKE, return
 *     wake:  anything -> TOKEN, and futex_wake if it was PARKED
 *
 * A waker that finds TOKEN already there need not write: its reason was published before it read TOKEN, and the
 * parker reads the reasons after it has taken TOKEN (all sequentially consistent), so the parker sees it.
 *
 * Before it sleeps the parker spins for a time that adapts to how long its parks last (sleep included): it doubles after
 * a short one and halves after a long one, so that CPUs which pass work to and fro meet awake, and an idle one spends next to
 * nothing. A wake-up from sleep costs 9 us, on hosts that are virtual machines themselves several times that; hence the upper
 * limit. Nobody spins when more CPU threads are awake than the host has CPUs: a sleeper's place is worth more.
 */
#define _GNU_SOURCE
#include "sched/cpu_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "sched/clock.h"
#include "sched/placement.h"
#include "util/cost.h"
#include "util/err.h"
#include "util/futex.h"
#include "util/jitter.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/rcu.h"
#include "util/stats.h"

#define SPIN_NS_MIN 500
#define SPIN_NS_MAX 50000
#define SHORT_PARK_NS 200000 /* a park that ends sooner was worth spinning for */
#define SPIN_REST 100        /* parks without spinning after a spin of the longest kind was in vain */
#define SLICE_NS 100000      /* the shortest that can be asked for */
#define SIGNAL_STACK_SIZE (64 * 1024)
#define TIMER_SIGNAL SIGRTMIN

enum { AWAKE, PARKED, TOKEN };

struct cpu_thread {
	uint32_t park_word; /* [atomic] AWAKE, PARKED, TOKEN; seq_cst */
	unsigned index;     /* [const] */
	const struct cpu_thread_ops *ops; /* [const] */
	void *cpu;          /* [const] */
	pthread_t thread;   /* [const] after start */
	bool started;       /* [const] after start */
	int64_t spin_ns;    /* [owner] */
	unsigned spin_rest; /* [owner] parks not to spin in */
	timer_t timer;      /* [owner] */
	bool has_timer;     /* [owner] */
	volatile vclock_ns_t timer_armed; /* [owner] and its signal handler: what the host timer is set to at the latest */
	void *signal_stack; /* [owner] */
} __attribute__((aligned(64)));

static _Thread_local struct cpu_thread *self;

/*
 * [atomic] relaxed: CPU threads that have a use for a host CPU: all but those asleep in a park. Who wakes one counts it, as it waits for a host CPU
 * from then on. A hint for spinning.
 */
static unsigned awake;

static void count_awake(void)
{
	__atomic_fetch_add(&awake, 1, __ATOMIC_RELAXED);
}

struct cpu_thread *cpu_thread_self(void)
{
	return self;
}

unsigned cpu_threads_awake(void)
{
	return __atomic_load_n(&awake, __ATOMIC_RELAXED);
}

struct cpu_thread *cpu_thread_new(unsigned index, const struct cpu_thread_ops *ops, void *cpu)
{
	struct cpu_thread *t = aligned_alloc(_Alignof(struct cpu_thread), sizeof(*t));

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->index = index;
	t->ops = ops;
	t->cpu = cpu;
	t->spin_ns = SPIN_NS_MIN;
	t->timer_armed = VCLOCK_NEVER;
	return t;
}

void cpu_thread_free(struct cpu_thread *t)
{
	free(t);
}

/* Thread: the CPU's own, by SIGEV_THREAD_ID. */
static void on_timer_signal(int sig)
{
	struct cpu_thread *t = self;
	int saved_errno = errno;

	(void)sig;
	if (t) {
		t->timer_armed = VCLOCK_NEVER;
		stat_inc(STAT_timer_signals);
		t->ops->timer_signal(t->cpu);
	}
	errno = saved_errno;
}

static void install_handler(void)
{
	struct sigaction sa = { .sa_handler = on_timer_signal, .sa_flags = SA_ONSTACK | SA_RESTART };

	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGSEGV); /* let crashes be crashes */
	sigdelset(&sa.sa_mask, SIGABRT);
	sigaction(TIMER_SIGNAL, &sa, NULL);
}

/* Generated code uses the stack pointer for purposes of its own: every handler must run on this stack. */
static void signal_stack_init(struct cpu_thread *t)
{
	stack_t ss = { .ss_size = SIGNAL_STACK_SIZE };

	t->signal_stack = ss.ss_sp = malloc(SIGNAL_STACK_SIZE);
	if (!ss.ss_sp || sigaltstack(&ss, NULL))
		emu_bug("no signal stack for vCPU %u", t->index);
}

static void signal_stack_fini(struct cpu_thread *t)
{
	stack_t ss = { .ss_flags = SS_DISABLE };

	sigaltstack(&ss, NULL);
	free(t->signal_stack);
}

static void timer_make(struct cpu_thread *t)
{
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TIMER_SIGNAL };
	sigset_t set;

	sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &t->timer))
		emu_bug("timer_create for vCPU %u: errno %d", t->index, errno);
	t->has_timer = true;
	sigemptyset(&set);
	sigaddset(&set, TIMER_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* struct sched_attr of the kernel's interface, which the C library does not have. */
struct slice_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/*
 * A CPU thread that wakes for an interrupt has little to do, and others wait for it: with a short slice the host's scheduler (since Linux
 * 6.12) lets it in before threads with usual ones, at once in place of at the next tick. Its share of the host CPU stays the same. A hint: older
 * hosts ignore it.
 */
static void ask_for_short_slices(void)
{
	struct slice_attr a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) || a.policy != SCHED_OTHER || a.runtime <= SLICE_NS)
		return;
	a.size = sizeof(a);
	a.runtime = SLICE_NS;
	syscall(SYS_sched_setattr, 0, &a, 0);
}

static void *thread_main(void *arg)
{
	struct cpu_thread *t = arg;
	char name[16];

	snprintf(name, sizeof(name), "vcpu %u", t->index);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1ul); /* ns: a guest's timer is not the place to save wake-ups */
	ask_for_short_slices();
	placement_apply(t->index);
	stats_attach(t->index);
	signal_stack_init(t);
	self = t;
	timer_make(t);
	rcu_register();
	count_awake();
	t->ops->run(t->cpu);
	__atomic_fetch_sub(&awake, 1, __ATOMIC_RELAXED);
	rcu_unregister();
	timer_delete(t->timer);
	self = NULL;
	signal_stack_fini(t);
	return NULL;
}

int cpu_thread_start(struct cpu_thread *t, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int ret;

	pthread_once(&once, install_handler);
	ret = pthread_create(&t->thread, NULL, thread_main, t);
	if (ret)
		return err_set(err, "cannot start the thread of CPU %u: %s", t->index, strerror(ret));
	t->started = true;
	return 0;
}

void cpu_thread_join(struct cpu_thread *t)
{
	bool online = rcu_is_registered() && rcu_is_online();

	if (!t->started)
		return;
	assert_no_locks("joining a CPU thread");
	if (online)
		rcu_offline();
	pthread_join(t->thread, NULL);
	if (online)
		rcu_online();
	t->started = false;
}

static bool take_token(struct cpu_thread *t)
{
	uint32_t expected = TOKEN;

	return __atomic_compare_exchange_n(&t->park_word, &expected, AWAKE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool may_spin(void)
{
	return cpu_threads_awake() <= placement_host_cpus();
}

/* True when a wake-up came. */
static bool spin_for_token(struct cpu_thread *t, vclock_ns_t start, vclock_ns_t deadline)
{
	vclock_ns_t end = start + t->spin_ns < deadline ? start + t->spin_ns : deadline;

	do {
		for (int i = 0; i < 16; i++) {
			if (__atomic_load_n(&t->park_word, __ATOMIC_RELAXED) == TOKEN && take_token(t))
				return true;
			cpu_relax();
		}
	} while (may_spin() && clock_now() < end);
	return false;
}

/*
 * The next park's spin. If the longest does not help, who is to wake us may be waiting for the host CPU we spin on (the host has
 * other work): rest for a while, and begin small again.
 */
static void spin_adapt(struct cpu_thread *t, vclock_ns_t took, bool in_vain)
{
	if (t->spin_rest) {
		t->spin_rest--;
	} else if (in_vain && t->spin_ns == SPIN_NS_MAX) {
		t->spin_ns = SPIN_NS_MIN;
		t->spin_rest = SPIN_REST;
	} else if (took > SHORT_PARK_NS) {
		t->spin_ns = t->spin_ns / 2 > SPIN_NS_MIN ? t->spin_ns / 2 : SPIN_NS_MIN;
	} else {
		t->spin_ns = t->spin_ns * 2 < SPIN_NS_MAX ? t->spin_ns * 2 : SPIN_NS_MAX;
	}
}

/* Leaves PARKED: true if by a wake-up, false if the deadline was first. */
static bool leave_parked(struct cpu_thread *t)
{
	if (__atomic_exchange_n(&t->park_word, AWAKE, __ATOMIC_SEQ_CST) == TOKEN)
		return true;
	count_awake();
	return false;
}

static bool sleep_for_token(struct cpu_thread *t, vclock_ns_t deadline)
{
	struct timespec ts, *limit = NULL;
	uint32_t expected = AWAKE;

	jitter();
	__atomic_fetch_sub(&awake, 1, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&t->park_word, &expected, PARKED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		count_awake();
		return take_token(t); /* it was TOKEN */
	}
	if (deadline != VCLOCK_NEVER) {
		ts = clock_to_host(deadline);
		limit = &ts;
	}
	while (__atomic_load_n(&t->park_word, __ATOMIC_SEQ_CST) == PARKED) {
		if (futex_wait(&t->park_word, PARKED, limit) && errno == ETIMEDOUT)
			return leave_parked(t);
	}
	return take_token(t);
}

static bool spin_or_sleep(struct cpu_thread *t, vclock_ns_t deadline)
{
	vclock_ns_t start = clock_now();
	bool spins = !t->spin_rest && may_spin(), woken;

	if (spins && spin_for_token(t, start, deadline)) {
		stat_inc(STAT_park_spins);
		spin_adapt(t, 0, false);
		return true;
	}
	woken = sleep_for_token(t, deadline);
	spin_adapt(t, clock_now() - start, spins);
	return woken;
}

static bool park(struct cpu_thread *t, vclock_ns_t deadline, bool (*how)(struct cpu_thread *, vclock_ns_t))
{
	bool woken;

	assert_no_locks("parking");
	if (take_token(t))
		return true;
	stat_inc(STAT_parks);
	rcu_offline();
	woken = how(t, deadline);
	rcu_online();
	if (woken)
		stat_inc(STAT_kicks_taken);
	return woken;
}

bool cpu_thread_park(struct cpu_thread *t, vclock_ns_t deadline)
{
	return park(t, deadline, spin_or_sleep);
}

bool cpu_thread_nap(struct cpu_thread *t, vclock_ns_t deadline)
{
	return park(t, deadline, sleep_for_token);
}

void cpu_thread_wake(struct cpu_thread *t)
{
	if (__atomic_load_n(&t->park_word, __ATOMIC_SEQ_CST) == TOKEN)
		return;
	cost_lines(1);
	if (__atomic_exchange_n(&t->park_word, TOKEN, __ATOMIC_SEQ_CST) == PARKED) {
		count_awake();
		cost_lines(1);
		stat_inc(STAT_kicks_sent);
		cost_kick();
		futex_wake(&t->park_word, 1);
	}
}

void cpu_thread_timer_set(struct cpu_thread *t, vclock_ns_t deadline)
{
	struct itimerspec its;

	if (deadline >= t->timer_armed)
		return;
	/*
	 * In this order: a signal of the earlier setting that comes in between leaves NEVER here, at worst costing one
	 * needless call later. The other way round it could leave a time that never comes.
	 */
	t->timer_armed = deadline;
	its = (struct itimerspec){ .it_value = clock_to_host(deadline) };
	if (!its.it_value.tv_sec && !its.it_value.tv_nsec)
		its.it_value.tv_nsec = 1; /* 0 would disarm */
	stat_inc(STAT_host_calls);
	if (timer_settime(t->timer, TIMER_ABSTIME, &its, NULL))
		emu_bug("timer_settime: errno %d", errno);
}
