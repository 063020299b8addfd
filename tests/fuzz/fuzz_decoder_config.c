/* Any bytes as a decoder's config.json, as its generation_config.json, and as a GGUF file: refused with
 * a sentence, or every number is within what weights/decoder_config.h says. */
#include "weights/decoder_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_config(const pph_decoder_config *c)
{
    check(c->kind < PPH_DECODER_KIND_COUNT && c->layers >= 1 && c->layers <= PPH_DECODER_LAYERS);
    check(c->width >= 1 && c->width <= 65536 && c->heads >= 1 && c->heads <= 1024);
    check(c->kv_heads >= 1 && c->heads % c->kv_heads == 0);
    check(c->head >= 2 && c->head <= PPH_DECODER_HEAD && c->head % 2 == 0);
    check(c->hidden >= 1 && c->hidden <= 1 << 20);
    check(c->vocabulary >= 1 && c->vocabulary <= 1 << 24);
    check(c->context >= 1 && c->context <= 1 << 24);
    check(c->epsilon > 0 && c->epsilon < 1);
    check(c->bos >= -1 && c->bos < c->vocabulary);
    check(c->end_count >= 0 && c->end_count <= PPH_DECODER_ENDS);
    for (int i = 0; i < c->end_count; i++)
        check(c->ends[i] >= 0 && c->ends[i] < c->vocabulary);
    for (int i = 0; i < PPH_DECODER_LAYERS; i++)
        check(!c->windowed[i] || (c->window > 0 && i < c->layers));
    pph_rope_options options = pph_decoder_config_rope(c, PPH_MIN((size_t)c->context, 300));
    pph_rope *rope = NULL;
    check(pph_rope_new(&rope, &options, NULL) == PPH_OK);
    pph_rope_free(&rope);
}

static void check_status(pph_status status, const pph_error *err)
{
    check(status == PPH_OK || (status == err->status && err->message[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char plain[] = "{\"model_type\":\"llama\"}";
    static pph_decoder_config config;
    pph_error err = {0};
    pph_gguf file;
    if (size >= 4 && !memcmp(bytes, "GGUF", 4)) {
        if (pph_gguf_view(&file, "input", bytes, size, &err) != PPH_OK)
            return 0;
        pph_gguf_files files = {.at = &file, .count = 1};
        pph_status status = pph_decoder_config_gguf(&config, &files, &err);
        check_status(status, &err);
        if (status == PPH_OK)
            check_config(&config);
        pph_gguf_close(&file);
        return 0;
    }
    pph_status status = pph_decoder_config_parse(&config, "input", bytes, size, NULL, 0, &err);
    check_status(status, &err);
    if (status == PPH_OK)
        check_config(&config);
    if (!size)
        return 0;
    status = pph_decoder_config_parse(&config, "plain", plain, sizeof plain - 1, bytes, size, &err);
    check_status(status, &err);
    if (status == PPH_OK)
        check_config(&config);
    return 0;
}
