/* SPDX-License-Identifier: MIT */
#include "diff/values.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

uint64_t value_int(struct rng *r)
{
	static const uint64_t edge[] = {
		0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff,
		0x80000000, 0x80000001, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0x5555555555555555,
		0x0123456789abcdef, 0xff00, 0x8080808080808080, 0x00ff00ff00ff00ff,
	};
	uint64_t v;

	switch (rng_below(r, 8)) {
	case 0:
	case 1:
		v = edge[rng_below(r, COUNT(edge))];
		break;
	case 2:
		v = 0 - edge[rng_below(r, COUNT(edge))];
		break;
	case 3:
		v = 1ull << rng_below(r, 64);
		break;
	case 4:
		v = rng_u64(r) >> rng_below(r, 64);
		break;
	case 5:
		v = (uint64_t)((int64_t)rng_u64(r) >> rng_below(r, 64));
		break;
	default:
		v = rng_u64(r);
		break;
	}
	return v;
}

uint32_t value_f32(struct rng *r)
{
	static const uint32_t edge[] = {
		0, 1, 0x007fffff, 0x00800000, 0x3f800000, 0x3f7fffff, 0x3f800001, 0x40000000, 0x3f000000, 0x4b000000, 0x4b7fffff, 0x4effffff,
		0x4f000000, 0x4f800000, 0x5effffff, 0x5f000000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fc12345,
		0x00400000, 0x33800000, 0x40490fdb,
	};
	uint32_t sign = (uint32_t)rng_u64(r) & 0x80000000;

	switch (rng_below(r, 5)) {
	case 0:
	case 1:
		return edge[rng_below(r, COUNT(edge))] | sign;
	case 2: /* near 1: sums, quotients and conversions stay in range */
		return (0x3f800000u + ((rng_below(r, 40) - 20u) << 23) + (rng_below(r, 1u << 23))) ^ sign;
	case 3: /* few bits: exact results */
		return (0x3f800000u + ((rng_below(r, 24) - 8u) << 23) + (rng_below(r, 16) << 19)) ^ sign;
	default:
		return (uint32_t)rng_u64(r);
	}
}

uint64_t value_f64(struct rng *r)
{
	static const uint64_t edge[] = {
		0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x3ff0000000000000, 0x3fefffffffffffff, 0x3ff0000000000001, 0x4000000000000000,
		0x3fe0000000000000, 0x4330000000000000, 0x41dfffffffc00000, 0x41e0000000000000, 0x43dfffffffffffff, 0x43e0000000000000,
		0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001, 0x7ff7ffffffffffff, 0x7ff8000000000000, 0x7ff8000000012345,
		0x0008000000000000, 0x380fffffffffffff, 0x3690000000000000, 0x47efffffe0000000, 0x400921fb54442d18,
	};
	uint64_t sign = rng_u64(r) & 0x8000000000000000;

	switch (rng_below(r, 5)) {
	case 0:
	case 1:
		return edge[rng_below(r, COUNT(edge))] | sign;
	case 2:
		return (0x3ff0000000000000 + ((uint64_t)(rng_below(r, 80) - 40u) << 52) + (rng_u64(r) >> 12)) ^ sign;
	case 3:
		return (0x3ff0000000000000 + ((uint64_t)(rng_below(r, 24) - 8u) << 52) + ((uint64_t)rng_below(r, 16) << 48)) ^ sign;
	default:
		return rng_u64(r);
	}
}

void value_f80(struct rng *r, uint8_t out[10])
{
	static const uint64_t mantissa[] = {
		0, 1, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001, 0xbfffffffffffffff, 0xc000000000000000, 0xc000000000012345,
		0xffffffffffffffff, 0x4000000000000000, 0xffffff0000000000, 0xfffffffffffff800, 0xc90fdaa22168c235,
	};
	static const uint16_t exponent[] = { 0, 1, 0x3ffe, 0x3fff, 0x4000, 0x400e, 0x401d, 0x401e, 0x403d, 0x403e, 0x403f, 0x3f80, 0x407f,
					     0x3c00, 0x43ff, 0x7ffe, 0x7fff };
	uint16_t e = (uint16_t)(rng_u64(r) & 0x8000);
	uint64_t m;

	switch (rng_below(r, 5)) {
	case 0: /* anything, unnormals included */
		m = rng_percent(r, 50) ? mantissa[rng_below(r, COUNT(mantissa))] : rng_u64(r);
		e |= rng_percent(r, 70) ? exponent[rng_below(r, COUNT(exponent))] : rng_below(r, 0x8000);
		break;
	case 1: /* zero, infinity, NaN, denormal */
		m = rng_percent(r, 30) ? 0x8000000000000000 | (rng_percent(r, 50) ? rng_u64(r) : 0) : 0x8000000000000000;
		e |= rng_percent(r, 50) ? 0x7fff : 0;
		if (!(e & 0x7fff))
			m = rng_percent(r, 70) ? 0 : rng_u64(r) >> 1;
		break;
	case 2: /* integers */
		m = 0x8000000000000000 | (uint64_t)rng_below(r, 256) << 55;
		e |= (uint16_t)(0x3fff + rng_below(r, 20));
		break;
	default:
		m = 0x8000000000000000 | (rng_percent(r, 50) ? rng_u64(r) : rng_u64(r) << 32);
		e |= (uint16_t)(0x3fff - 20 + rng_below(r, 40));
		break;
	}
	memcpy(out, &m, 8);
	memcpy(out + 8, &e, 2);
}

void value_bcd(struct rng *r, uint8_t out[10])
{
	for (unsigned i = 0; i < 9; i++)
		out[i] = rng_percent(r, 90) ? (uint8_t)(rng_below(r, 10) << 4 | rng_below(r, 10)) : 0;
	out[9] = rng_percent(r, 50) ? 0x80 : 0;
}

void value_vec(struct rng *r, uint8_t out[16])
{
	uint64_t q[2];
	uint32_t l[4];

	switch (rng_below(r, 5)) {
	case 0:
		for (unsigned i = 0; i < 4; i++)
			l[i] = value_f32(r);
		memcpy(out, l, 16);
		return;
	case 1:
		q[0] = value_f64(r);
		q[1] = value_f64(r);
		break;
	case 2:
		for (unsigned i = 0; i < 4; i++)
			l[i] = (uint32_t)value_int(r);
		memcpy(out, l, 16);
		return;
	case 3: /* short strings and runs of equal bytes: PCMPxSTRx, PSHUFB */
		for (unsigned i = 0; i < 16; i++)
			out[i] = (uint8_t)(rng_below(r, 6) + (rng_percent(r, 20) ? 0x80 : 0));
		return;
	default:
		q[0] = value_int(r);
		q[1] = value_int(r);
		break;
	}
	memcpy(out, q, 16);
}

void value_bytes(struct rng *r, uint8_t *out, size_t len)
{
	uint8_t buf[16];

	while (len) {
		size_t n = len < 16 ? len : 16;

		if (rng_percent(r, 25))
			value_f80(r, buf);
		else
			value_vec(r, buf);
		memcpy(out, buf, n);
		out += n;
		len -= n;
	}
}
