/* Advice to the system about large allocations. Stateless. */
#include "compute/hugepage.h"

#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 2 << 20 };

void pph_hugepage_advise(void *memory, size_t bytes)
{
    uintptr_t first = ((uintptr_t)memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    uintptr_t end = ((uintptr_t)memory + bytes) & ~(uintptr_t)(PAGE - 1);
    if (end > first)
        madvise((void *)first, end - first, MADV_HUGEPAGE);
}
