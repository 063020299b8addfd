/* Fast hashes that are not secret (XXH3). The door to xxhash. Any thread. */
#ifndef PPH_BASE_HASH_H
#define PPH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t pph_hash64(const void *bytes, size_t size);
/* 128 bits, for naming content. Writes 16 bytes, big-endian. */
void pph_hash128(const void *bytes, size_t size, uint8_t out[16]);
/* The same under a seed: who does not know it cannot prepare two contents of one hash. For keys that
 * live no longer than the process; not for names that are kept. */
void pph_hash128_seeded(const void *bytes, size_t size, uint64_t seed, uint8_t out[16]);

#endif
