/* Added tokens: texts that are one token wherever they stand, looked for before the model sees the
 * text ("<|endoftext|>"). */
#ifndef PPH_TEXT_ADDED_H
#define PPH_TEXT_ADDED_H

#include "base/str.h"

/* special      marks structure, and is found only when the caller lets text contain such marks
 * normalized   looked for in the normalised text, not in the text as it came
 * single_word  only where no letter, mark, digit or underscore touches it
 * left, right  takes the white space on that side with it */
typedef struct pph_added {
    int32_t id;
    bool special, normalized, single_word, left, right;
} pph_added;

/* Starts as {0}. Filled and finished by one thread, then for any number of threads. */
typedef struct pph_added_set {
    struct pph_added_entry *entries; /* sorted by text after finishing */
    size_t count, room;
    uint8_t first[32]; /* a bit for each byte that a text begins with */
} pph_added_set;

void pph_added_set_deinit(pph_added_set *set);

/* text    what is looked for; copied; not empty. The same text again replaces the first.
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_added_set_add(pph_added_set *set, pph_str text, pph_added token,
                                         pph_error *err);

/* After the last addition, before the first search. */
void pph_added_set_finish(pph_added_set *set);

/* begin, end  with the white space that was taken
 * next        behind the token itself: where to search on */
typedef struct pph_added_match {
    size_t begin, end, next;
    int32_t id;
} pph_added_match;

/* The first match from byte `from` on that `special` lets through; of those that begin at the same
 * place the longest. A special token that is not let through is stepped over whole.
 * from   `next` of the match before, or 0
 * taken  `end` of the match before, or 0: white space before it is not taken again */
bool pph_added_set_search(const pph_added_set *set, pph_str text, size_t from, size_t taken,
                          bool special, pph_added_match *match);

#endif
