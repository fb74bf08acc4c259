/* SPDX-License-Identifier: MIT */
/*
 * What a compiler makes of ordinary code for x86-64-v4 (AVX-512 F, BW, CD, DQ, VL), with the intrinsics it would not choose by itself; masked
 * accesses at the end of memory; and whether vectors and masks survive other threads and signals. Built with -march=x86-64-v4 as the file's
 * name says; checksums cover the bits of every result.
 *
 *   avx512_v4 [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define N 64
#define PAGE 4096
#define THREADS 4

static const char *const me = "avx512";
static long rounds;
static uint64_t rng = 7;

static double unit(void)
{
	return (double)(int64_t)rng_next(&rng) * 0x1p-63;
}

/* Vectorised by the compiler, with fused operations and masked ends. */
static void test_matrix(void)
{
	static double a[N][N], b[N][N], c[N][N];
	static float s[N][N], t[N][N];
	uint64_t h = FNV_BASIS;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = unit();
			b[i][j] = unit();
			s[i][j] = (float)unit();
		}
	for (long r = 0; r < rounds / 200 + 1; r++) {
		for (int i = 0; i < N; i++)
			for (int k = 0; k < N; k++)
				for (int j = 0; j < N - (int)(r & 3); j++)
					c[i][j] += a[i][k] * b[k][j];
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				t[j][i] = s[i][j] > 0 ? s[i][j] * s[j][i] - (float)c[i][j] : (float)c[j][i];
				a[i][j] = c[i][j] * 0x1p-6 + (double)t[j][i] * 0x1p-7;
			}
		h = hash_bytes(hash_bytes(h, c, sizeof(c)), t, sizeof(t));
	}
	report(me, "matrix", h);
}

/* Integers of all widths, permutations of two vectors, conflicts, ternary logic, comparisons into masks. */
static void test_integers(void)
{
	uint64_t h = FNV_BASIS, in[24];

	for (long r = 0; r < rounds; r++) {
		__m512i a, b, c;
		__mmask16 m;
		__mmask64 k;

		for (int i = 0; i < 24; i++)
			in[i] = rng_next(&rng);
		a = _mm512_loadu_si512(in);
		b = _mm512_loadu_si512(in + 8);
		c = _mm512_loadu_si512(in + 16);
		k = _mm512_cmpgt_epu8_mask(a, b) ^ _mm512_testn_epi8_mask(a, c);
		m = _mm512_cmple_epi32_mask(a, c);
		c = _mm512_ternarylogic_epi64(_mm512_maskz_adds_epu8(k, a, b), _mm512_rorv_epi32(b, c), a, 0x96);
		a = _mm512_mask_permutex2var_epi32(a, m, c, b);
		b = _mm512_mullo_epi64(_mm512_conflict_epi32(_mm512_and_si512(a, _mm512_set1_epi32(7))), _mm512_lzcnt_epi64(c));
		h = hash_bytes(hash_bytes(h, &a, sizeof(a)), &b, sizeof(b));
		a = _mm512_shuffle_epi8(a, _mm512_srav_epi16(b, c));
		h = hash_u64(hash_bytes(h, &a, sizeof(a)), k + m + (uint64_t)_kortestc_mask16_u8(m, m) + _mm512_reduce_add_epi32(b));
	}
	report(me, "integers", h);
}

/* Any bits that are a number, an infinity or a NaN. */
static float any_float(void)
{
	uint32_t u = (uint32_t)rng_next(&rng);
	float f;

	if (!(u & 7))
		u |= 0x7f800000;
	else if ((u & 7) == 1)
		u &= 0x807fffff;
	memcpy(&f, &u, sizeof(f));
	return f;
}

/* Rounding in the instruction and by MXCSR, and the flags that remain. */
static void test_floats(void)
{
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds; r++) {
		float in[48];
		__m512 a, b, c, d;
		__m512i i;
		__mmask16 m;

		for (int n = 0; n < 48; n++)
			in[n] = any_float();
		_mm_setcsr(0x1f80 | (unsigned)(r & 3) << 13 | (r & 4 ? 0x8040 : 0));
		a = _mm512_loadu_ps(in);
		b = _mm512_loadu_ps(in + 16);
		c = _mm512_loadu_ps(in + 32);
		m = _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ) ^ _mm512_fpclass_ps_mask(c, 0x99);
		d = _mm512_mask_fmadd_round_ps(a, m, b, c, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
		h = hash_u64(hash_bytes(h, &d, sizeof(d)), _mm_getcsr());
		d = _mm512_maskz_div_ps(m, a, _mm512_getmant_ps(c, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src));
		h = hash_u64(hash_bytes(h, &d, sizeof(d)), _mm_getcsr());
		d = _mm512_range_ps(_mm512_scalef_ps(a, b), _mm512_roundscale_ps(c, 0x23), 2);
		i = _mm512_cvt_roundps_epu32(b, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
		h = hash_bytes(hash_bytes(h, &d, sizeof(d)), &i, sizeof(i));
		h = hash_u64(h, _mm_getcsr() + (uint64_t)_mm_cvtss_u64(_mm512_castps512_ps128(c)));
		_mm_setcsr(0x1f80);
	}
	report(me, "floats", h);
}

