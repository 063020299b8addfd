/* Any bytes as a text for a CLIP's tokenizer: refused where they are not UTF-8, else encoded within
 * the limit that was set, and decoded to UTF-8. What a decoded ASCII text encodes to decodes to the
 * same again; other texts need not: they are lower-cased after they were normalised, which may leave
 * marks in an order that the next normalisation changes. */
#include "base/mem.h"
#include "text/tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool is_ascii(pph_str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] & 0x80)
            return false;
    return true;
}

static void decode(const pph_tokenizer *tokenizer, const pph_tokens *tokens, pph_buffer *out)
{
    out->size = 0;
    check(pph_tokenizer_decode(tokenizer, tokens->ids, tokens->count, true, out, NULL) == PPH_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static pph_tokenizer *tokenizer;
    if (!tokenizer)
        check(pph_tokenizer_open(&tokenizer, SOURCE_ROOT "/tests/golden/text/small", NULL) ==
              PPH_OK);
    pph_str text = {(const char *)bytes, size};
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer first = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer second = {0};
    pph_error err = {0};
    pph_status status = pph_tokenizer_encode(tokenizer, text, NULL, &tokens, &err);
    check((status == PPH_OK) == (pph_utf8_check(text) == SIZE_MAX));
    if (status != PPH_OK)
        return 0;
    /* Every byte is in this vocabulary, so a text makes at most a token a byte of its normal form. */
    check(tokens.count >= 2 && tokens.count <= 2 + 3 * size);
    decode(tokenizer, &tokens, &first);
    text = (pph_str){(const char *)first.data, first.size};
    check(pph_tokenizer_encode(tokenizer, text, NULL, &tokens, NULL) == PPH_OK);
    decode(tokenizer, &tokens, &second);
    check(pph_utf8_check((pph_str){(const char *)second.data, second.size}) == SIZE_MAX);
    check(!is_ascii(text) ||
          pph_str_equal(text, (pph_str){(const char *)second.data, second.size}));
    pph_tokenizer_options options = {.limit = 7, .truncate = true, .parse_special = true};
    text = (pph_str){(const char *)bytes, size};
    check(pph_tokenizer_encode(tokenizer, text, &options, &tokens, NULL) == PPH_OK);
    check(tokens.count <= 7 && tokens.ids[tokens.count - 1] == pph_tokenizer_end(tokenizer));
    return 0;
}
