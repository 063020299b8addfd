/* The heap of one JSON document: small pieces out of few large ones, given back together.
 *
 * jansson's reader is not safe when its heap refuses: its lexer goes on without the byte that it
 * could not keep, and then reads past its buffer. So this heap never gives NULL: when there is no
 * memory it leaves the parse by longjmp, and what the parse had made goes with the heap. */
#ifndef PPH_BASE_JSON_HEAP_H
#define PPH_BASE_JSON_HEAP_H

#include <setjmp.h>
#include <stddef.h>

typedef struct pph_json_chunk pph_json_chunk;

typedef struct pph_json_heap {
    pph_json_chunk *chunks; /* the newest first */
    size_t bytes;           /* of all chunks */
    jmp_buf escape;         /* where to go for want of memory, while it is the thread's heap */
} pph_json_heap;

/* NULL when there is no memory. */
pph_json_heap *pph_json_heap_new(void);
void pph_json_heap_free(pph_json_heap **heap);

/* From now on, and until NULL is set, this thread's pph_json_heap_take takes from `heap`, whose
 * `escape` is set. */
void pph_json_heap_use(pph_json_heap *heap);

/* For json_set_alloc_funcs. What is taken lives as long as its heap; giving it back does nothing. */
void *pph_json_heap_take(size_t size);
void pph_json_heap_give(void *piece);

/* The heap that a piece was taken from. */
pph_json_heap *pph_json_heap_of(void *piece);

#endif
