/* Any bytes as a CLIP's config.json: refused with a sentence, or every number is in its range. */
#include "weights/config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_tower(const pph_clip_tower *tower)
{
    check(tower->layers >= 1 && tower->layers <= 1024);
    check(tower->heads >= 1 && tower->width >= 1 && tower->width <= 65536);
    check(tower->width % tower->heads == 0);
    check(tower->intermediate >= 1 && tower->intermediate <= 1048576);
    check(tower->projection >= 1 && tower->projection <= 65536);
    check(tower->epsilon > 0 && tower->epsilon <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_clip_config config;
    pph_error err = {0};
    pph_status status = pph_config_parse_clip(&config, "input", bytes, size, &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status != PPH_OK)
        return 0;
    check(config.has_text || config.has_vision);
    if (config.has_text) {
        check_tower(&config.text);
        check(config.vocabulary >= 1 && config.context >= 1 && config.end_token >= 0);
    }
    if (config.has_vision) {
        check_tower(&config.vision);
        check(config.patch >= 1 && config.patch <= config.image && config.channels >= 1);
        check((int64_t)(config.image / config.patch) * (config.image / config.patch) <= 1 << 20);
    }
    return 0;
}
