/* SPDX-License-Identifier: MIT */
/* x87 as programs use it: long double in memory, the C library's functions and conversions, the floating-point environment. */
#include "bench.h"

#include <fenv.h>
#include <math.h>

#define SIDE 48

static void matrix(uint64_t n)
{
	static long double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];

	for (int i = 0; i < SIDE; i++)
		for (int k = 0; k < SIDE; k++) {
			a[i][k] = i + 0.5L * k;
			b[i][k] = k - 0.25L * i;
		}
	while (n--) {
		for (int i = 0; i < SIDE; i++)
			for (int k = 0; k < SIDE; k++) {
				long double sum = 0;

				for (int m = 0; m < SIDE; m++)
					sum += a[i][m] * b[m][k];
				c[i][k] = sum;
			}
		a[n % SIDE][0] = c[1][n % SIDE] * 1e-6L;
	}
	bench_sink = (uint64_t)c[3][4];
}

static void library(uint64_t n)
{
	long double x = 0.5L;

	while (n--)
		x = sinl(x) + expl(-x) * 0.5L + logl(x + 1.5L) * 0.25L + powl(x + 1, 0.3L) * 0.1L;
	bench_sink = (uint64_t)(x * 1e6L);
}

static void convert(uint64_t n)
{
	char text[64];
	long double x = 3.25L;

	while (n--) {
		snprintf(text, sizeof(text), "%.17Lg", x);
		x = strtold(text, NULL) * 1.0009765625L;
		if (x > 1e30L)
			x = 3.25L;
	}
	bench_sink = (uint64_t)x;
}

/* Rounding changes back and forth, as conversions do that were compiled for no SSE. */
static void rounding(uint64_t n)
{
	double x = 0.3;
	int32_t whole = 0;

	while (n--) {
		fesetround(FE_DOWNWARD);
		__asm__ volatile("fldl %1; fistpl %0" : "=m"(whole) : "m"(x));
		fesetround(FE_TONEAREST);
		x = x * 1.7 - whole;
		if (x > 1e6)
			x = 0.3;
	}
	bench_sink = (uint64_t)whole;
}

/* FNSTENV, FLDENV, FNCLEX: as code does that may raise no flag. */
static void environment(uint64_t n)
{
	volatile long double x = 1, y = 3;
	fenv_t env;

	while (n--) {
		feholdexcept(&env);
		x = x / y + 1;
		if (fetestexcept(FE_OVERFLOW))
			x = 1;
		feclearexcept(FE_INEXACT);
		feupdateenv(&env);
	}
	bench_sink = (uint64_t)x;
}

/* FNSAVE and FRSTOR: the whole unit, as old kernels and signal frames have it. */
static void save(uint64_t n)
{
	static uint8_t area[128];

	while (n--) {
		__asm__ volatile("fnsave %0\n\tfld1\n\tfrstor %0" : "+m"(area));
	}
	bench_sink = area[0];
}

int main(void)
{
	bench_pin(0);
	bench_run("x87-matrix", matrix);
	bench_run("x87-libm", library);
	bench_run("x87-text", convert);
	bench_run("x87-rounding", rounding);
	bench_run("x87-environment", environment);
	bench_run("x87-save", save);
	return 0;
}
