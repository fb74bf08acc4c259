/* SPDX-License-Identifier: MIT */
/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3; PIIX4 datasheet, chapter 7.2). The timer status bit is set whenever the top bit
 * of the 24-bit counter changes, that is every 2.34 s; it is worked out when somebody looks, or by a timer when the
 * guest wants the interrupt.
 */
#include "hw/timer/acpi_pm.h"

#include "hw/core/ticks.h"
#include "sched/clock.h"

enum { REG_STATUS = 0, REG_ENABLE = 2, REG_CONTROL = 4, REG_TIMER = 8 };
enum { TMR_STS = 0x0001, GBL_STS = 0x0020, PWRBTN = 0x0100, RTC = 0x0400, WAK_STS = 0x8000 };
enum { SCI_EN = 0x0001, SLP_EN = 0x2000, CONTROL_KEPT = 0x1c07 };

#define STATUS_BITS (TMR_STS | GBL_STS | PWRBTN | RTC | WAK_STS)
#define ENABLE_BITS (TMR_STS | GBL_STS | PWRBTN | RTC)
#define HALF_PERIOD (1ull << (ACPI_PM_TIMER_BITS - 1))

static uint64_t ticks_at(vclock_ns_t now)
{
	return ticks_from_ns((uint64_t)now, ACPI_PM_TIMER_HZ);
}

static void catch_up_locked(struct acpi_pm *pm)
{
	uint64_t half = ticks_at(clock_now()) / HALF_PERIOD;

	if (half != pm->seen_half)
		pm->status |= TMR_STS;
	pm->seen_half = half;
}

static void update_locked(struct acpi_pm *pm)
{
	catch_up_locked(pm);
	irq_set(&pm->sci, (pm->status & pm->enable) && (pm->control & SCI_EN));
	if ((pm->enable & TMR_STS) && !(pm->status & TMR_STS))
		timer_arm(&pm->timer, ticks_to_ns((pm->seen_half + 1) * HALF_PERIOD, ACPI_PM_TIMER_HZ));
	else
		timer_disarm(&pm->timer);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	lock_acquire(&pm->lock);
	pm->status |= PWRBTN;
	update_locked(pm);
	lock_release(&pm->lock);
}

static void half_period_over(void *opaque)
{
	struct acpi_pm *pm = opaque;

	lock_acquire(&pm->lock);
	update_locked(pm);
	lock_release(&pm->lock);
}

static uint16_t read_word_locked(struct acpi_pm *pm, unsigned reg)
{
	switch (reg) {
	case REG_STATUS:
		catch_up_locked(pm);
		return pm->status;
	case REG_ENABLE:
		return pm->enable;
	case REG_CONTROL:
		return pm->control;
	default:
		return 0;
	}
}

static uint64_t pm_read(void *opaque, uint64_t off, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint32_t v;

	if (off >= REG_TIMER && off < REG_TIMER + 4) {
		v = ticks_at(clock_now()) & ((1u << ACPI_PM_TIMER_BITS) - 1);
		return v >> (off - REG_TIMER) * 8;
	}
	lock_acquire(&pm->lock);
	v = read_word_locked(pm, off & ~1u) >> (off & 1) * 8;
	if (size == 4)
		v |= (uint32_t)read_word_locked(pm, (off & ~1u) + 2) << 16;
	lock_release(&pm->lock);
	return v;
}

/* True: the guest wants to be switched off. */
static bool write_control_locked(struct acpi_pm *pm, uint16_t value)
{
	pm->control = (value & CONTROL_KEPT) | SCI_EN; /* always in ACPI mode */
	return (value & SLP_EN) && (value >> 10 & 7) == pm->soft_off_type;
}

static bool write_word_locked(struct acpi_pm *pm, unsigned reg, uint16_t value, uint16_t mask)
{
	switch (reg) {
	case REG_STATUS:
		catch_up_locked(pm);
		pm->status &= (uint16_t)~(value & mask & STATUS_BITS);
		return false;
	case REG_ENABLE:
		pm->enable = ((pm->enable & ~mask) | (value & mask)) & ENABLE_BITS;
		return false;
	case REG_CONTROL:
		return write_control_locked(pm, (uint16_t)((pm->control & ~mask) | (value & mask)));
	default:
		return false;
	}
}

static void pm_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = opaque;
	unsigned shift = (off & 1) * 8, reg = off & ~1u;
	uint16_t mask = size == 1 ? (uint16_t)(0xff << shift) : 0xffff;
	bool off_now;

	lock_acquire(&pm->lock);
	off_now = write_word_locked(pm, reg, (uint16_t)(value << shift), mask);
	if (size == 4)
		off_now |= write_word_locked(pm, reg + 2, (uint16_t)(value >> 16), 0xffff);
	update_locked(pm);
	lock_release(&pm->lock);
	if (off_now && pm->soft_off)
		pm->soft_off(pm->opaque);
}

static void pm_reset(void *dev)
{
	struct acpi_pm *pm = dev;

	lock_acquire(&pm->lock);
	pm->enable = 0;
	pm->control = SCI_EN;
	pm->seen_half = ticks_at(clock_now()) / HALF_PERIOD;
	pm->status = 0;
	update_locked(pm);
	lock_release(&pm->lock);
}

void acpi_pm_init(struct acpi_pm *pm)
{
	lock_init(&pm->lock, LOCK_RANK_DEVICE);
	timer_init(&pm->timer, half_period_over, pm);
	pm_reset(pm);
}

const struct mmio_ops acpi_pm_ops = {.read = pm_read, .write = pm_write, .min_size = 1, .max_size = 4};

const struct device_type acpi_pm_device = {
	.name = "acpi-pm",
	.reset = pm_reset,
};
