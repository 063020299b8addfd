/* SentencePiece's table of replacements for characters and short runs of them, compiled into bytes.
 *
 * The bytes are: the size of a trie in bytes (32 bits, little-endian); the trie, 32-bit units; then
 * the replacements, each ended by a zero byte. The trie is a double array over the bytes of what is
 * replaced. In a unit, bits 0 to 7 and 31 are its label, bit 8 says that a value hangs below it, and
 * the place of its children is its own place XOR its offset: bits 10 to 30, shifted left by 8 more
 * when bit 9 is set. A unit with bit 31 holds a value: where its replacement begins.
 * Source  S. Yata's description of darts-clone; T. Kudo, J. Richardson 2018, "SentencePiece" */
#ifndef PPH_TEXT_CHARSMAP_H
#define PPH_TEXT_CHARSMAP_H

#include "base/str.h"

/* Immutable, for any number of threads. */
typedef struct pph_charsmap pph_charsmap;

/* bytes   the compiled table; copied
 * Errors  PPH_CORRUPT (sizes that do not fit, a replacement that is not UTF-8), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_charsmap_new(pph_charsmap **out, const void *bytes, size_t size,
                                        pph_error *err);
void pph_charsmap_free(pph_charsmap **map);

/* What the text begins with that is replaced: the longest such (or, with `shortest`, the shortest).
 * replacement  borrowed from the map; may be empty
 * Returns how many bytes are replaced; 0: none */
size_t pph_charsmap_match(const pph_charsmap *map, pph_str text, bool shortest,
                          pph_str *replacement);

/* As the step Precompiled of tokenizer.json does it: by grapheme clusters. A cluster of up to 5 bytes
 * that begins with something that is replaced is replaced whole, by what the shortest such thing
 * becomes; else its characters are looked at one by one.
 * text    VALID UTF-8
 * out     appended to
 * Errors  PPH_TOO_LARGE (the limit of `out`), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_charsmap_run(const pph_charsmap *map, pph_str text, pph_buffer *out,
                                        pph_error *err);

#endif
