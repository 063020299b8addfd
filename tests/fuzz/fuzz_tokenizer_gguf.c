/* Any bytes as a GGUF file's vocabulary: refused with a sentence, or texts are encoded into ids that
 * exist, and decoded again. */
#include "base/mem.h"
#include "model/gguf_tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const pph_str texts[] = {{"", 0},
                                    {" a photo of a cat, it's 12!  ", 29},
                                    {"\xC3\x89\xCC\x81\xF0\x9F\x98\x80 <s> ab\n", 16}};
    PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *tokenizer = NULL;
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    pph_error err = {0};
    if (pph_gguf_view(&file, "input", bytes, size, NULL) != PPH_OK)
        return 0;
    pph_status status = pph_gguf_tokenizer(&tokenizer, &file, &err);
    check((status == PPH_OK) == (tokenizer != NULL) && (status == PPH_OK || err.message[0]));
    for (size_t i = 0; tokenizer && i < PPH_COUNT(texts); i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
        pph_tokenizer_options options = {.parse_special = true};
        if (pph_tokenizer_encode(tokenizer, texts[i], &options, &tokens, NULL) != PPH_OK)
            continue;
        for (size_t t = 0; t < tokens.count; t++)
            check(pph_tokenizer_token(tokenizer, tokens.ids[t]).size > 0);
        check(pph_tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &text, NULL) ==
              PPH_OK);
        check(pph_utf8_check((pph_str){(const char *)text.data, text.size}) == SIZE_MAX);
    }
    return 0;
}
