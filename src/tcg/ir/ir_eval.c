/* SPDX-License-Identifier: MIT */
/*
 * Integer operations as the manual defines them (Intel SDM volume 2, flags in appendix A of volume 1). Flags the manual
 * leaves undefined:
 *
 *   AND OR XOR TEST ANDN   A = 0; P of the low byte (ANDN too)
 *   BLSx BZHI BEXTR        the same
 *   shifts, rotates        A = 1 (shifts), O for any count by the rule for count 1 applied to the last step
 *   IMUL MULU MULS         Z S A P stay
 *   DIVU DIVS              all stay
 *   BSF BSR                C O S A = 0, P of the result; of 0: of 0
 *   TZCNT LZCNT            S O A P stay
 *   BT BTS BTR BTC         O S A P stay
 *
 * That is what AMD's processors do for most of them. ir_flags_undefined() names the bits, so that tests can mask them.
 */
#include "tcg/ir/ir_eval_inline.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

bool ir_cc_true(enum ir_cc cc, uint32_t f)
{
	bool r = false;

	switch (cc & ~1u) {
	case IR_CC_O:
		r = f & F_O;
		break;
	case IR_CC_C:
		r = f & F_C;
		break;
	case IR_CC_Z:
		r = f & F_Z;
		break;
	case IR_CC_BE:
		r = f & (F_C | F_Z);
		break;
	case IR_CC_S:
		r = f & F_S;
		break;
	case IR_CC_P:
		r = f & F_P;
		break;
	case IR_CC_LT:
		r = !(f & F_S) != !(f & F_O);
		break;
	case IR_CC_LE:
		r = (f & F_Z) || !(f & F_S) != !(f & F_O);
		break;
	}
	return r != (cc & 1);
}

/* ---- Addition and subtraction */

static void inc_dec(struct ir_values *v, enum ir_type t, bool dec)
{
	uint32_t carry = v->flags & F_C;

	v->d = dec ? ir_sub(&v->flags, t, v->a, 1, 0) : ir_add(&v->flags, t, v->a, 1, 0);
	v->flags = (v->flags & ~F_C) | carry;
}

/* ADCX, ADOX: carry in and out through one flag. */
static void add_through(struct ir_values *v, enum ir_type t, uint32_t flag)
{
	uint32_t old = v->flags;

	v->d = ir_add(&v->flags, t, v->a, v->b, (old & flag) != 0);
	v->flags = (old & ~flag) | ((v->flags & F_C) ? flag : 0);
}

/* ---- Shifts and rotates */

static void shift_flags(struct ir_values *v, enum ir_type t, uint64_t r, unsigned carry, unsigned overflow)
{
	v->d = ir_cut(r, t);
	v->flags = ir_zsp(v->d, t) | F_A | (carry ? F_C : 0) | (overflow ? F_O : 0);
}

static void shl(struct ir_values *v, enum ir_type t, unsigned n)
{
	unsigned w = ir_width(t);
	uint64_t r = n < w ? v->a << n : 0;
	unsigned carry = n <= w ? (v->a >> (w - n)) & 1 : 0;

	shift_flags(v, t, r, carry, ir_msb(r, t) ^ carry);
}

static void shr(struct ir_values *v, enum ir_type t, unsigned n)
{
	unsigned w = ir_width(t);
	uint64_t r = n < w ? v->a >> n : 0;
	unsigned carry = n <= w ? (v->a >> (n - 1)) & 1 : 0;

	shift_flags(v, t, r, carry, ir_msb(r, t) ^ (w >= 2 ? (r >> (w - 2)) & 1 : 0));
}

static void sar(struct ir_values *v, enum ir_type t, unsigned n)
{
	unsigned w = ir_width(t);
	int64_t a = ir_sx(v->a, t);

	shift_flags(v, t, (uint64_t)(a >> (n < w ? n : w - 1)), (a >> (n <= w ? n - 1 : w - 1)) & 1, 0);
}

static void rotate_flags(struct ir_values *v, unsigned carry, unsigned overflow)
{
	v->flags = (v->flags & ~(F_C | F_O)) | (carry ? F_C : 0) | (overflow ? F_O : 0);
}

