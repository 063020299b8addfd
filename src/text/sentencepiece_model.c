/* Reads the few fields of the protocol buffer that matter into tables. Every length is held against
 * what is left. */
#include "text/sentencepiece_model.h"

#include "base/mem.h"
#include "text/tokenizer_tables.h"
#include "text/vocabulary.h"
#include <string.h>

/* What is left of a message. */
typedef struct message {
    const uint8_t *at, *end;
} message;

/* A field: its number, and its bytes or its number's value. */
typedef struct field {
    uint64_t number, value;
    message bytes;
} field;

static pph_status damaged(pph_error *err)
{
    return PPH_FAIL(err, PPH_CORRUPT, "is no SentencePiece model, or is damaged");
}

static bool read_varint(message *m, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The next field of a message that is not at its end. */
static bool read_field(message *m, field *out)
{
    uint64_t tag, size = 0;
    if (!read_varint(m, &tag))
        return false;
    *out = (field){.number = tag >> 3};
    switch (tag & 7) {
    case 0:
        return read_varint(m, &out->value);
    case 1:
        size = 8;
        break;
    case 2:
        if (!read_varint(m, &size))
            return false;
        break;
    case 5:
        size = 4;
        break;
    default:
        return false;
    }
    if (size > (size_t)(m->end - m->at))
        return false;
    out->bytes = (message){m->at, m->at + size};
    m->at += size;
    return true;
}

static pph_str text_of(message m)
{
    return (pph_str){(const char *)m.at, (size_t)(m.end - m.at)};
}

static float float_of(message m)
{
    uint32_t bits = 0;
    float value;
    for (int i = 0; i < 4 && i < m.end - m.at; i++)
        bits |= (uint32_t)m.at[i] << 8 * i;
    memcpy(&value, &bits, sizeof value);
    return value;
}

typedef pph_sentencepiece model;

void pph_sentencepiece_deinit(model *m)
{
    pph_free(m->tokens);
    pph_free(m->scores);
    pph_free(m->kinds);
}

static pph_status make_room(model *m, pph_error *err)
{
    if (m->count < m->room)
        return PPH_OK;
    if (m->count >= PPH_VOCABULARY_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "more than %d tokens", PPH_VOCABULARY_LIMIT);
    size_t room = PPH_MAX((size_t)1024, 2 * m->room);
    pph_str *tokens = pph_resize(m->tokens, room, sizeof *tokens);
    m->tokens = tokens ? tokens : m->tokens;
    float *scores = tokens ? pph_resize(m->scores, room, sizeof *scores) : NULL;
    m->scores = scores ? scores : m->scores;
    uint8_t *kinds = scores ? pph_resize(m->kinds, room, sizeof *kinds) : NULL;
    m->kinds = kinds ? kinds : m->kinds;
    if (!kinds)
        return PPH_FAIL_MEMORY(err, room * sizeof *tokens);
    m->room = room;
    return PPH_OK;
}

static pph_status read_piece(model *m, message piece, pph_error *err)
{
    PPH_TRY(make_room(m, err));
    m->tokens[m->count] = (pph_str){0};
    m->scores[m->count] = 0;
    m->kinds[m->count] = PPH_TOKEN_NORMAL;
    while (piece.at < piece.end) {
        field f;
        if (!read_field(&piece, &f))
            return damaged(err);
        if (f.number == 1)
            m->tokens[m->count] = text_of(f.bytes);
        else if (f.number == 2)
            m->scores[m->count] = float_of(f.bytes);
        else if (f.number == 3 && f.value >= PPH_TOKEN_NORMAL && f.value <= PPH_TOKEN_BYTE)
            m->kinds[m->count] = (uint8_t)f.value;
    }
    if (pph_utf8_check(m->tokens[m->count]) != SIZE_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "token %zu is not UTF-8", m->count);
    m->count++;
    return PPH_OK;
}

/* Ids are written as 64-bit two's complement; -1 is none. */
static int32_t id_of(uint64_t value)
{
    return value < PPH_VOCABULARY_LIMIT ? (int32_t)value : -1;
}

static pph_status read_trainer(model *m, message spec, pph_error *err)
{
    while (spec.at < spec.end) {
        field f;
        if (!read_field(&spec, &f))
            return damaged(err);
        if (f.number == 3)
            m->type = f.value;
        else if (f.number == 40)
            m->unknown = id_of(f.value);
        else if (f.number == 41)
            m->start = id_of(f.value);
        else if (f.number == 42)
            m->end = id_of(f.value);
        else if (f.number == 43)
            m->pad = id_of(f.value);
    }
    return PPH_OK;
}

static pph_status read_normalizer(model *m, message spec, pph_error *err)
{
    while (spec.at < spec.end) {
        field f;
        if (!read_field(&spec, &f))
            return damaged(err);
        if (f.number == 2)
            m->charsmap = text_of(f.bytes);
        else if (f.number == 3)
            m->adds_prefix = f.value;
        else if (f.number == 4)
            m->removes_spaces = f.value;
    }
    return PPH_OK;
}

static pph_status read_model(model *m, message file, pph_error *err)
{
    while (file.at < file.end) {
        field f;
        if (!read_field(&file, &f))
            return damaged(err);
        if (f.number == 1)
            PPH_TRY(read_piece(m, f.bytes, err));
        else if (f.number == 2)
            PPH_TRY(read_trainer(m, f.bytes, err));
        else if (f.number == 3)
            PPH_TRY(read_normalizer(m, f.bytes, err));
    }
    return m->count ? PPH_OK : damaged(err);
}

pph_status pph_sentencepiece_read(pph_sentencepiece *out, const void *bytes, size_t size,
                                  pph_error *err)
{
    const uint8_t *begin = bytes;
    /* What the file leaves out has these values. */
    *out = (pph_sentencepiece){
        .type = 1, .start = 1, .end = 2, .pad = -1, .adds_prefix = true, .removes_spaces = true};
    PPH_TRY(read_model(out, (message){begin, begin + size}, err));
    if (out->type != 1 && out->type != 2)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "is a SentencePiece model of words or characters; unigram and BPE are read");
    return PPH_OK;
}

pph_tokenizer_tables pph_sentencepiece_tables(const pph_sentencepiece *m,
                                              const pph_sentencepiece_frame *frame)
{
    return (pph_tokenizer_tables){
        .model = m->type == 2 ? PPH_TABLES_SCORE_BPE : PPH_TABLES_UNIGRAM,
        .tokens = m->tokens,
        .scores = m->scores,
        .kinds = m->kinds,
        .count = m->count,
        .charsmap = m->charsmap,
        .adds_prefix = m->adds_prefix,
        .removes_spaces = m->removes_spaces,
        .adds_start = frame->adds_start,
        .adds_end = frame->adds_end,
        .start = m->start,
        .end = m->end,
        .unknown = m->unknown,
        .separator = -1,
        .pad = m->pad,
    };
}

pph_status pph_sentencepiece_parse(pph_tokenizer **out, const void *bytes, size_t size,
                                   const pph_sentencepiece_frame *frame, pph_error *err)
{
    PPH_AUTO(pph_sentencepiece_deinit) pph_sentencepiece read = {0};
    PPH_TRY(pph_sentencepiece_read(&read, bytes, size, err));
    pph_tokenizer_tables tables = pph_sentencepiece_tables(&read, frame);
    return pph_tokenizer_make(out, &tables, err);
}
