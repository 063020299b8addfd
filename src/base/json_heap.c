/* Heaps of JSON documents. A heap is one thread's at a time. */
#include "base/json_heap.h"

#include "base/error.h"
#include "base/mem.h"
#include <stdint.h>

/* Before every piece stands whose it is; ALIGN keeps both aligned for anything. */
enum { ALIGN = 16, CHUNK_LEAST = 4096, CHUNK_MOST = 1 << 20 };

struct pph_json_chunk {
    pph_json_chunk *next;
    size_t used, size;
    _Alignas(ALIGN) uint8_t bytes[];
};

static _Thread_local pph_json_heap *current;

pph_json_heap *pph_json_heap_new(void)
{
    return pph_alloc(sizeof(pph_json_heap));
}

void pph_json_heap_free(pph_json_heap **heap)
{
    if (!*heap)
        return;
    for (pph_json_chunk *chunk = (*heap)->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        pph_free(chunk);
    }
    pph_free(PPH_TAKE(*heap));
}

void pph_json_heap_use(pph_json_heap *heap)
{
    current = heap;
}

/* Chunks grow with the document, so that a small one stays small and a large one has few. */
static pph_json_chunk *grow(pph_json_heap *heap, size_t least)
{
    size_t size = PPH_MIN(PPH_MAX(heap->bytes, CHUNK_LEAST), CHUNK_MOST), bytes;
    size = PPH_MAX(size, least);
    if (!pph_add_size(size, sizeof(pph_json_chunk), &bytes))
        return NULL;
    pph_json_chunk *chunk = pph_alloc(bytes);
    if (!chunk)
        return NULL;
    *chunk = (pph_json_chunk){.next = heap->chunks, .size = size};
    heap->chunks = chunk;
    heap->bytes += size;
    return chunk;
}

void *pph_json_heap_take(size_t size)
{
    pph_json_heap *heap = current;
    if (!heap)
        return NULL;
    size_t need = SIZE_MAX;
    pph_json_chunk *chunk = NULL;
    if (pph_add_size(size, 2 * ALIGN - 1, &need)) {
        need &= ~(size_t)(ALIGN - 1);
        chunk = heap->chunks;
        if (!chunk || chunk->size - chunk->used < need)
            chunk = grow(heap, need);
    }
    if (!chunk)
        longjmp(heap->escape, 1);
    uint8_t *piece = chunk->bytes + chunk->used;
    chunk->used += need;
    *(pph_json_heap **)piece = heap;
    return piece + ALIGN;
}

void pph_json_heap_give(void *piece)
{
    (void)piece;
}

pph_json_heap *pph_json_heap_of(void *piece)
{
    return *(pph_json_heap **)((uint8_t *)piece - ALIGN);
}
