/* Pictures to load a service with: made in memory or read from files, each request's its own. */
#ifndef PPH_BENCH_PICTURES_H
#define PPH_BENCH_PICTURES_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* bytes    a picture file's content, on the heap
 * palette  where the colours of a PNG with a palette begin, 0 when it is anything else */
typedef struct bench_picture {
    uint8_t *bytes;
    size_t size;
    size_t palette;
} bench_picture;

typedef struct bench_pictures {
    bench_picture *at;
    size_t count;
    size_t largest; /* bytes */
} bench_pictures;

/* One PNG of 256 colours, width x height, that compresses about as a photograph's does. */
PPH_CHECKED pph_status bench_pictures_make(bench_pictures *out, uint32_t width, uint32_t height,
                                           pph_error *err);
PPH_CHECKED pph_status bench_pictures_read(bench_pictures *out, char *const *paths, size_t count,
                                           pph_error *err);
void bench_pictures_deinit(bench_pictures *pictures);

/* Copy the picture whose turn it is into `room` (largest bytes) and return its size. A PNG with a
 * palette gets colours that no other `number` gives it, so that equal bytes or equal pixels are
 * never asked for twice; another file is copied as it is. Any thread. */
size_t bench_pictures_take(const bench_pictures *pictures, uint64_t number, uint8_t *room);

#endif
