/* Blocks that are kept: a list from the one that was given last to the oldest, which makes room when they
 * are too many. Each has its size before it. */
#include "base/spare.h"

#include "base/error.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif
#ifdef POISONS /* the sanitizer's own */
void __asan_poison_memory_region(const volatile void *at, size_t size);
void __asan_unpoison_memory_region(const volatile void *at, size_t size);
#endif

enum { HEAD = 64 };

typedef struct block {
    size_t size; /* of what follows the head */
    struct block *next;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *kept; /* under the lock, as is its sum */
static size_t bytes;

static void *body(block *b)
{
    return (char *)b + HEAD;
}

/* Whoever uses what was given back is to be found out. */
static void close_body(block *b)
{
#ifdef POISONS
    __asan_poison_memory_region(body(b), b->size);
#else
    (void)b;
#endif
}

static void open_body(block *b)
{
#ifdef POISONS
    __asan_unpoison_memory_region(body(b), b->size);
#else
    (void)b;
#endif
}

static void release(block *b)
{
    while (b) {
        block *next = b->next;
        open_body(b);
        pph_free(b);
        b = next;
    }
}

/* The smallest that holds `size`, and not more than twice as much. */
static block *find(size_t size)
{
    block **best = NULL;
    for (block **at = &kept; *at; at = &(*at)->next)
        if ((*at)->size >= size && (*at)->size / 2 <= size &&
            (!best || (*at)->size < (*best)->size))
            best = at;
    if (!best)
        return NULL;
    block *found = *best;
    *best = found->next;
    bytes -= found->size;
    return found;
}

void *pph_spare_take(size_t size)
{
    block *found = NULL;
    if (size >= PPH_SPARE_LEAST) {
        pthread_mutex_lock(&lock);
        found = find(size);
        pthread_mutex_unlock(&lock);
    }
    if (found) {
        open_body(found);
        return body(found);
    }
    size_t whole;
    block *made = pph_add_size(size, HEAD, &whole) ? pph_alloc_aligned(whole) : NULL;
    if (!made)
        return NULL;
    made->size = size;
    return body(made);
}

/* Under the lock: the oldest, cut off, that are too many. */
static block *cut_off(void)
{
    size_t sum = 0;
    for (block **at = &kept; *at; at = &(*at)->next) {
        sum += (*at)->size;
        if (sum > PPH_SPARE_BYTES) {
            block *out = *at;
            *at = NULL;
            bytes = sum - out->size;
            return out;
        }
    }
    return NULL;
}

void pph_spare_give(void *pointer)
{
    if (!pointer)
        return;
    block *given = (block *)((char *)pointer - HEAD), *out = given;
    given->next = NULL;
    if (given->size >= PPH_SPARE_LEAST && given->size <= PPH_SPARE_BYTES) {
        close_body(given);
        pthread_mutex_lock(&lock);
        given->next = kept;
        kept = given;
        bytes += given->size;
        out = cut_off();
        pthread_mutex_unlock(&lock);
    }
    release(out);
}

void pph_spare_give_at(void *variable)
{
    void *pointer;
    memcpy(&pointer, variable, sizeof pointer);
    pph_spare_give(pointer);
    memset(variable, 0, sizeof pointer);
}

void pph_spare_trim(void)
{
    pthread_mutex_lock(&lock);
    block *out = PPH_TAKE(kept);
    bytes = 0;
    pthread_mutex_unlock(&lock);
    release(out);
}

size_t pph_spare_bytes(void)
{
    pthread_mutex_lock(&lock);
    size_t now = bytes;
    pthread_mutex_unlock(&lock);
    return now;
}
