/* The heap, over libc's. Thread-safe. In test builds an allocation can be made to fail. */
#include "base/mem.h"

#include "base/spare.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#ifdef PPH_FAULTS
#include <stdatomic.h>

static _Atomic uint64_t attempts;
static _Atomic uint64_t fail_at;
static _Atomic bool fail_after;

void pph_mem_fail_at(uint64_t nth, bool after)
{
    atomic_store(&fail_at, 0);
    atomic_store(&attempts, 0);
    atomic_store(&fail_after, after);
    atomic_store(&fail_at, nth);
}

uint64_t pph_mem_count(void)
{
    return atomic_load(&attempts);
}

static bool refused(void)
{
    uint64_t mine = atomic_fetch_add(&attempts, 1) + 1;
    uint64_t nth = atomic_load(&fail_at);
    return nth && (mine == nth || (mine > nth && atomic_load(&fail_after)));
}
#else
static inline bool refused(void)
{
    return false;
}
#endif

bool pph_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool pph_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

void *pph_alloc(size_t size)
{
    return pph_alloc_array(1, size);
}

void *pph_alloc_array(size_t count, size_t size)
{
    size_t bytes;
    if (!pph_mul_size(count, size, &bytes) || refused())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *pph_alloc_aligned(size_t size)
{
    size_t rounded;
    if (!pph_add_size(size ? size : 1, 63, &rounded) || refused())
        return NULL;
    return aligned_alloc(64, rounded & ~(size_t)63);
}

void *pph_resize(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (!pph_mul_size(count, size, &bytes) || refused())
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

void pph_free(void *pointer)
{
    free(pointer);
}

void pph_mem_trim(void)
{
    pph_spare_trim();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void pph_mem_return_large(void)
{
#ifdef __GLIBC__
    enum { LARGE = 256 << 10, KEPT = 512 << 10 };
    if (getenv("MALLOC_MMAP_THRESHOLD_") || getenv("MALLOC_TRIM_THRESHOLD_"))
        return;
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, KEPT);
#endif
}

void pph_free_at(void *variable)
{
    void *pointer;
    memcpy(&pointer, variable, sizeof pointer);
    free(pointer);
    pointer = NULL;
    memcpy(variable, &pointer, sizeof pointer);
}
