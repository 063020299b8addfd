/* Text: views of bytes, UTF-8 checks, and the few Unicode operations that tokenizers need. Views
 * borrow; nothing here allocates except where a function says copy. Any thread. */
#ifndef PPH_BASE_STR_H
#define PPH_BASE_STR_H

#include "base/buffer.h"
#include <stdbool.h>

/* `size` bytes at `data`; not zero-terminated; data may be NULL when size is 0. */
typedef struct pph_str {
    const char *data;
    size_t size;
} pph_str;

#define PPH_STR(literal) ((pph_str){(literal), sizeof(literal) - 1})

pph_str pph_str_view(const char *text); /* of a C string; NULL gives the empty view */
bool pph_str_equal(pph_str a, pph_str b);
bool pph_str_starts(pph_str text, const char *prefix);
bool pph_str_ends(pph_str text, const char *suffix);

/* A zero-terminated copy on the heap; NULL when there is no memory. Free with pph_free. */
char *pph_str_copy(pph_str text);
/* The same, of formatted text. */
char *pph_str_format(const char *format, ...) PPH_PRINTF(1, 2);

/* The offset of the first byte that is not valid UTF-8 (overlong forms, surrogates and values past
 * U+10FFFF are not), or SIZE_MAX when all of it is. */
size_t pph_utf8_check(pph_str text);

/* Decode the code point at text[at] of VALID UTF-8 and say how many bytes it has. */
uint32_t pph_utf8_decode(pph_str text, size_t at, size_t *length);
/* Encode a code point; returns its 1 to 4 bytes. */
size_t pph_utf8_encode(uint32_t point, char out[4]);

/* Unicode's full lower case of VALID UTF-8, each point by itself, appended: as the Lowercase step of
 * tokenizer.json has it, which knows no final sigma. */
PPH_CHECKED pph_status pph_str_lower(pph_str text, pph_buffer *out, pph_error *err);
/* The normalisation forms of Unicode Standard Annex 15. */
typedef enum pph_normal_form { PPH_NFC, PPH_NFD, PPH_NFKC, PPH_NFKD } pph_normal_form;

/* VALID UTF-8 in a normalisation form, appended; time grows with the text's size, whatever marks it
 * piles up. */
PPH_CHECKED pph_status pph_str_normalize(pph_str text, pph_normal_form form, pph_buffer *out,
                                         pph_error *err);

/* Unicode properties of a code point: general categories L*, N*, M*, Mn, P*, the C* that are
 * assigned (controls, formats, surrogates, private use), and white space. */
bool pph_unicode_letter(uint32_t point);
bool pph_unicode_number(uint32_t point);
bool pph_unicode_mark(uint32_t point);
bool pph_unicode_nonspacing(uint32_t point);
bool pph_unicode_punctuation(uint32_t point);
bool pph_unicode_control(uint32_t point);
bool pph_unicode_space(uint32_t point);
/* What \w of a Unicode regular expression takes (Unicode Technical Standard 18, annex C): alphabetic,
 * marks, decimal digits, connectors such as '_', and the two joiners. */
bool pph_unicode_word(uint32_t point);

/* Whether a grapheme cluster (what a reader takes for one character) ends between two neighbours.
 * state  0 at the beginning of a text, then carried along from pair to pair */
bool pph_unicode_breaks(uint32_t before, uint32_t after, int32_t *state);

#endif
