/* Reads what tokenizer.json says of Metaspace. */
#include "text/metaspace.h"

#include <string.h>

pph_status pph_metaspace_read(pph_metaspace *out, const pph_json *json, pph_error *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const pph_json *replacement = pph_json_get(json, "replacement");
    const pph_json *scheme = pph_json_get(json, "prepend_scheme");
    pph_str mark =
        pph_json_is_null(replacement) ? PPH_STR(PPH_METASPACE) : pph_json_string(replacement);
    size_t length = 0;
    if (mark.size)
        pph_utf8_decode(mark, 0, &length);
    if (!mark.size || length != mark.size)
        return PPH_FAIL(err, PPH_CORRUPT, "the 'replacement' of Metaspace is not one character");
    memcpy(out->mark, mark.data, mark.size);
    out->size = mark.size;
    PPH_TRY(pph_json_get_bool(json, "split", true, &out->split, err));
    bool prefix = true;
    PPH_TRY(pph_json_get_bool(json, "add_prefix_space", true, &prefix, err));
    out->prepend = prefix ? PPH_PREPEND_ALWAYS : PPH_PREPEND_NEVER;
    if (pph_json_is_null(scheme))
        return PPH_OK;
    for (size_t i = 0; i < PPH_COUNT(schemes); i++)
        if (pph_str_equal(pph_json_string(scheme), pph_str_view(schemes[i]))) {
            out->prepend = (pph_prepend)i;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_CORRUPT, "the 'prepend_scheme' of Metaspace is none that there is");
}
