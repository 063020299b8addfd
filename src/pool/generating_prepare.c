/* From what an answer asks, its words and its pictures, to its prompt, on a prepare thread. Refuses what the model cannot take, before
 * the worker hears of it. */
#include "pool/generating.h"

#include "base/mem.h"
#include "model/sampler.h"
#include "text/tokenizer.h"
#include <stdio.h>

static pph_status encode_text(pph_answer *answer, const pph_tokenizer *tokenizer, pph_tokens *out,
                              pph_error *err)
{
    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.parse_special = answer->options.parse_special;
    return pph_tokenizer_encode(tokenizer, answer->prompt_text, &options, out, err);
}

/* The form of its prompts: the one that was chosen, else the model's own. */
static pph_status choose_form(const pph_answer *answer, const pph_decoder_info *info,
                              pph_chat_template *out, pph_error *err)
{
    if (answer->handle->has_form) {
        *out = answer->handle->form;
        return PPH_OK;
    }
    pph_status status = pph_chat_recognise(out, pph_str_view(info->chat_template), err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, answer->model->base.name);
}

static pph_str token_text(const pph_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 ? pph_tokenizer_token(tokenizer, id) : (pph_str){0};
}

/* How the model's files spell what its prompts are marked with. */
static pph_status find_marks(const pph_decoder_info *info, const pph_tokenizer *tokenizer,
                             pph_chat_marks *out, pph_error *err)
{
    /* What an empty text has around it is what every text begins with. */
    PPH_AUTO(pph_tokens_deinit) pph_tokens empty = {0};
    int32_t start = pph_tokenizer_start(tokenizer);
    PPH_TRY(pph_tokenizer_encode(tokenizer, PPH_STR(""), NULL, &empty, err));
    *out = (pph_chat_marks){
        .start = token_text(tokenizer, start >= 0 ? start : info->bos),
        .end = token_text(tokenizer, info->end_count ? info->ends[0] : -1),
        .framed = empty.count && empty.ids[0] == start,
    };
    return PPH_OK;
}

/* places  [pictures]: how many tokens come before each */
static pph_status encode_messages(const pph_answer *answer, const pph_decoder_info *info,
                                  const pph_tokenizer *tokenizer, const pph_chat_message *messages,
                                  size_t count, pph_tokens *out, size_t *places, pph_error *err)
{
    pph_chat_template form;
    pph_chat_marks marks;
    PPH_TRY(choose_form(answer, info, &form, err));
    PPH_TRY(find_marks(info, tokenizer, &marks, err));
    PPH_AUTO(pph_chat_prompt_deinit) pph_chat_prompt prompt = {0};
    PPH_TRY(pph_chat_write(&form, &marks, messages, count, &prompt, err));
    return pph_chat_encode(&prompt, tokenizer, out, places, err);
}

/* What a conversation that begins with these messages begins with, whatever comes behind them: as far as two
 * that go on in different ways agree. */
static pph_status encode_beginning(const pph_answer *answer, const pph_decoder_info *info,
                                   const pph_tokenizer *tokenizer, pph_tokens *out, size_t *places,
                                   pph_error *err)
{
    static const pph_str ways[] = {{"", 0}, {"a", 1}};
    size_t count = answer->message_count;
    bool asks = count && answer->messages[count - 1].role == PPH_CHAT_USER;
    PPH_AUTO(pph_tokens_deinit) pph_tokens other = {0};
    PPH_AUTO(pph_free_at)
    pph_chat_message *messages = pph_alloc_array(count + 2, sizeof *messages);
    if (!messages)
        return PPH_FAIL_MEMORY(err, (count + 2) * sizeof *messages);
    for (size_t i = 0; i < count; i++)
        messages[i] = answer->messages[i];
    for (size_t way = 0; way < PPH_COUNT(ways); way++) {
        size_t all = count;
        if (asks)
            messages[all++] = (pph_chat_message){.role = PPH_CHAT_ASSISTANT, .text = ways[way]};
        messages[all++] =
            (pph_chat_message){.role = PPH_CHAT_USER, .text = asks ? (pph_str){"a", 1} : ways[way]};
        PPH_TRY(encode_messages(answer, info, tokenizer, messages, all, way ? &other : out, places,
                                err));
    }
    size_t same = 0;
    while (same < out->count && same < other.count && out->ids[same] == other.ids[same])
        same++;
    out->count = same;
    return PPH_OK;
}