static void rotate(struct ir_values *v, enum ir_type t, unsigned n, bool right)
{
	unsigned w = ir_width(t), left = (right ? w - n % w : n) % w;
	uint64_t r = left ? ir_cut(v->a << left | v->a >> (w - left), t) : v->a;

	v->d = r;
	if (right)
		rotate_flags(v, ir_msb(r, t), ir_msb(r, t) ^ ((r >> (w - 2)) & 1));
	else
		rotate_flags(v, r & 1, ir_msb(r, t) ^ (r & 1));
}

/* Through C: a rotation of width + 1 bits. */
static void rotate_carry(struct ir_values *v, enum ir_type t, unsigned n, bool right)
{
	unsigned w = ir_width(t), left;
	uint64_t r = v->a;
	unsigned carry = v->flags & F_C;

	n %= w + 1;
	if (n) {
		u128 x = (u128)carry << w | r;

		left = right ? w + 1 - n : n;
		x = x << left | x >> (w + 1 - left);
		r = ir_cut((uint64_t)x, t);
		carry = (unsigned)(x >> w) & 1;
	}
	v->d = r;
	rotate_flags(v, carry, right ? ir_msb(r, t) ^ ((r >> (w - 2)) & 1) : ir_msb(r, t) ^ carry);
}

/* Counts above 16 with 16 bits are undefined: the bits of b follow, then those of a again. */
static void shld(struct ir_values *v, enum ir_type t, unsigned n)
{
	unsigned w = ir_width(t), carry;
	uint64_t r;

	if (w == 16) {
		u128 x = (u128)v->a << 32 | v->b << 16 | v->a;

		r = (uint64_t)(x >> (32 - n));
		carry = (unsigned)(x >> (48 - n)) & 1;
	} else {
		r = v->a << n | v->b >> (w - n);
		carry = (v->a >> (w - n)) & 1;
	}
	shift_flags(v, t, r, carry, ir_msb(r, t) ^ carry);
}

static void shrd(struct ir_values *v, enum ir_type t, unsigned n)
{
	unsigned w = ir_width(t), carry;
	uint64_t r;

	if (w == 16) {
		u128 x = (u128)v->a << 32 | v->b << 16 | v->a;

		r = (uint64_t)(x >> n);
		carry = (unsigned)(x >> (n - 1)) & 1;
	} else {
		r = v->a >> n | v->b << (w - n);
		carry = (v->a >> (n - 1)) & 1;
	}
	shift_flags(v, t, r, carry, ir_msb(r, t) ^ ((r >> (w - 2)) & 1));
}

static void shift(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	unsigned n = (op == IR_SHLD || op == IR_SHRD ? v->c : v->b) & (t == IR_I64 ? 63 : 31);

	if (!n) {
		v->d = v->a;
		return;
	}
	switch (op) {
	case IR_SHL:
		shl(v, t, n);
		break;
	case IR_SHR:
		shr(v, t, n);
		break;
	case IR_SAR:
		sar(v, t, n);
		break;
	case IR_ROL:
	case IR_ROR:
		rotate(v, t, n, op == IR_ROR);
		break;
	case IR_RCL:
	case IR_RCR:
		rotate_carry(v, t, n, op == IR_RCR);
		break;
	case IR_SHLD:
		shld(v, t, n);
		break;
	default:
		shrd(v, t, n);
		break;
	}
}

/* ---- Multiplication and division */

static void set_co(struct ir_values *v, bool on)
{
	v->flags = (v->flags & ~(F_C | F_O)) | (on ? F_C | F_O : 0);
}

static void mul_signed(struct ir_values *v, enum ir_type t)
{
	s128 p = (s128)ir_sx(v->a, t) * ir_sx(v->b, t);

	v->d = ir_cut((uint64_t)p, t);
	v->x = ir_cut((uint64_t)(p >> ir_width(t)), t);
	set_co(v, p != ir_sx(v->d, t));
}

static void mul_unsigned(struct ir_values *v, enum ir_type t)
{
	u128 p = (u128)v->a * v->b;

	v->d = ir_cut((uint64_t)p, t);
	v->x = ir_cut((uint64_t)(p >> ir_width(t)), t);
	set_co(v, v->x != 0);
}

