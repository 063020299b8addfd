/* The index of vectors, for the two files that make it: vectors.c keeps it, vectors_search.c walks it. */
#ifndef PPH_MEMORY_VECTORS_INSIDE_H
#define PPH_MEMORY_VECTORS_INSIDE_H

#include "memory/vectors.h"
#include <pthread.h>
#include <stdatomic.h>

enum { PPH_VECTORS_CHUNKS_MAX = 8192 }; /* 134 million vectors */

typedef struct pph_vectors_header {
    char magic[8];
    uint32_t version, dimensions;
    int64_t model;
    uint8_t store[16], boot[16];
    _Atomic uint64_t count; /* set last: what lies behind is not there */
    uint64_t dead;
    int64_t gone;  /* the last row of `gone` that was followed */
    uint32_t open; /* written to since it was last closed */
} pph_vectors_header;

typedef struct pph_vectors_chunk {
    uint8_t *rows;
    float *scale, *slack;
    int64_t *seq;
} pph_vectors_chunk;

/* lock    readers walk what is mapped; the writer maps more, marks, makes anew
 * chunks  mapped one by one, so that none ever moves */
struct pph_vectors {
    char *path;
    uint8_t store[16], boot[16];
    int64_t model;
    size_t dimensions, width, chunk_bytes;
    pthread_rwlock_t lock;
    int fd;
    pph_vectors_header *header;
    uint8_t *mapped[PPH_VECTORS_CHUNKS_MAX];
    size_t chunk_count;
};

pph_vectors_chunk pph_vectors_chunk_at(const pph_vectors *vectors, size_t index);

/* A vector in bytes: writes W bytes; gives its scale, and the length of what the bytes leave out. */
void pph_vectors_to_bytes(const float *vector, size_t dimensions, size_t width, uint8_t *bytes,
                          float *scale, float *slack);

#endif
