# SPDX-License-Identifier: MIT
noinst_LIBRARIES += src/mem/libmem.a
src_mem_libmem_a_SOURCES = \
	src/mem/aspace.c \
	src/mem/aspace.h \
	src/mem/aspace_view.h \
	src/mem/code_watch.c \
	src/mem/code_watch.h \
	src/mem/dispatch.c \
	src/mem/dma.c \
	src/mem/ram.c \
	src/mem/ram.h \
	src/mem/tlb.c \
	src/mem/tlb.h \
	src/mem/tlb_access.c \
	src/mem/tlb_book.h \
	src/mem/tlb_flush.c \
	src/mem/tlb_layout.h \
	src/mem/tlb_partial.c \
	src/mem/tlb_reach.c \
	src/mem/tlb_wide.c \
	src/mem/word.h
