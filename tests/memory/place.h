/* A folder of the test's own for stores, and numbers drawn from a seed. */
#ifndef PPH_TESTS_MEMORY_PLACE_H
#define PPH_TESTS_MEMORY_PLACE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char place_folder[64];

static inline const char *place_make(void)
{
    snprintf(place_folder, sizeof place_folder, "/tmp/pph-memory-XXXXXX");
    return mkdtemp(place_folder);
}

static inline const char *place_path(const char *name)
{
    static char paths[8][128];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", place_folder, name);
    return path;
}

/* A store's file and what stands beside it. */
static inline void place_remove_store(const char *name)
{
    static const char *const ends[] = {"",           "-wal",       "-shm",
                                       "-vectors-1", "-vectors-2", "-vectors-3"};
    char file[160];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(file, sizeof file, "%s%s", place_path(name), ends[i]);
        unlink(file);
    }
}

static uint64_t place_seed = 88172645463325252u;

static inline uint64_t place_draw(void)
{
    place_seed ^= place_seed << 13;
    place_seed ^= place_seed >> 7;
    place_seed ^= place_seed << 17;
    return place_seed;
}

/* About normal. */
static inline float place_normal(void)
{
    double sum = 0;
    for (int i = 0; i < 6; i++)
        sum += (double)(place_draw() >> 40) / (1 << 24);
    return (float)((sum - 3) * 1.41421356);
}

static inline void place_unit(float *vector, size_t dimensions)
{
    double squares = 0;
    for (size_t i = 0; i < dimensions; i++) {
        vector[i] = place_normal();
        squares += (double)vector[i] * (double)vector[i];
    }
    for (size_t i = 0; i < dimensions; i++)
        vector[i] /= (float)sqrt(squares);
}

#endif
