/* The heap. Everything that the project allocates goes through here, libraries' allocator hooks
 * included where they have them, so that a test can make the nth allocation fail. */
#ifndef PPH_BASE_MEM_H
#define PPH_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed; NULL when there is no memory. A size of 0 is one byte. Free with pph_free. */
void *pph_alloc(size_t size) __attribute__((malloc));

/* count * size bytes, zeroed; NULL also when the product does not fit a size_t. */
void *pph_alloc_array(size_t count, size_t size) __attribute__((malloc));

/* Not zeroed, and aligned to 64 bytes (a cache line, an AVX-512 register). Free with pph_free. */
void *pph_alloc_aligned(size_t size) __attribute__((malloc));

/* As realloc; on failure NULL, and `old` is still the caller's. The new part is not zeroed. */
void *pph_resize(void *old, size_t count, size_t size);

void pph_free(void *pointer);

/* Freed memory that libc keeps, or spare.h, goes back to the system, as far as it can. Takes milliseconds:
 * for after something large was freed. */
void pph_mem_trim(void);

/* From now on what is large goes back to the system when it is freed, for the whole process, unless the
 * environment chose otherwise (MALLOC_MMAP_THRESHOLD_). By itself glibc raises its thresholds with every
 * large block that is freed, up to 32 and 64 MB, and what then lies unused at the end of a thread's arena
 * no trimming reaches. Any thread, any number of times. */
void pph_mem_return_large(void);

/* For PPH_AUTO on plain heap variables: frees *(void **)variable and clears it. */
void pph_free_at(void *variable);

/* a * b and a + b into *out; false, and *out untouched, when the result does not fit. */
bool pph_mul_size(size_t a, size_t b, size_t *out);
bool pph_add_size(size_t a, size_t b, size_t *out);

#ifdef PPH_FAULTS
/* Test builds. The nth allocation from now on fails (1 is the next), and with `after` so do all
 * that follow it; 0 switches faults off. Counted over all threads. */
void pph_mem_fail_at(uint64_t nth, bool after);
/* Allocations attempted since the last pph_mem_fail_at. */
uint64_t pph_mem_count(void);
#endif

#endif
