/* SHA-1 and SHA-256 after FIPS 180-4: both take blocks of 64 bytes, padded alike. Stateless. */
#include "base/digest.h"

#include "base/error.h"
#include <stdio.h>
#include <string.h>

static uint32_t rotate_left(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static uint32_t rotate_right(uint32_t x, unsigned by)
{
    return x >> by | x << (32 - by);
}

static uint32_t load(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Section 6.1.2, with the words of the schedule kept in a ring of 16. */
static void add_block_1(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 16)
            w[t] = load(block + 4 * t);
        else
            w[t & 15] =
                rotate_left(w[(t - 3) & 15] ^ w[(t - 8) & 15] ^ w[(t - 14) & 15] ^ w[t & 15], 1);
        if (t < 20) {
            f = (b & c) ^ (~b & d);
            k = 0x5a827999;
        } else if (t < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (t < 60) {
            f = (b & c) ^ (b & d) ^ (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t sum = rotate_left(a, 5) + f + e + k + w[t & 15];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = sum;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t roots[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* Section 6.2.2. */
static void add_block_256(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 16; t++)
        w[t] = load(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = w[t - 16] + (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) + w[t - 7] +
               (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
    }
    for (int t = 0; t < 64; t++) {
        uint32_t first = h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                         ((e & f) ^ (~e & g)) + roots[t] + w[t];
        uint32_t second = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                          ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + first;
        d = c;
        c = b;
        b = a;
        a = first + second;
    }
    const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += sums[i];
}

static void add_block(pph_digest *d, const uint8_t *block)
{
    if (d->kind == PPH_DIGEST_SHA1)
        add_block_1(d->state, block);
    else
        add_block_256(d->state, block);
}

void pph_digest_init(pph_digest *digest, pph_digest_kind kind)
{
    static const uint32_t first_1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t first_256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    *digest = (pph_digest){.kind = kind};
    memcpy(digest->state, kind == PPH_DIGEST_SHA1 ? first_1 : first_256, sizeof digest->state);
}

void pph_digest_add(pph_digest *digest, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t filled = digest->size % 64;
    digest->size += size;
    if (filled) {
        size_t more = PPH_MIN(size, 64 - filled);
        if (more)
            memcpy(digest->block + filled, from, more);
        if (filled + more < 64)
            return;
        add_block(digest, digest->block);
        from += more;
        size -= more;
    }
    for (; size >= 64; from += 64, size -= 64)
        add_block(digest, from);
    if (size)
        memcpy(digest->block, from, size);
}

void pph_digest_end(pph_digest *digest, char shown[PPH_DIGEST_SHOWN])
{
    uint64_t bits = digest->size * 8;
    uint8_t padding[72] = {0x80};
    size_t size = (digest->size % 64 < 56 ? 56 : 120) - digest->size % 64;
    for (int i = 0; i < 8; i++)
        padding[size + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    pph_digest_add(digest, padding, size + 8);
    int words = digest->kind == PPH_DIGEST_SHA1 ? 5 : 8;
    for (int i = 0; i < words; i++)
        snprintf(shown + (size_t)(8 * i), 9, "%08x", digest->state[i]);
}
