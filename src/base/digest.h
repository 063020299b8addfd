/* Digests that others compute too: of what is fetched, to hold it against what was announced. SHA-256, and
 * SHA-1 because git names its contents so (it is no proof against somebody who means harm). Any thread, one
 * at a time for each. */
#ifndef PPH_BASE_DIGEST_H
#define PPH_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef enum pph_digest_kind { PPH_DIGEST_SHA1, PPH_DIGEST_SHA256 } pph_digest_kind;

enum { PPH_DIGEST_SHOWN = 65 }; /* the longest digest in hexadecimal, with its final zero byte */

typedef struct pph_digest {
    pph_digest_kind kind;
    uint32_t state[8];
    uint64_t size;     /* bytes so far */
    uint8_t block[64]; /* those of them that fill no block yet */
} pph_digest;

void pph_digest_init(pph_digest *digest, pph_digest_kind kind);
void pph_digest_add(pph_digest *digest, const void *bytes, size_t size);

/* The digest of all that was added, in lower-case hexadecimal. Nothing may be added after it.
 * Source  FIPS 180-4 */
void pph_digest_end(pph_digest *digest, char shown[PPH_DIGEST_SHOWN]);

#endif
