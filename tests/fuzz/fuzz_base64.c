/* Any text is decoded; what decodes, encodes and decodes again to the same bytes. Any bytes are
 * encoded, and decode to themselves. */
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void round_trip(const uint8_t *bytes, size_t size)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    PPH_AUTO(pph_buffer_deinit) pph_buffer back = PPH_BUFFER_LIMIT(0);
    if (pph_base64_encode(bytes, size, &text, NULL) != PPH_OK ||
        pph_base64_decode((pph_str){(const char *)text.data, text.size}, &back, NULL) != PPH_OK ||
        back.size != size || (size && memcmp(back.data, bytes, size) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    pph_error err = {0};
    pph_status status = pph_base64_decode((pph_str){(const char *)bytes, size}, &out, &err);
    if (status != err.status)
        abort();
    if (status == PPH_OK)
        round_trip(out.data, out.size);
    round_trip(bytes, size);
    return 0;
}
