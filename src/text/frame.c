/* Templates, read from tokenizer.json's post-processors. Refuses kinds that it does not know. */
#include "text/frame.h"

#include "base/mem.h"
#include "text/vocabulary.h"

#define SLOT_LIMIT 4096

void pph_frame_deinit(pph_frame *frame)
{
    pph_free(frame->single.at);
    pph_free(frame->pair.at);
    *frame = (pph_frame){0};
}

pph_status pph_slots_add(pph_slots *slots, pph_slot slot, pph_error *err)
{
    if (slots->count == SLOT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "a post-processor puts more than %d tokens around texts", SLOT_LIMIT);
    if (slots->count == slots->room) {
        size_t room = PPH_MAX((size_t)8, 2 * slots->room);
        pph_slot *at = pph_resize(slots->at, room, sizeof *at);
        if (!at)
            return PPH_FAIL_MEMORY(err, room * sizeof *at);
        slots->at = at;
        slots->room = room;
    }
    slots->at[slots->count++] = slot;
    return PPH_OK;
}

size_t pph_slots_tokens(const pph_slots *slots)
{
    size_t count = 0;
    for (size_t i = 0; i < slots->count; i++)
        count += slots->at[i].kind == PPH_SLOT_TOKEN;
    return count;
}

pph_status pph_frame_plain(pph_frame *out, pph_error *err)
{
    PPH_TRY(pph_slots_add(&out->single, (pph_slot){.kind = PPH_SLOT_FIRST}, err));
    PPH_TRY(pph_slots_add(&out->pair, (pph_slot){.kind = PPH_SLOT_FIRST}, err));
    return pph_slots_add(&out->pair, (pph_slot){.kind = PPH_SLOT_SECOND, .type = 1}, err);
}

static bool good_id(const pph_json *id)
{
    return pph_json_is_integer(id) && pph_json_integer(id) >= 0 &&
           pph_json_integer(id) < PPH_VOCABULARY_LIMIT;
}

/* BERT: [CLS] A [SEP] and B [SEP] of type 1. RoBERTa: <s> A </s> and </s> B </s>, all of type 0. */
static pph_status add_cls_sep(pph_frame *out, const pph_json *json, bool roberta, pph_error *err)
{
    const pph_json *cls = pph_json_at(pph_json_get(json, "cls"), 1);
    const pph_json *sep = pph_json_at(pph_json_get(json, "sep"), 1);
    if (!good_id(cls) || !good_id(sep))
        return PPH_FAIL(err, PPH_CORRUPT, "the post-processor's 'cls' or 'sep' has no id");
    const pph_slot first = {.kind = PPH_SLOT_FIRST};
    const pph_slot begin = {.id = (int32_t)pph_json_integer(cls)};
    const pph_slot end = {.id = (int32_t)pph_json_integer(sep)};
    const pph_slot second = {.kind = PPH_SLOT_SECOND, .type = !roberta};
    const pph_slot second_end = {.id = end.id, .type = !roberta};
    const pph_slot one[] = {begin, first, end};
    const pph_slot two[] = {begin, first, end, end, second, second_end};
    for (size_t i = 0; i < PPH_COUNT(one); i++)
        PPH_TRY(pph_slots_add(&out->single, one[i], err));
    for (size_t i = 0; i < PPH_COUNT(two); i++)
        if (roberta || i != 3)
            PPH_TRY(pph_slots_add(&out->pair, two[i], err));
    return PPH_OK;
}

/* The ids that a name in a template stands for. */
static pph_status add_named(pph_slots *to, const pph_json *specials, pph_str name, int64_t type,
                            pph_error *err)
{
    for (void *it = pph_json_first(specials); it; it = pph_json_next(specials, it)) {
        if (!pph_str_equal(pph_json_key(it), name))
            continue;
        const pph_json *ids = pph_json_get(pph_json_value(it), "ids");
        for (size_t i = 0; i < pph_json_size(ids); i++) {
            if (!good_id(pph_json_at(ids, i)))
                return PPH_FAIL(err, PPH_CORRUPT, "the template's token '%.*s' has a bad id",
                                (int)PPH_MIN(name.size, (size_t)60), name.data);
            PPH_TRY(pph_slots_add(to,
                                  (pph_slot){.id = (int32_t)pph_json_integer(pph_json_at(ids, i)),
                                             .type = (int32_t)type},
                                  err));
        }
        return PPH_OK;
    }
    return PPH_FAIL(err, PPH_CORRUPT, "the template uses '%.*s', which it does not define",
                    (int)PPH_MIN(name.size, (size_t)60), name.size ? name.data : "");
}

static pph_status add_template(pph_slots *to, const pph_json *json, const char *key, pph_error *err)
{
    const pph_json *list = pph_json_get(json, key);
    if (!pph_json_is_array(list))
        return PPH_FAIL(err, PPH_CORRUPT, "the template has no '%s' list", key);
    for (size_t i = 0; i < pph_json_size(list); i++) {
        const pph_json *sequence = pph_json_get(pph_json_at(list, i), "Sequence");
        const pph_json *special = pph_json_get(pph_json_at(list, i), "SpecialToken");
        const pph_json *item = sequence ? sequence : special;
        pph_str id = pph_json_string(pph_json_get(item, "id"));
        int64_t type = 0;
        PPH_TRY(pph_json_get_integer(item, "type_id", 0, INT32_MAX, 0, &type, err));
        if (sequence) {
            bool second = pph_str_equal(id, PPH_STR("B"));
            PPH_TRY(pph_slots_add(to,
                                  (pph_slot){.kind = second ? PPH_SLOT_SECOND : PPH_SLOT_FIRST,
                                             .type = (int32_t)type},
                                  err));
        } else {
            PPH_TRY(add_named(to, pph_json_get(json, "special_tokens"), id, type, err));
        }
    }
    return PPH_OK;
}

/* *found: something that adds tokens was there. */
static pph_status add_processor(pph_frame *out, const pph_json *json, int depth, bool *found,
                                pph_error *err)
{
    pph_str type = pph_json_string(pph_json_get(json, "type"));
    if (pph_str_equal(type, PPH_STR("ByteLevel"))) /* it only moves offsets */
        return PPH_OK;
    if (pph_str_equal(type, PPH_STR("Sequence")) && depth < 4) {
        const pph_json *list = pph_json_get(json, "processors");
        for (size_t i = 0; i < pph_json_size(list); i++)
            PPH_TRY(add_processor(out, pph_json_at(list, i), depth + 1, found, err));
        return PPH_OK;
    }
    bool roberta = pph_str_equal(type, PPH_STR("RobertaProcessing"));
    bool template = pph_str_equal(type, PPH_STR("TemplateProcessing"));
    if (!roberta && !template && !pph_str_equal(type, PPH_STR("BertProcessing")))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "the post-processor '%.*s' is not supported",
                        (int)PPH_MIN(type.size, (size_t)40), type.size ? type.data : "");
    if (*found)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "a post-processor that adds tokens twice is not supported");
    *found = true;
    if (!template)
        return add_cls_sep(out, json, roberta, err);
    PPH_TRY(add_template(&out->single, json, "single", err));
    if (pph_json_is_null(pph_json_get(json, "pair")))
        return PPH_OK;
    return add_template(&out->pair, json, "pair", err);
}

pph_status pph_frame_init(pph_frame *out, const pph_json *json, pph_error *err)
{
    bool found = false;
    if (!pph_json_is_null(json))
        PPH_TRY(add_processor(out, json, 0, &found, err));
    return found ? PPH_OK : pph_frame_plain(out, err);
}
