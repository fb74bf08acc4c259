/* SPDX-License-Identifier: MIT */
/* Floating point: scalar and packed SSE2, x87, the C library's functions. */
#include "bench.h"

#include <math.h>

static void mandelbrot(uint64_t n)
{
	uint64_t inside = 0;

	while (n--) {
		for (int y = 0; y < 16; y++) {
			for (int x = 0; x < 16; x++) {
				double cr = x * 0.15 - 1.8, ci = y * 0.15 - 1.2, zr = 0, zi = 0;
				int i;

				for (i = 0; i < 100 && zr * zr + zi * zi < 4; i++) {
					double t = zr * zr - zi * zi + cr;

					zi = 2 * zr * zi + ci;
					zr = t;
				}
				inside += i == 100;
			}
		}
	}
	bench_sink = inside;
}

static void nbody(uint64_t n)
{
	enum { N = 5 };
	static double p[N][3], v[N][3], m[N];

	for (int i = 0; i < N; i++) {
		m[i] = 1.0 + i;
		for (int k = 0; k < 3; k++)
			p[i][k] = i * 1.7 + k * k * 0.3;
	}
	while (n--) {
		for (int i = 0; i < N; i++) {
			for (int j = i + 1; j < N; j++) {
				double d[3], r2 = 0.01, f;

				for (int k = 0; k < 3; k++) {
					d[k] = p[i][k] - p[j][k];
					r2 += d[k] * d[k];
				}
				f = 0.001 / (r2 * __builtin_sqrt(r2));
				for (int k = 0; k < 3; k++) {
					v[i][k] -= d[k] * m[j] * f;
					v[j][k] += d[k] * m[i] * f;
				}
			}
		}
		for (int i = 0; i < N; i++) {
			for (int k = 0; k < 3; k++)
				p[i][k] += 0.001 * v[i][k];
		}
	}
	bench_sink = (uint64_t)(p[0][0] * 1e6);
}

static void matrix(uint64_t n)
{
	enum { N = 32 };
	static double a[N][N], b[N][N], c[N][N];

	for (int i = 0; i < N * N; i++) {
		(&a[0][0])[i] = i * 0.25;
		(&b[0][0])[i] = 1.0 / (i + 1);
	}
	while (n--) {
		for (int i = 0; i < N; i++) {
			for (int j = 0; j < N; j++) {
				double t = 0;

				for (int k = 0; k < N; k++)
					t += a[i][k] * b[k][j];
				c[i][j] = t;
			}
		}
		b[0][0] = c[3][3] * 1e-9;
	}
	bench_sink = (uint64_t)(c[1][1] * 1e6);
}

typedef float v4f __attribute__((vector_size(16)));

static void packed(uint64_t n)
{
	static v4f x[256], y[256];
	v4f acc = { 0 };

	for (int i = 0; i < 256; i++) {
		x[i] = (v4f){ (float)i, 1, 2, 3 };
		y[i] = (v4f){ 0.5f, (float)i, 0.25f, 1 };
	}
	while (n--) {
		for (int i = 0; i < 256; i++) {
			acc = acc * 0.999f + x[i] * y[i];
			y[i] = y[i] - acc * 1e-6f;
		}
	}
	bench_sink = (uint64_t)acc[1];
}

static void x87(uint64_t n)
{
	long double x = 0.3L, s = 0;

	for (uint64_t i = 0; i < n * 100; i++) {
		x = x * 3.9L * (1.0L - x);
		s += x / (1.0L + x);
	}
	bench_sink = (uint64_t)(s * 1e3L);
}

static void x87_functions(uint64_t n)
{
	long double x = 0.3L, r;

	for (uint64_t i = 0; i < n * 10; i++) {
		__asm__ volatile("fsin" : "=t"(r) : "0"(x));
		x = x * 0.5L + r + 0.001L;
		__asm__ volatile("fpatan" : "=t"(r) : "0"(x), "u"(0.7L) : "st(1)");
		x = x * 0.5L + r * 0.1L;
	}
	bench_sink = (uint64_t)(x * 1e6L);
}

static void library(uint64_t n)
{
	double x = 0.5;

	while (n--)
		x = sin(x) + exp(-x) * 0.5 + log(x + 1.5) * 0.25 + pow(x + 1, 0.3) * 0.1;
	bench_sink = (uint64_t)(x * 1e6);
}

int main(void)
{
	bench_pin(0);
	bench_run("fp-mandelbrot", mandelbrot);
	bench_run("fp-nbody", nbody);
	bench_run("fp-matrix", matrix);
	bench_run("fp-packed", packed);
	bench_run("fp-libm", library);
	bench_run("fp-x87", x87);
	bench_run("fp-x87-functions", x87_functions);
	return 0;
}