static bool div_unsigned(struct ir_values *v, enum ir_type t)
{
	u128 n = (u128)v->x << ir_width(t) | v->d;

	if (!v->b || n / v->b > mask_low(ir_width(t)))
		return false;
	v->x = (uint64_t)(n % v->b);
	v->d = (uint64_t)(n / v->b);
	return true;
}

static bool div_signed(struct ir_values *v, enum ir_type t)
{
	s128 n = (s128)((u128)v->x << ir_width(t) | v->d), q;
	int64_t b = ir_sx(v->b, t);

	if (ir_width(t) < 64)
		n = sign_extend((uint64_t)n, 2 * ir_width(t));
	/* The one quotient that even 128 bits do not hold. */
	if (!b || (b == -1 && n == (s128)((u128)1 << 127)))
		return false;
	q = n / b;
	if (q != ir_sx((uint64_t)q, t))
		return false;
	v->x = ir_cut((uint64_t)(n % b), t);
	v->d = ir_cut((uint64_t)q, t);
	return true;
}

/* ---- Bits */

static void bit_scan(struct ir_values *v, bool reverse)
{
	uint64_t n = !v->a ? 0 : reverse ? log2_floor(v->a) : (unsigned)__builtin_ctzll(v->a);

	v->wrote_d = v->a != 0;
	if (v->wrote_d)
		v->d = n;
	v->flags = (v->a ? 0 : F_Z) | (__builtin_parity((unsigned)n) ? 0 : F_P);
}

static void bit_count(struct ir_values *v, enum ir_type t, bool leading)
{
	unsigned w = ir_width(t);

	if (!v->a)
		v->d = w;
	else
		v->d = leading ? w - 1 - log2_floor(v->a) : (unsigned)__builtin_ctzll(v->a);
	v->flags = (v->flags & ~(F_C | F_Z)) | (v->a ? 0 : F_C) | (v->d ? 0 : F_Z);
}

static void bit_test(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	uint64_t bit = (uint64_t)1 << (v->b & (ir_width(t) - 1));

	v->flags = (v->flags & ~F_C) | ((v->a & bit) ? F_C : 0);
	if (op == IR_BTS)
		v->d = v->a | bit;
	else if (op == IR_BTR)
		v->d = v->a & ~bit;
	else if (op == IR_BTC)
		v->d = v->a ^ bit;
}

