/* Made-up weights: the same numbers from a name as tests/golden/model/make_clip.py makes, and
 * safetensors files written from them, by means that share nothing with the reader under test. */
#ifndef PPH_TESTS_SYNTHETIC_H
#define PPH_TESTS_SYNTHETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* dtype  "F32", "F16" or "BF16": normal noise of this mean and scale, every period-th element
 *        times spike; "I64": 0, 1, 2 ... */
typedef struct synthetic_tensor {
    char name[120];
    const char *dtype;
    int rank;
    size_t shape[4];
    double mean, scale, spike;
    size_t period;
} synthetic_tensor;

/* 64-bit FNV-1a of "space/name". */
uint64_t synthetic_seed(const char *space, const char *name);

/* Elements first .. first + count of the noise that `seed` stands for. */
void synthetic_noise(uint64_t seed, size_t first, size_t count, double mean, double scale,
                     size_t period, double spike, float *out);

/* Write a safetensors file. seeds  [count], of each tensor's noise */
bool synthetic_write(const char *path, const synthetic_tensor *tensors, const uint64_t *seeds,
                     size_t count);

size_t synthetic_elements(const synthetic_tensor *tensor);

#endif
