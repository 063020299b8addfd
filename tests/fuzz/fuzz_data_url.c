/* data: URLs: never past the limit, nothing left behind on failure, a media type that ends. */
#include "base/buffer.h"
#include "base/mem.h"
#include "runtime/fetch.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t limit = 1 + data[0] * 4;
    bool prefix = data[1] & 1;
    char *url = malloc(size + 8);
    if (!url)
        return 0;
    size_t at = prefix ? 5 : 0;
    memcpy(url, "data:", at);
    memcpy(url + at, data + 2, size - 2);
    url[at + size - 2] = 0;
    pph_buffer out = PPH_BUFFER_LIMIT(limit);
    char type[128];
    pph_error err;
    pph_status status = pph_fetch_data_url(url, &out, type, &err);
    if (status == PPH_OK) {
        if (out.size > limit || !memchr(type, 0, sizeof type) || !type[0])
            abort();
    } else if (out.size || err.status != status || !err.message[0]) {
        abort();
    }
    pph_buffer_deinit(&out);
    free(url);
    return 0;
}
