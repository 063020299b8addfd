/* Any bytes as a SentencePiece model: refused with a sentence, or a text is encoded into ids that
 * exist. */
#include "base/mem.h"
#include "text/sentencepiece_model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *tokenizer = NULL;
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    pph_error err = {0};
    pph_sentencepiece_frame frame = {.adds_start = true, .adds_end = true};
    pph_status status = pph_sentencepiece_parse(&tokenizer, bytes, size, &frame, &err);
    if ((status == PPH_OK) != (tokenizer != NULL) || (status != PPH_OK && !err.message[0]))
        abort();
    if (!tokenizer || pph_tokenizer_encode(tokenizer, PPH_STR(" ab \xC3\xA9  a\n"), NULL, &tokens,
                                           NULL) != PPH_OK)
        return 0;
    for (size_t i = 0; i < tokens.count; i++)
        if (!pph_tokenizer_token(tokenizer, tokens.ids[i]).size)
            abort();
    return 0;
}
