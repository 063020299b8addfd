/* Any bytes as a text encoder's config.json: refused with a sentence, or every number is in its range. */
#include "weights/config_bert.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_bert_config config;
    pph_error err = {0};
    pph_status status = pph_config_parse_bert(&config, "input", bytes, size, &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status != PPH_OK)
        return 0;
    check((unsigned)config.kind < PPH_BERT_KINDS);
    check(config.layers >= 1 && config.layers <= 1024);
    check(config.heads >= 1 && config.width >= 1 && config.width <= 65536);
    check(config.width % config.heads == 0);
    check(config.intermediate >= 1 && config.intermediate <= 1048576);
    check(config.vocabulary >= 1 && config.vocabulary <= 1 << 24);
    check(config.context >= 1 && config.context <= 1 << 20);
    check(config.positions >= 0 && config.types >= 0 && config.types <= 1024);
    check(config.labels >= 0 && config.labels <= 65536);
    check(config.epsilon > 0 && config.epsilon <= 1);
    check((unsigned)config.activation < PPH_ACT_COUNT);
    if (config.kind == PPH_BERT_ROBERTA || config.kind == PPH_BERT_MPNET)
        check(config.padding >= 0 && config.context + config.padding < config.positions);
    if (config.kind == PPH_BERT_NOMIC)
        check(config.rotary_base > 1);
    return 0;
}