/* Two pages with nothing behind them; masks keep every access inside. */
static void test_masks(void)
{
	uint8_t *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = p + 2 * PAGE;
	uint64_t h = FNV_BASIS;

	if (p == MAP_FAILED || munmap(end, PAGE))
		fail(me, "mmap");
	for (int i = 0; i < 2 * PAGE; i++)
		p[i] = (uint8_t)rng_next(&rng);
	for (long r = 0; r < rounds; r++) {
		unsigned left = (unsigned)rng_next(&rng) % 64;
		__mmask64 k = _bzhi_u64(rng_next(&rng), left);
		__mmask16 m = (__mmask16)_bzhi_u32((unsigned)rng_next(&rng), left / 4);
		__m512i v = _mm512_maskz_loadu_epi8(k, end - left), w, i;

		w = _mm512_mask_expandloadu_epi32(v, m, end - 4 * __builtin_popcount(m));
		_mm512_mask_storeu_epi8(end - left, k, _mm512_add_epi8(w, v));
		_mm512_mask_compressstoreu_epi32(end - 4 * __builtin_popcount(m) - left % 8, m, w);
		_mm512_mask_cvtepi32_storeu_epi8(end - left / 4, m, v);
		i = _mm512_and_si512(w, _mm512_set1_epi32(2 * PAGE - 4));
		v = _mm512_mask_i32gather_epi32(v, m, i, p, 1);
		_mm512_mask_i32scatter_epi32(p, (__mmask16)~m, i, v, 1);
		w = _mm512_mask_add_epi32(w, m, v, _mm512_set1_epi32(*(volatile int *)(end - 4)));
		h = hash_bytes(hash_bytes(h, &v, sizeof(v)), &w, sizeof(w));
	}
	h = hash_bytes(h, p, 2 * PAGE);
	report(me, "masks", h);
}

/* ---- All registers */

struct registers {
	__m512i z[32];
	uint64_t k[8];
};

#define Z4(op, a, b, c, d) op(a) op(b) op(c) op(d)
#define ALL(op) \
	Z4(op, 0, 1, 2, 3) Z4(op, 4, 5, 6, 7) Z4(op, 8, 9, 10, 11) Z4(op, 12, 13, 14, 15) \
	Z4(op, 16, 17, 18, 19) Z4(op, 20, 21, 22, 23) Z4(op, 24, 25, 26, 27) Z4(op, 28, 29, 30, 31)
#define LOAD(n) "vmovdqa64 64*" #n "(%0), %%zmm" #n "\n\t"
#define STORE(n) "vmovdqa64 %%zmm" #n ", 64*" #n "(%1)\n\t"
#define KLOAD(n) "kmovq 2048+8*" #n "(%0), %%k" #n "\n\t"
#define KSTORE(n) "kmovq %%k" #n ", 2048+8*" #n "(%1)\n\t"
#define CLOBBER(n) "xmm" #n,

/* Loads all registers from in, makes that system call, stores them to out. */
static void around_call(const struct registers *in, struct registers *out, long call, long arg, long arg2)
{
	register const struct registers *r12 __asm__("r12") = in;
	register struct registers *r13 __asm__("r13") = out;

	__asm__ volatile(ALL(LOAD) Z4(KLOAD, 0, 1, 2, 3) Z4(KLOAD, 4, 5, 6, 7) "syscall\n\t" ALL(STORE) Z4(KSTORE, 0, 1, 2, 3)
			 Z4(KSTORE, 4, 5, 6, 7)
			 :
			 : "r"(r12), "r"(r13), "a"(call), "D"(arg), "S"(arg2)
			 : ALL(CLOBBER) "k1", "k2", "k3", "k4", "k5", "k6", "k7", "rcx", "r11", "memory");
}

/* Some have nothing in the upper halves, in the upper registers, in the masks. */
static void fill(struct registers *r, uint64_t *state)
{
	unsigned which = (unsigned)rng_next(state);

	memset(r, 0, sizeof(*r));
	for (int n = 0; n < (which & 1 ? 32 : 16); n++)
		for (int k = 0; k < (which & 2 ? 8 : 4); k++)
			r->z[n][k] = (long long)rng_next(state);
	for (int k = 0; k < 8 && which & 4; k++)
		r->k[k] = rng_next(state);
}

static void *thread(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	struct registers in, out;

	for (long r = 0; r < rounds; r++) {
		fill(&in, &state);
		around_call(&in, &out, SYS_sched_yield, 0, 0);
		if (memcmp(&in, &out, sizeof(in)))
			return "changed";
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	void *bad;

	for (long n = 0; n < THREADS; n++)
		if (pthread_create(&t[n], NULL, thread, (void *)(n + 1)))
			fail(me, "pthread_create");
	for (int n = 0; n < THREADS; n++) {
		pthread_join(t[n], &bad);
		if (bad)
			fail(me, "another thread changed registers");
	}
	report(me, "threads", 0);
}

static volatile unsigned signals_seen;

static void handler(int sig)
{
	struct registers a, b;
	uint64_t state = signals_seen + (unsigned)sig;

	fill(&a, &state);
	around_call(&a, &b, SYS_getpid, 0, 0);
	if (memcmp(&a, &b, sizeof(a)))
		fail(me, "registers changed in the handler");
	signals_seen++;
}

static void test_signals(void)
{
	struct sigaction sa = { .sa_handler = handler };
	struct registers in, out;

	sigaction(SIGUSR1, &sa, NULL);
	for (long r = 0; r < rounds; r++) {
		fill(&in, &rng);
		around_call(&in, &out, SYS_kill, getpid(), SIGUSR1);
		if (memcmp(&in, &out, sizeof(in)))
			fail(me, "a handler changed registers");
	}
	report(me, "signals", signals_seen);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 2000);
	test_matrix();
	test_integers();
	test_floats();
	test_masks();
	test_threads();
	test_signals();
	return 0;
}