/* CRC-32C, reflected, without inversion: what the CRC32 instruction computes. */
static uint64_t crc32c(uint32_t crc, uint64_t data, unsigned bytes)
{
	for (unsigned n = 0; n < bytes; n++) {
		crc ^= (uint8_t)(data >> (8 * n));
		for (unsigned k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

static uint64_t deposit(uint64_t src, uint64_t mask)
{
	uint64_t r = 0;

	for (; mask; mask &= mask - 1, src >>= 1)
		if (src & 1)
			r |= mask & -mask;
	return r;
}

static uint64_t extract(uint64_t src, uint64_t mask)
{
	uint64_t r = 0;

	for (unsigned n = 0; mask; mask &= mask - 1, n++)
		if (src & mask & -mask)
			r |= (uint64_t)1 << n;
	return r;
}

/* BLSR, BLSMSK, BLSI, BZHI, BEXTR: results with the flags of logic, but C. */
static void bit_field(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	unsigned pos = v->b & 0xff, len = v->b >> 8 & 0xff, w = ir_width(t);
	bool carry = false;
	uint64_t r;

	switch (op) {
	case IR_BLSR:
		r = v->a & (v->a - 1);
		carry = !v->a;
		break;
	case IR_BLSMSK:
		r = v->a ^ (v->a - 1);
		carry = !v->a;
		break;
	case IR_BLSI:
		r = v->a & -v->a;
		carry = v->a != 0;
		break;
	case IR_BZHI:
		carry = pos >= w;
		r = carry ? v->a : v->a & mask_low(pos);
		break;
	default:
		r = pos < w ? v->a >> pos & mask_low(len < 64 ? len : 64) : 0;
		break;
	}
	v->d = ir_logic(&v->flags, t, r);
	v->flags |= carry ? F_C : 0;
}

static uint64_t byte_swap(uint64_t v, enum ir_type t)
{
	return __builtin_bswap64(v) >> (64 - ir_width(t));
}

static void exchange(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	uint64_t a = v->a;

	if (op == IR_CAS) {
		bool equal;

		ir_sub(&v->flags, t, v->d, a, 0);
		equal = v->flags & F_Z;
		v->wrote_d = !equal;
		v->a = equal ? v->b : a;
		v->d = a;
		return;
	}
	v->a = op == IR_XADD ? ir_add(&v->flags, t, a, v->b, 0) : v->b;
	v->b = a;
}

/* ---- The table of operations */

static bool eval_moves(enum ir_op op, struct ir_values *v, enum ir_type t, enum ir_cc cc)
{
	switch (op) {
	case IR_MOV:
		v->d = v->a;
		break;
	case IR_ZX8:
		v->d = (uint8_t)v->a;
		break;
	case IR_ZX16:
		v->d = (uint16_t)v->a;
		break;
	case IR_SX8:
		v->d = ir_cut((uint64_t)(int8_t)v->a, t);
		break;
	case IR_SX16:
		v->d = ir_cut((uint64_t)(int16_t)v->a, t);
		break;
	case IR_SX32:
		v->d = ir_cut((uint64_t)(int32_t)v->a, t);
		break;
	case IR_GETHI8:
		v->d = (uint8_t)(v->a >> 8);
		break;
	case IR_PUTHI8:
		v->d = (v->d & ~(uint64_t)0xff00) | (v->a & 0xff) << 8;
		break;
	case IR_SETCC:
		v->d = ir_cc_true(cc, v->flags);
		break;
	case IR_CMOV:
		v->wrote_d = ir_cc_true(cc, v->flags);
		if (v->wrote_d)
			v->d = v->a;
		else if (t == IR_I32) { /* zero-extends in any case */
			v->wrote_d = true;
			v->d = (uint32_t)v->d;
		}
		break;
	case IR_GETFL:
		v->d = v->flags & F_ALL;
		break;
	default:
		return false;
	}
	return true;
}

static bool eval_arith(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	switch (op) {
	case IR_ADD:
		v->d = ir_add(&v->flags, t, v->a, v->b, 0);
		break;
	case IR_ADC:
		v->d = ir_add(&v->flags, t, v->a, v->b, v->flags & F_C);
		break;
	case IR_SUB:
		v->d = ir_sub(&v->flags, t, v->a, v->b, 0);
		break;
	case IR_CMP:
		ir_sub(&v->flags, t, v->a, v->b, 0);
		break;
	case IR_SBB:
		v->d = ir_sub(&v->flags, t, v->a, v->b, v->flags & F_C);
		break;
	case IR_AND:
		v->d = ir_logic(&v->flags, t, v->a & v->b);
		break;
	case IR_TEST:
		ir_logic(&v->flags, t, v->a & v->b);
		break;
	case IR_ANDN:
		v->d = ir_logic(&v->flags, t, ~v->a & v->b);
		break;
	case IR_OR:
		v->d = ir_logic(&v->flags, t, v->a | v->b);
		break;
	case IR_XOR:
		v->d = ir_logic(&v->flags, t, v->a ^ v->b);
		break;
	case IR_INC:
	case IR_DEC:
		inc_dec(v, t, op == IR_DEC);
		break;
	case IR_NEG:
		v->d = ir_sub(&v->flags, t, 0, v->a, 0);
		break;
	case IR_NOT:
		v->d = ir_cut(~v->a, t);
		break;
	case IR_ADCX:
		add_through(v, t, F_C);
		break;
	case IR_ADOX:
		add_through(v, t, F_O);
		break;
	case IR_IMUL:
	case IR_MULS:
		mul_signed(v, t);
		break;
	case IR_MULU:
		mul_unsigned(v, t);
		break;
	default:
		return false;
	}
	return true;
}

static void eval_bits(enum ir_op op, struct ir_values *v, enum ir_type t)
{
	switch (op) {
	case IR_BSF:
	case IR_BSR:
		bit_scan(v, op == IR_BSR);
		break;
	case IR_TZCNT:
	case IR_LZCNT:
		bit_count(v, t, op == IR_LZCNT);
		break;
	case IR_POPCNT:
		v->d = (unsigned)__builtin_popcountll(v->a);
		v->flags = v->a ? 0 : F_Z;
		break;
	case IR_BSWAP:
		v->d = byte_swap(v->a, t);
		break;
	case IR_BT:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC:
		bit_test(op, v, t);
		break;
	case IR_CRC32:
		v->d = crc32c((uint32_t)v->a, v->b, ir_width(t) / 8);
		break;
	case IR_BLSR:
	case IR_BLSMSK:
	case IR_BLSI:
	case IR_BZHI:
	case IR_BEXTR:
		bit_field(op, v, t);
		break;
	case IR_PDEP:
		v->d = deposit(v->a, v->b);
		break;
	case IR_PEXT:
		v->d = extract(v->a, v->b);
		break;
	case IR_XCHG:
	case IR_XADD:
	case IR_CAS:
		exchange(op, v, t);
		break;
	case IR_CMC:
		v->flags ^= F_C;
		break;
	case IR_PUTFL: /* b: the mask */
		v->flags = (v->flags & ~(uint32_t)v->b) | (uint32_t)(v->a & v->b);
		break;
	default: /* no value: control, runtime, vectors */
		break;
	}
}

/* Ops that look at all bits of a or d whatever their type says. */
static bool takes_wide_operands(enum ir_op op)
{
	return op == IR_PUTFL || op == IR_GETHI8 || op == IR_PUTHI8 || op == IR_CRC32 ||
	       (op >= IR_ZX8 && op <= IR_SX32);
}

bool ir_eval(enum ir_op op, enum ir_type t, enum ir_cc cc, struct ir_values *v)
{
	v->wrote_d = true;
	if (!takes_wide_operands(op)) {
		v->a = ir_cut(v->a, t);
		v->b = ir_cut(v->b, t);
		v->d = ir_cut(v->d, t);
		v->x = ir_cut(v->x, t);
	}
	if (op >= IR_SHL && op <= IR_SHRD) {
		shift(op, v, t);
		return true;
	}
	if (op == IR_DIVU)
		return div_unsigned(v, t);
	if (op == IR_DIVS)
		return div_signed(v, t);
	if (!eval_arith(op, v, t) && !eval_moves(op, v, t, cc))
		eval_bits(op, v, t);
	return true;
}

static uint32_t shift_undefined(enum ir_op op, enum ir_type t, const struct ir_values *v)
{
	bool is_double = op == IR_SHLD || op == IR_SHRD;
	unsigned w = ir_width(t), n = (is_double ? v->c : v->b) & (t == IR_I64 ? 63 : 31);
	uint32_t u = 0;

	if (!n)
		return 0;
	if (op <= IR_SAR || is_double)
		u |= F_A;
	if (n != 1)
		u |= F_O;
	if ((op == IR_SHL || op == IR_SHR) && n >= w)
		u |= F_C;
	if (is_double && n > w)
		u |= F_ALL; /* and the result */
	return u;
}

uint32_t ir_flags_undefined(enum ir_op op, enum ir_type t, const struct ir_values *v)
{
	if (op >= IR_SHL && op <= IR_SHRD)
		return shift_undefined(op, t, v);
	switch (op) {
	case IR_AND:
	case IR_OR:
	case IR_XOR:
	case IR_TEST:
		return F_A;
	case IR_ANDN:
	case IR_BLSR:
	case IR_BLSMSK:
	case IR_BLSI:
	case IR_BZHI:
		return F_A | F_P;
	case IR_BEXTR:
		return F_A | F_P | F_S;
	case IR_IMUL:
	case IR_MULU:
	case IR_MULS:
		return F_Z | F_S | F_A | F_P;
	case IR_DIVU:
	case IR_DIVS:
		return F_ALL;
	case IR_BSF:
	case IR_BSR:
		return F_ALL & ~F_Z;
	case IR_TZCNT:
	case IR_LZCNT:
		return F_S | F_O | F_A | F_P;
	case IR_BT:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC:
		return F_O | F_S | F_A | F_P;
	default:
		return 0;
	}
}
