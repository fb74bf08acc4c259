/* SPDX-License-Identifier: MIT */
/*
 * Bits of page-table entries. SDM volume 3A, tables 4-15 to 4-20.
 */
#ifndef COHORT_VCPU_X86_PTE_H
#define COHORT_VCPU_X86_PTE_H

#define PTE_P 0x001ull
#define PTE_W 0x002ull
#define PTE_U 0x004ull
#define PTE_A 0x020ull
#define PTE_D 0x040ull
#define PTE_PS 0x080ull
#define PTE_G 0x100ull
#define PTE_PAT_LARGE 0x1000ull /* of a page larger than 4 KiB */
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

#endif
