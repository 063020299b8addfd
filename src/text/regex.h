/* Regular expressions over UTF-8, as tokenizer files carry them. The door to PCRE2. */
#ifndef PPH_TEXT_REGEX_H
#define PPH_TEXT_REGEX_H

#include "base/str.h"

/* A compiled pattern; immutable, for any number of threads. */
typedef struct pph_regex pph_regex;

/* What one search needs beside the pattern; one thread at a time, for any pattern. */
typedef struct pph_regex_scratch pph_regex_scratch;

/* Compile a pattern in the dialect of tokenizer.json (Oniguruma's): classes, case and \p{..} are
 * Unicode's, white space is the White_Space property, which PCRE2's own \s is not, words have marks
 * in them, and ^ and $ hold at every line.
 * pattern  valid UTF-8, at most 64 KiB
 * Errors   PPH_CORRUPT with PCRE2's reason and the offset, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_regex_new(pph_regex **out, pph_str pattern, pph_error *err);
void pph_regex_free(pph_regex **regex);

PPH_CHECKED pph_status pph_regex_scratch_new(pph_regex_scratch **out, pph_error *err);
void pph_regex_scratch_free(pph_regex_scratch **scratch);

typedef struct pph_regex_match {
    size_t begin, end; /* byte offsets in the subject; begin <= end */
} pph_regex_match;

/* Search from byte `from` on.
 * subject  VALID UTF-8; `from` is at a character's start or at the end
 * found    false: there is none
 * Errors   PPH_UNSUPPORTED (the pattern takes too many steps on this text), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_regex_search(const pph_regex *regex, pph_regex_scratch *scratch,
                                        pph_str subject, size_t from, pph_regex_match *match,
                                        bool *found, pph_error *err);

#endif
