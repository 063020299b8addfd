/* The memory that libuv gets: the project's heap, and behind it a small reserve.
 *
 * The reserve is there because libuv calls abort() when its table of watched descriptors cannot
 * grow, and nothing may end the process. A request that the heap refuses is served from a static
 * area that is never given back, and fails only when that is used up as well. Any thread. */
#include "runtime/uv_memory.h"

#include "base/mem.h"
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

/* In front of every block: how long it is and whether it lies in the reserve. 16 bytes, so that
 * what follows is aligned as malloc's blocks are. */
typedef struct block {
    _Alignas(16) size_t size;
    bool reserved;
} block;

/* Room for tables of some 8,000 descriptors, grown by doubling. */
enum { RESERVE = 128 * 1024 };
static _Alignas(16) unsigned char reserve[RESERVE];
static atomic_size_t reserve_used;

static block *from_reserve(size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15, used = atomic_load(&reserve_used);
    do {
        if (rounded > RESERVE - used)
            return NULL;
    } while (!atomic_compare_exchange_weak(&reserve_used, &used, used + rounded));
    return (block *)(void *)(reserve + used);
}

static void *take(size_t size)
{
    size_t whole;
    if (!pph_add_size(size, sizeof(block) + 15, &whole))
        return NULL;
    whole -= 15;
    block *made = pph_alloc(whole);
    bool reserved = !made;
    if (!made)
        made = from_reserve(whole);
    if (!made)
        return NULL;
    *made = (block){.size = size, .reserved = reserved};
    return made + 1;
}

static void give_back(void *pointer)
{
    block *old = pointer ? (block *)pointer - 1 : NULL;
    if (old && !old->reserved)
        pph_free(old);
}

static void *resize(void *pointer, size_t size)
{
    void *made = take(size);
    if (made && pointer) {
        const block *old = (block *)pointer - 1;
        memcpy(made, pointer, old->size < size ? old->size : size);
        give_back(pointer);
    }
    return made;
}

/* Zeroed: pph_alloc does it, and the reserve is never used twice. */
static void *take_array(size_t count, size_t size)
{
    size_t bytes;
    return pph_mul_size(count, size, &bytes) ? take(bytes) : NULL;
}

int pph_uv_memory_install(void)
{
    return uv_replace_allocator(take, resize, take_array, give_back);
}
