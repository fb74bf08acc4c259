/* SPDX-License-Identifier: MIT */
/* Integer work: hashing, sorting, compression, a table-driven CRC, a sieve, an integer matrix product. */
#include "bench.h"

static uint32_t rotr(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* One block of the SHA-256 compression function (FIPS 180-4); the constants are any. */
static void sha256(uint64_t n)
{
	static uint32_t k[64], w[64];
	uint32_t s[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint64_t rng = 99;

	for (int i = 0; i < 64; i++)
		k[i] = (uint32_t)bench_random(&rng);
	while (n--) {
		for (int i = 0; i < 16; i++)
			w[i] = s[i & 7] + (uint32_t)i;
		for (int i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];

			w[i] = w[i - 16] + w[i - 7] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
		}
		for (int i = 0; i < 64; i++) {
			uint32_t e = s[4], a = s[0];
			uint32_t t1 = s[7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
			uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

			memmove(s + 1, s, 7 * sizeof(s[0]));
			s[4] += t1;
			s[0] = t1 + t2;
		}
	}
	bench_sink = s[0];
}

static void quicksort(int32_t *v, long lo, long hi)
{
	while (lo < hi) {
		int32_t pivot = v[(lo + hi) / 2];
		long i = lo, j = hi;

		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				int32_t t = v[i];

				v[i++] = v[j];
				v[j--] = t;
			}
		}
		if (j - lo < hi - i) {
			quicksort(v, lo, j);
			lo = i;
		} else {
			quicksort(v, i, hi);
			hi = j;
		}
	}
}

static void sort(uint64_t n)
{
	static int32_t v[4096];
	uint64_t rng = 7;

	while (n--) {
		for (int i = 0; i < 4096; i++)
			v[i] = (int32_t)bench_random(&rng);
		quicksort(v, 0, 4095);
		bench_sink = (uint64_t)v[2048];
	}
}

/* A byte-oriented LZ77 with a hash table of positions. */
static void lz(uint64_t n)
{
	enum { SIZE = 16384 };
	static unsigned char in[SIZE + 8], out[SIZE * 2];
	static uint16_t table[4096];
	uint64_t rng = 3;

	for (int i = 0; i < SIZE; i++)
		in[i] = (unsigned char)("etaoin shrdlu"[bench_random(&rng) % 13]);
	while (n--) {
		size_t o = 0, i = 0;

		memset(table, 0, sizeof(table));
		while (i < SIZE) {
			uint32_t four, at;
			size_t len = 0;

			memcpy(&four, in + i, 4);
			at = table[four * 2654435761u >> 20];
			table[four * 2654435761u >> 20] = (uint16_t)i;
			while (at < i && i + len < SIZE && in[at + len] == in[i + len] && len < 255)
				len++;
			if (len >= 4) {
				out[o++] = (unsigned char)len;
				out[o++] = (unsigned char)(i - at);
				out[o++] = (unsigned char)((i - at) >> 8);
				i += len;
			} else {
				out[o++] = in[i++];
			}
		}
		bench_sink = o + out[o / 2];
	}
}

static void crc(uint64_t n)
{
	static uint32_t table[256];
	uint32_t c = 0;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t r = i;

		for (int k = 0; k < 8; k++)
			r = r & 1 ? r >> 1 ^ 0xedb88320u : r >> 1;
		table[i] = r;
	}
	while (n--) {
		for (int i = 0; i < 1024; i++)
			c = table[(c ^ (uint32_t)i) & 255] ^ c >> 8;
	}
	bench_sink = c;
}

static void sieve(uint64_t n)
{
	static unsigned char composite[32768];

	while (n--) {
		uint64_t primes = 0;

		memset(composite, 0, sizeof(composite));
		for (size_t i = 2; i < sizeof(composite); i++) {
			if (composite[i])
				continue;
			primes++;
			for (size_t k = i * 2; k < sizeof(composite); k += i)
				composite[k] = 1;
		}
		bench_sink = primes;
	}
}

static void matrix(uint64_t n)
{
	enum { N = 48 };
	static int64_t a[N][N], b[N][N], c[N][N];

	for (int i = 0; i < N * N; i++) {
		(&a[0][0])[i] = i * 7;
		(&b[0][0])[i] = i ^ 5;
	}
	while (n--) {
		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++) {
				int64_t t = 0;

				for (int k = 0; k < N; k++)
					t += a[i][k] * b[k][j];
				c[i][j] = t;
			}
		}
		a[0][0] = c[N - 1][N - 1];
	}
	bench_sink = (uint64_t)a[0][0];
}

int main(void)
{
	bench_pin(0);
	bench_run("int-sha256", sha256);
	bench_run("int-sort", sort);
	bench_run("int-lz", lz);
	bench_run("int-crc", crc);
	bench_run("int-sieve", sieve);
	bench_run("int-matrix", matrix);
	return 0;
}
