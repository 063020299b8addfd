/* One pass over the text, a replaced thing or a character at a time. Stateless. */
#include "text/sentencepiece_normal.h"

#include "text/metaspace.h"

/* What the text begins with, replaced; returns how much of it that is. */
static size_t next_part(const pph_sentencepiece_normal *what, pph_str text, pph_str *part)
{
    size_t size = what->charsmap ? pph_charsmap_match(what->charsmap, text, false, part) : 0;
    if (size)
        return size;
    pph_utf8_decode(text, 0, &size);
    *part = (pph_str){text.data, size};
    return size;
}

pph_status pph_sentencepiece_normalize(const pph_sentencepiece_normal *what, pph_str text,
                                       pph_buffer *out, pph_error *err)
{
    pph_str space = what->escape ? PPH_STR(PPH_METASPACE) : PPH_STR(" ");
    bool begun = false;
    bool waits = false; /* a space that only counts if something follows */
    while (text.size) {
        pph_str part;
        size_t used = next_part(what, text, &part);
        text = (pph_str){text.data + used, text.size - used};
        for (size_t i = 0; i < part.size; i++) {
            if (part.data[i] == ' ' && what->remove_extra_spaces) {
                waits = begun;
                continue;
            }
            if (waits || (!begun && what->add_prefix))
                PPH_TRY(pph_buffer_append(out, space.data, space.size, err));
            begun = true;
            waits = false;
            if (part.data[i] == ' ')
                PPH_TRY(pph_buffer_append(out, space.data, space.size, err));
            else
                PPH_TRY(pph_buffer_append(out, part.data + i, 1, err));
        }
    }
    return PPH_OK;
}
