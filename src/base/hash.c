/* XXH3 through Debian's xxhash. Stateless. */
#include "base/hash.h"

#include <string.h>
#include <xxhash.h>

uint64_t pph_hash64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

void pph_hash128(const void *bytes, size_t size, uint8_t out[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, size));
    memcpy(out, canonical.digest, 16);
}

void pph_hash128_seeded(const void *bytes, size_t size, uint64_t seed, uint8_t out[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(bytes, size, seed));
    memcpy(out, canonical.digest, 16);
}
