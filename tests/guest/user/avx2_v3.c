/* SPDX-License-Identifier: MIT */
/*
 * What a compiler makes of ordinary code for x86-64-v3 (AVX2, FMA, F16C, BMI), with the intrinsics it would not choose by itself. Built with
 * -march=x86-64-v3 as the file's name says; checksums cover the bits of every result.
 *
 *   avx2_v3 [ROUNDS]
 */
#define _GNU_SOURCE
#include "user.h"

#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <sys/mman.h>

#define N 64

static const char *const me = "avx2";
static long rounds;
static uint64_t rng = 7;

static double unit(void)
{
	return (double)(int64_t)rng_next(&rng) * 0x1p-63;
}

/* Vectorised by the compiler, with fused operations. */
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
				for (int j = 0; j < N; j++)
					c[i][j] += a[i][k] * b[k][j];
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				t[j][i] = s[i][j] * s[j][i] - (float)c[i][j];
				a[i][j] = c[i][j] * 0x1p-6 + (double)t[j][i] * 0x1p-7;
			}
		h = hash_bytes(hash_bytes(h, c, sizeof(c)), t, sizeof(t));
	}
	report(me, "matrix", h);
}

/* Integers of all widths: byte shuffles, saturation, absolute differences, variable shifts, comparisons. */
static void test_integers(void)
{
	__m256i x = _mm256_set_epi64x(1, 2, 3, 4), y = _mm256_set1_epi32(0x01234567), m;
	uint64_t h = FNV_BASIS, lanes[4];

	for (long r = 0; r < rounds * 8; r++) {
		x = _mm256_add_epi32(_mm256_mullo_epi32(x, _mm256_set1_epi32(1664525)), _mm256_set1_epi32(1013904223));
		y = _mm256_shuffle_epi8(_mm256_xor_si256(y, x), _mm256_abs_epi8(_mm256_and_si256(x, _mm256_set1_epi8(0x7f))));
		x = _mm256_alignr_epi8(x, y, 5);
		y = _mm256_adds_epi16(y, _mm256_sad_epu8(x, y));
		m = _mm256_cmpgt_epi32(x, y);
		x = _mm256_blendv_epi8(x, _mm256_sllv_epi32(x, _mm256_and_si256(y, _mm256_set1_epi32(31))), m);
		y = _mm256_permutevar8x32_epi32(y, x);
		x = _mm256_packus_epi16(_mm256_srai_epi16(x, 3), _mm256_permute4x64_epi64(x, 0x4b));
		y = _mm256_inserti128_si256(y, _mm256_extracti128_si256(x, 1), 0);
		y = _mm256_unpackhi_epi8(y, _mm256_maddubs_epi16(x, y));
		h = hash_u64(h, (uint32_t)_mm256_movemask_epi8(m) | (uint64_t)_mm256_testz_si256(x, y) << 32);
		_mm256_storeu_si256((__m256i *)lanes, _mm256_add_epi64(x, y));
		h = hash_bytes(h, lanes, sizeof(lanes));
	}
	report(me, "integers", h);
}

/* Loads and stores under masks at the end of mapped memory, and gathers from it. */
static void test_masks(void)
{
	char *area = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int *end = (int *)(area + 2 * 4096);
	uint64_t h = FNV_BASIS;

	if (area == MAP_FAILED || munmap(end, 4096))
		fail(me, "mmap");
	for (int i = 0; i < 2048; i++)
		((int *)area)[i] = i * 0x9e3779b9;
	for (long r = 0; r < rounds; r++) {
		unsigned n = (unsigned)(rng_next(&rng) & 7);
		__m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0)), v, index;

		v = _mm256_maskload_epi32(end - n, mask);
		v = _mm256_add_epi32(v, _mm256_set1_epi32((int)r));
		_mm256_maskstore_epi32(end - n, mask, v);
		index = _mm256_and_si256(_mm256_mullo_epi32(v, _mm256_set_epi32(3, 5, 7, 9, 11, 13, 15, 17)), _mm256_set1_epi32(2047));
		v = _mm256_mask_i32gather_epi32(v, (int *)area, index, mask, 4);
		v = _mm256_xor_si256(v, _mm256_i32gather_epi32((int *)area, index, 4));
		h = hash_bytes(h, &v, sizeof(v));
	}
	h = hash_bytes(h, area, 2 * 4096);
	munmap(area, 2 * 4096);
	report(me, "masks", h);
}

