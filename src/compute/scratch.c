/* A stack of memory in blocks that double. Blocks never move, so what was taken stays valid; when
 * the stack is empty again and has more than one block, they become one of their sum, and the next
 * round finds all its memory in one piece. One thread at a time. */
#include "compute/scratch.h"

#include "base/mem.h"

enum { BLOCKS = 40, FIRST = 64 * 1024 };

struct pph_scratch {
    struct {
        char *data;
        size_t size;
    } block[BLOCKS];
    size_t count;         /* blocks that exist */
    pph_scratch_mark top; /* where the next bytes come from; top.block < count, or both are 0 */
    size_t wanted;        /* size of the next first block */
};

pph_status pph_scratch_new(pph_scratch **out, pph_error *err)
{
    pph_scratch *scratch = pph_alloc(sizeof *scratch);
    if (!scratch)
        return PPH_FAIL_MEMORY(err, sizeof *scratch);
    scratch->wanted = FIRST;
    *out = scratch;
    return PPH_OK;
}

void pph_scratch_free(pph_scratch **scratch)
{
    if (!*scratch)
        return;
    for (size_t i = 0; i < (*scratch)->count; i++)
        pph_free((*scratch)->block[i].data);
    pph_free(*scratch);
    *scratch = NULL;
}

static void *grow(pph_scratch *scratch, size_t size)
{
    if (scratch->count == BLOCKS)
        return NULL;
    size_t last = scratch->count ? scratch->block[scratch->count - 1].size : scratch->wanted / 2;
    size_t bytes = PPH_MAX(size, last <= SIZE_MAX / 4 ? 2 * last : size);
    char *data = pph_alloc_aligned(bytes);
    if (!data)
        return NULL;
    scratch->block[scratch->count].data = data;
    scratch->block[scratch->count].size = bytes;
    scratch->top = (pph_scratch_mark){scratch->count++, size};
    return data;
}

void *pph_scratch_take(pph_scratch *scratch, size_t size)
{
    size_t rounded;
    if (!pph_add_size(size, 63, &rounded))
        return NULL;
    rounded &= ~(size_t)63;
    for (size_t i = scratch->top.block; i < scratch->count; i++) {
        size_t used = i == scratch->top.block ? scratch->top.used : 0;
        if (rounded <= scratch->block[i].size - used) {
            scratch->top = (pph_scratch_mark){i, used + rounded};
            return scratch->block[i].data + used;
        }
    }
    return grow(scratch, rounded);
}

pph_scratch_mark pph_scratch_save(const pph_scratch *scratch)
{
    return scratch->top;
}

void pph_scratch_restore(pph_scratch *scratch, pph_scratch_mark mark)
{
    scratch->top = mark;
    if (mark.block || mark.used || scratch->count < 2)
        return;
    size_t total = pph_scratch_bytes(scratch);
    for (size_t i = 0; i < scratch->count; i++)
        pph_free(scratch->block[i].data);
    scratch->count = 0;
    scratch->wanted = total;
}

size_t pph_scratch_bytes(const pph_scratch *scratch)
{
    size_t total = 0;
    for (size_t i = 0; i < scratch->count; i++)
        total += scratch->block[i].size;
    return total;
}
