/* From the tokens of one text or two to what the model is given: cut to the limit, with what goes
 * around them. */
#include "text/tokenizer_load.h"

#include "base/mem.h"
#include <string.h>

void pph_encoding_deinit(pph_encoding *encoding)
{
    pph_tokens_deinit(&encoding->ids);
    pph_tokens_deinit(&encoding->types);
}

/* Keep `count` of the tokens. */
static void shorten(pph_tokens *tokens, size_t count, bool left)
{
    if (count >= tokens->count)
        return;
    if (left && count)
        memmove(tokens->ids, tokens->ids + tokens->count - count, count * sizeof *tokens->ids);
    tokens->count = count;
}

/* How much stays of two lists of which `room` tokens may stay: the shorter is spared as long as the
 * longer one has more. */
static void share(size_t room, size_t *first, size_t *second)
{
    size_t *low = *first <= *second ? first : second;
    size_t *high = low == first ? second : first;
    *high = *low > room ? *low : PPH_MAX(*low, room - *low);
    if (*low + *high > room) {
        *low = room / 2;
        *high = *low + room % 2;
    }
}

static pph_status shorten_both(pph_tokens *first, pph_tokens *second, size_t room,
                               const pph_tokenizer_options *options, pph_error *err)
{
    size_t left = first->count, right = second ? second->count : 0;
    size_t excess = left + right - room;
    if (!second) {
        left = room;
    } else if (options->strategy == PPH_TRUNCATE_LONGEST) {
        share(room, &left, &right);
    } else {
        size_t *cut = options->strategy == PPH_TRUNCATE_FIRST ? &left : &right;
        if (*cut <= excess)
            return PPH_FAIL(err, PPH_TOO_LARGE,
                            "the two texts have %zu tokens too many, and the one that may be cut "
                            "has only %zu",
                            excess, *cut);
        *cut -= excess;
    }
    shorten(first, left, options->left);
    if (second)
        shorten(second, right, options->left);
    return PPH_OK;
}

/* Hold the lists to the limit, `around` more tokens being still to come. */
static pph_status fit(pph_tokens *first, pph_tokens *second, size_t around,
                      const pph_tokenizer_options *options, pph_error *err)
{
    size_t total = first->count + (second ? second->count : 0) + around;
    if (!options->limit || total <= options->limit)
        return PPH_OK;
    if (options->limit < around)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a limit of %zu tokens leaves no room: %zu go around every text",
                        options->limit, around);
    if (!options->truncate)
        return PPH_FAIL(
            err, PPH_TOO_LARGE,
            "the text has %zu tokens, at most %zu fit: %zu too many; shorten it, or ask "
            "for it to be cut (--truncate)",
            total, options->limit, total - options->limit);
    return shorten_both(first, second, options->limit - around, options, err);
}

static pph_status assemble(const pph_slots *slots, bool bare, const pph_tokens *first,
                           const pph_tokens *second, pph_tokens *ids, pph_tokens *types,
                           pph_error *err)
{
    for (size_t i = 0; i < slots->count; i++) {
        const pph_slot *slot = &slots->at[i];
        const pph_tokens *text = slot->kind == PPH_SLOT_SECOND ? second : first;
        if (slot->kind == PPH_SLOT_TOKEN && !bare)
            PPH_TRY(pph_tokens_add(ids, slot->id, err));
        else if (slot->kind != PPH_SLOT_TOKEN && text)
            PPH_TRY(pph_tokens_append(ids, text, err));
        if (types)
            PPH_TRY(pph_tokens_pad(types, ids->count, slot->type, err));
    }
    return PPH_OK;
}

static const pph_tokenizer_options defaults;

pph_status pph_tokenizer_encode(const pph_tokenizer *tokenizer, pph_str text,
                                const pph_tokenizer_options *options, pph_tokens *out,
                                pph_error *err)
{
    options = options ? options : &defaults;
    PPH_AUTO(pph_tokens_deinit) pph_tokens ids = {0};
    const pph_slots *slots = &tokenizer->frame.single;
    PPH_TRY(pph_tokenizer_plain_ids(tokenizer, text, options->parse_special, &ids, err));
    PPH_TRY(fit(&ids, NULL, options->bare ? 0 : pph_slots_tokens(slots), options, err));
    out->count = 0;
    return assemble(slots, options->bare, &ids, NULL, out, NULL, err);
}

pph_status pph_tokenizer_encode_pair(const pph_tokenizer *tokenizer, pph_str first, pph_str second,
                                     const pph_tokenizer_options *options, pph_encoding *out,
                                     pph_error *err)
{
    options = options ? options : &defaults;
    PPH_AUTO(pph_tokens_deinit) pph_tokens left = {0};
    PPH_AUTO(pph_tokens_deinit) pph_tokens right = {0};
    const pph_slots *slots = &tokenizer->frame.pair;
    if (!slots->count)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "the tokenizer has no template for two texts");
    PPH_TRY(pph_tokenizer_plain_ids(tokenizer, first, options->parse_special, &left, err));
    PPH_TRY(pph_tokenizer_plain_ids(tokenizer, second, options->parse_special, &right, err));
    PPH_TRY(fit(&left, &right, options->bare ? 0 : pph_slots_tokens(slots), options, err));
    out->ids.count = out->types.count = 0;
    return assemble(slots, options->bare, &left, &right, &out->ids, &out->types, err);
}