static float any_float(void)
{
	uint64_t v = rng_next(&rng);
	uint32_t w = (uint32_t)(v >> 32);
	float f;

	if (v % 8 == 0)
		w &= 0x807fffff; /* denormal */
	else if (v % 8 == 1)
		w |= 0x7f800000; /* infinity or NaN */
	else if (v % 8 < 5)
		w = (w & 0x83ffffff) | 0x3c000000;
	memcpy(&f, &w, 4);
	return f;
}

/* Fused operations, half precision, comparisons and rounding of anything, in every rounding mode. */
static void test_floats(void)
{
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds; r++) {
		unsigned csr = 0x1f80 | (unsigned)(r & 3) << 13 | (r & 4 ? 0x8040 : 0);
		float in[24];
		__m256 a, b, c, d;
		__m128i half;

		for (int i = 0; i < 24; i++)
			in[i] = any_float();
		_mm_setcsr(csr);
		a = _mm256_loadu_ps(in);
		b = _mm256_loadu_ps(in + 8);
		c = _mm256_loadu_ps(in + 16);
		d = _mm256_fmadd_ps(a, b, c);
		h = hash_bytes(h, &d, sizeof(d));
		d = _mm256_fnmsub_ps(d, c, _mm256_fmaddsub_ps(a, c, b));
		h = hash_bytes(h, &d, sizeof(d));
		half = _mm256_cvtps_ph(c, _MM_FROUND_CUR_DIRECTION);
		d = _mm256_add_ps(_mm256_cvtph_ps(half), _mm256_round_ps(a, _MM_FROUND_CUR_DIRECTION));
		h = hash_bytes(hash_bytes(h, &half, sizeof(half)), &d, sizeof(d));
		d = _mm256_cmp_ps(a, b, _CMP_NLE_UQ);
		h = hash_u64(h, (uint64_t)_mm256_movemask_ps(d) | (uint64_t)_mm256_testc_ps(a, b) << 8);
		d = _mm256_dp_ps(_mm256_permute_ps(a, 0x1b), _mm256_blend_ps(b, c, 0x5a), 0xf7);
		h = hash_bytes(h, &d, sizeof(d));
		h = hash_u64(h, _mm_getcsr());
		_mm_setcsr(0x1f80);
	}
	report(me, "floats", h);
}

/* BMI: the compiler's choice for C, and PDEP, PEXT. */
static void test_bits(void)
{
	uint64_t h = FNV_BASIS;

	for (long r = 0; r < rounds * 4; r++) {
		uint64_t a = rng_next(&rng), b = rng_next(&rng), high;
		unsigned n = (unsigned)(a & 127);

		h = hash_u64(h, (a & (a - 1)) + (b & -b) + (b ^ (b - 1)) + (~a & b));
		h = hash_u64(h, _pdep_u64(a, b) ^ _pext_u64(b, a) ^ _bzhi_u64(a, n) ^ _bextr_u64(b, n & 63, n >> 1));
		h = hash_u64(h, (a << (b & 63)) ^ (b >> (a & 63)) ^ (uint64_t)((int64_t)a >> (n & 63)) ^ (a << 13 | a >> 51));
		h = hash_u64(h, _mulx_u64(a, b, (unsigned long long *)&high) ^ high);
		h = hash_u64(h, (uint64_t)(_lzcnt_u64(a >> n % 64) + _tzcnt_u64(b << n % 64)) + _lzcnt_u32((unsigned)b) + __builtin_bswap64(a));
	}
	report(me, "bits", h);
}

int main(int argc, char **argv)
{
	rounds = arg_long(argc, argv, 1, 4000);
	test_matrix();
	test_integers();
	test_masks();
	test_floats();
	test_bits();
	return 0;
}
