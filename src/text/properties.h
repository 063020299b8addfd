/* Properties of characters as the tokenizers library judges them: by tables of Unicode 8 (and 9, for
 * marks in general), which its dependencies carry. Characters that are younger have not the property,
 * and a few have changed theirs since. Any thread. */
#ifndef PPH_TEXT_PROPERTIES_H
#define PPH_TEXT_PROPERTIES_H

#include "base/str.h"

/* Categories P*, and ASCII's symbols. */
bool pph_text_punctuation(uint32_t point);

/* Category Mn. */
bool pph_text_nonspacing(uint32_t point);

/* Categories M*. */
bool pph_text_mark(uint32_t point);

/* The ideographs that BERT takes for words of their own. */
bool pph_text_ideograph(uint32_t point);

#endif