/* Before any picture is decoded for it.  rows  of a picture */
static pph_status check_size(pph_answer *answer, const pph_decoder_info *info, size_t tokens,
                             size_t rows, pph_error *err)
{
    size_t pictures = answer->picture_count * rows, count = tokens + pictures;
    char shown[64] = "";
    if (!count && !answer->warms)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the prompt is empty, and the model has no token to begin a text with");
    if (pictures)
        snprintf(shown, sizeof shown, ", %zu of them of %zu picture%s", pictures,
                 answer->picture_count, answer->picture_count > 1 ? "s" : "");
    size_t room = PPH_MAX(PPH_MIN(answer->options.answer_room, info->context / 4), (size_t)1);
    if (count > info->context - room)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "the prompt has %zu tokens%s; the model's context of %zu has room for %zu "
                        "and %zu to answer with: %zu too many",
                        count, shown, info->context, info->context - room, room,
                        count - (info->context - room));
    answer->prompt_tokens = count;
    answer->limit = PPH_MIN(answer->options.max_tokens, info->context - count);
    return PPH_OK;
}

/* Tokens, and the places of pictures between them. */
static pph_status write_prompt(pph_answer *answer, const pph_tokens *ids, const size_t *places,
                               size_t rows, pph_error *err)
{
    pph_prompt *prompt = &answer->prompt;
    size_t at = 0;
    for (size_t i = 0; i < answer->picture_count; i++) {
        const pph_picture *picture = &answer->pictures[i];
        PPH_TRY(pph_prompt_add(prompt, ids->ids + at, places[i] - at, err));
        PPH_TRY(pph_prompt_add_rows(prompt, rows, picture->content, err));
        prompt->rows[i].values = picture->rows ? picture->rows->values : NULL;
        at = places[i];
    }
    return pph_prompt_add(prompt, ids->ids + at, ids->count - at, err);
}

static pph_status check_ids(const pph_answer *answer, const pph_tokens *ids, size_t vocabulary,
                            pph_error *err)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] < 0 || (size_t)ids->ids[i] >= vocabulary)
            return PPH_FAIL(err, PPH_CORRUPT, "%s: the tokenizer gives token %d, the model has %zu",
                            answer->model->base.name, ids->ids[i], vocabulary);
    return PPH_OK;
}

/* Rows that each of its pictures becomes. Errors: PPH_UNSUPPORTED, and why. */
static pph_status rows_of(const pph_answer *answer, const pph_language_kind *kind,
                          const pph_engine *engine, size_t *out, pph_error *err)
{
    *out = 0;
    if (!answer->picture_count)
        return PPH_OK;
    const pph_sight *sight = kind->sight ? kind->sight(engine) : NULL;
    if (!sight)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "%s: takes no pictures", answer->model->base.name);
    if (sight->why.status != PPH_OK)
        return PPH_FAIL(err, sight->why.status, "%s", sight->why.message);
    *out = sight->rows;
    return PPH_OK;
}

pph_status pph_generating_prepare(pph_answer *answer, const pph_language_kind *kind,
                                  const pph_engine *engine, pph_error *err)
{
    const pph_decoder_info *info = kind->describe(engine);
    const pph_tokenizer *tokenizer = kind->tokenizer(engine);
    /* After a model that broke it may have been prepared already. */
    if (answer->prompt.count)
        return PPH_OK;
    if (!tokenizer)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: the model's files have no tokenizer that is known, so it takes no "
                        "text; put its tokenizer.json beside it",
                        answer->model->base.name);
    PPH_TRY(pph_sampling_check(&answer->options.sampling, info->vocabulary, err));
    size_t rows;
    PPH_TRY(rows_of(answer, kind, engine, &rows, err));
    PPH_AUTO(pph_tokens_deinit) pph_tokens ids = {0};
    PPH_AUTO(pph_free_at)
    size_t *places = pph_alloc_array(answer->picture_count, sizeof *places);
    if (!places)
        return PPH_FAIL_MEMORY(err, answer->picture_count * sizeof *places);
    if (answer->warms)
        PPH_TRY(encode_beginning(answer, info, tokenizer, &ids, places, err));
    else if (answer->message_count)
        PPH_TRY(encode_messages(answer, info, tokenizer, answer->messages, answer->message_count,
                                &ids, places, err));
    else
        PPH_TRY(encode_text(answer, tokenizer, &ids, err));
    PPH_TRY(check_ids(answer, &ids, info->vocabulary, err));
    PPH_TRY(check_size(answer, info, ids.count, rows, err));
    PPH_TRY(pph_generating_prepare_pictures(answer, kind, engine, err));
    PPH_TRY(write_prompt(answer, &ids, places, rows, err));
    answer->place.cost = answer->prompt_tokens;
    return PPH_OK;
}
