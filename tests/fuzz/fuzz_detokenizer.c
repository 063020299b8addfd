/* Any bytes as ids for tokenizers of several families: what is streamed is whole characters, and in
 * sum what is decoded at once. */
#include "base/mem.h"
#include "text/detokenizer.h"

#include <stdlib.h>
#include <string.h>

#define FAMILIES SOURCE_ROOT "/tests/golden/text/families/"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static pph_tokenizer *family(uint8_t which)
{
    static const char *const paths[] = {
        FAMILIES "gpt2.tokenizer.json",    FAMILIES "llama2.tokenizer.json",
        FAMILIES "t5.tokenizer.json",      FAMILIES "bert_uncased.tokenizer.json",
        FAMILIES "words.tokenizer.json",   FAMILIES "word_ends.tokenizer.json",
        FAMILIES "mistral.tokenizer.json",
    };
    static pph_tokenizer *open[PPH_COUNT(paths)];
    which %= PPH_COUNT(paths);
    if (!open[which])
        check(pph_tokenizer_open(&open[which], paths[which], NULL) == PPH_OK);
    return open[which];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!size)
        return 0;
    pph_tokenizer *t = family(bytes[0]);
    PPH_AUTO(pph_tokens_deinit) pph_tokens ids = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer once = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer stream = {0};
    PPH_AUTO(pph_detokenizer_free) pph_detokenizer *d = NULL;
    check(pph_detokenizer_new(&d, t, bytes[0] & 0x80, NULL) == PPH_OK);
    for (size_t i = 1; i + 1 < size; i += 2) {
        int32_t id = (int32_t)((bytes[i] | (uint32_t)bytes[i + 1] << 8) % pph_tokenizer_size(t));
        if (!pph_tokenizer_token(t, id).size)
            continue;
        check(pph_tokens_add(&ids, id, NULL) == PPH_OK);
        check(pph_detokenizer_push(d, id, &stream, NULL) == PPH_OK);
        check(pph_utf8_check((pph_str){(const char *)stream.data, stream.size}) == SIZE_MAX);
    }
    check(pph_detokenizer_finish(d, &stream, NULL) == PPH_OK);
    check(pph_tokenizer_decode(t, ids.ids, ids.count, bytes[0] & 0x80, &once, NULL) == PPH_OK);
    check(once.size == stream.size &&
          (!once.size || memcmp(once.data, stream.data, once.size) == 0));
    check(pph_utf8_check((pph_str){(const char *)once.data, once.size}) == SIZE_MAX);
    return 0;
}
