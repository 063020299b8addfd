/* Any bytes as a LLaVA's config.json, or as a picture part where they begin as a GGUF file does: refused with a
 * sentence, or every number is in its range. */
#include "weights/config_llava.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_config(const pph_llava_config *config)
{
    const pph_clip_tower *tower = &config->tower.vision;
    check(tower->layers >= 1 && config->layers >= 1 && config->layers <= tower->layers);
    check(tower->heads >= 1 && tower->width >= 1 && tower->width % tower->heads == 0);
    check(tower->intermediate >= 1 && tower->epsilon > 0 && tower->epsilon <= 1);
    check(config->tower.patch >= 1 && config->tower.patch <= config->tower.image);
    check(config->rows >= 1 && config->rows <= 1 << 16 && config->width >= 1);
    check(config->image_token >= -1);
}

static pph_status read_part(pph_llava_config *out, const uint8_t *bytes, size_t size,
                            pph_error *err)
{
    pph_weights *weights = NULL;
    char path[64];
    int fd = memfd_create("part", MFD_CLOEXEC);
    check(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pph_status status = pph_weights_open_gguf(&weights, path, err);
    if (status == PPH_OK)
        status = pph_config_gguf_llava(out, weights, err);
    pph_weights_close(&weights);
    close(fd);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_llava_config config;
    pph_error err = {0};
    bool part = size >= 4 && memcmp(bytes, "GGUF", 4) == 0;
    pph_status status = part ? read_part(&config, bytes, size, &err)
                             : pph_config_parse_llava(&config, "input", bytes, size, &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status == PPH_OK)
        check_config(&config);
    return 0;
}
