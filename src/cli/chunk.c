/* Where pieces of a text end. Pure. */
#include "cli/chunk.h"

#include "base/error.h"
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The byte behind `count` characters from `at` on, or the text's end. */
static size_t forward(pph_str text, size_t at, size_t count)
{
    while (at < text.size && count--)
        for (at++; at < text.size && ((unsigned char)text.data[at] & 0xC0) == 0x80; at++) {
        }
    return at;
}

/* How good an end `at` is: behind a paragraph, a sentence, a word; 0: none of them. */
static int grade(pph_str text, size_t at)
{
    char before = text.data[at - 1], next = text.data[at];
    if (before == '\n' && next == '\n')
        return 3;
    if (is_space(next))
        return strchr(".!?", before) && before ? 2 : 1;
    return 0;
}

/* The best end in (from, to], the last of the equal ones; `to` where there is none. */
static size_t best_end(pph_str text, size_t from, size_t to)
{
    size_t best = to;
    int reached = 0;
    for (size_t at = from + 1; at <= to; at++) {
        int found = grade(text, at);
        if (found && found >= reached) {
            reached = found;
            best = at;
        }
    }
    return best;
}

bool pph_chunk_next(pph_str text, size_t *at, pph_str *out)
{
    size_t begin = *at;
    while (begin < text.size && is_space(text.data[begin]))
        begin++;
    size_t end = forward(text, begin, PPH_CHUNK_SIZE);
    if (begin == text.size)
        return false;
    if (end < text.size)
        end = best_end(text, forward(text, begin, PPH_CHUNK_SIZE / 2), end);
    /* The next begins before this one's end, at a word where there is one. */
    *at = end;
    if (end < text.size) {
        size_t back = forward(text, begin, PPH_CHUNK_SIZE / 2 - PPH_CHUNK_OVERLAP);
        for (size_t left = PPH_CHUNK_OVERLAP, k = end; k > back && left; k--, left--)
            if (is_space(text.data[k - 1]))
                *at = k;
    }
    while (end > begin && is_space(text.data[end - 1]))
        end--;
    *out = (pph_str){text.data + begin, end - begin};
    return true;
}
