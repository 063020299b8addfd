/* Patterns over PCRE2 or plain search. Refuses empty plain text, which would match everywhere. */
#include "text/pattern.h"

#include "base/mem.h"
#include <string.h>

pph_status pph_pattern_init(pph_pattern *out, const pph_json *json, pph_error *err)
{
    const pph_json *regex = pph_json_get(json, "Regex"), *plain = pph_json_get(json, "String");
    if (pph_json_is_string(regex))
        return pph_regex_new(&out->regex, pph_json_string(regex), err);
    pph_str text = pph_json_string(plain);
    if (!text.size)
        return PPH_FAIL(err, PPH_CORRUPT, "a pattern is neither a 'Regex' nor a 'String'");
    out->literal = pph_str_copy(text);
    out->literal_size = text.size;
    return out->literal ? PPH_OK : PPH_FAIL_MEMORY(err, text.size + 1);
}

void pph_pattern_deinit(pph_pattern *pattern)
{
    pph_regex_free(&pattern->regex);
    pph_free(pattern->literal);
    *pattern = (pph_pattern){0};
}

static size_t character_after(pph_str text, size_t at)
{
    size_t length = 1;
    if (at < text.size)
        pph_utf8_decode(text, at, &length);
    return at + length;
}

pph_status pph_pattern_next(const pph_pattern *pattern, pph_regex_scratch *scratch, pph_str text,
                            pph_pattern_walk *walk, pph_regex_match *match, bool *found,
                            pph_error *err)
{
    *found = false;
    if (pattern->literal) {
        const char *at = walk->done < text.size
                             ? memmem(text.data + walk->done, text.size - walk->done,
                                      pattern->literal, pattern->literal_size)
                             : NULL;
        if (!at)
            return PPH_OK;
        size_t begin = (size_t)(at - text.data);
        *match = (pph_regex_match){begin, begin + pattern->literal_size};
        walk->done = match->end;
        *found = true;
        return PPH_OK;
    }
    while (walk->from <= text.size) {
        PPH_TRY(pph_regex_search(pattern->regex, scratch, text, walk->from, match, found, err));
        if (!*found)
            return PPH_OK;
        bool empty = match->begin == match->end;
        walk->from = empty ? character_after(text, match->end) : match->end;
        if (empty && walk->started && match->end == walk->done) {
            *found = false;
            continue;
        }
        walk->started = true;
        walk->done = match->end;
        return PPH_OK;
    }
    return PPH_OK;
}
