/* Words to texts. Waits for what it fetches. */
#include "cli/resolve.h"

#include "base/file.h"
#include "cli/input.h"
#include "runtime/fetch.h"
#include <paraphym/runtime.h>
#include <string.h>
#include <strings.h>

static const size_t text_limit = 1 << 20;

pph_resolved pph_resolve_kind(const char *word)
{
    pph_cli_input input = {.word = word};
    switch (pph_cli_input_classify(&input)) {
    case PPH_INPUT_IMAGE_FILE:
        return PPH_RESOLVED_PATH;
    case PPH_INPUT_IMAGE_URL:
        return PPH_RESOLVED_ADDRESS;
    default:
        return PPH_RESOLVED_LITERAL;
    }
}

static pph_status fetch(const char *address, pph_buffer *out, size_t limit, pph_error *err)
{
    if (strncasecmp(address, "data:", 5) == 0) {
        out->limit = limit;
        return pph_fetch_data_url(address, out, NULL, err);
    }
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        PPH_TRY(pph_runtime_check(err));
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
    }
    pph_fetch_options options = pph_fetch_defaults();
    options.max_bytes = limit;
    PPH_AUTO(pph_future_free) pph_future *future = pph_fetch(runtime, address, &options);
    PPH_TRY(pph_block_on(future, err));
    const pph_fetched *fetched = pph_future_value(future);
    return pph_buffer_append(out, fetched->bytes, fetched->size, err);
}

pph_status pph_resolve_bytes(const char *word, pph_buffer *out, size_t limit, pph_error *err)
{
    if (pph_resolve_kind(word) == PPH_RESOLVED_ADDRESS)
        return fetch(word, out, limit, err);
    out->limit = limit;
    return pph_file_read(word, out, err);
}

pph_status pph_resolve_text(const char *word, pph_buffer *out, pph_error *err)
{
    bool literal = pph_resolve_kind(word) == PPH_RESOLVED_LITERAL;
    if (literal)
        PPH_TRY(pph_buffer_append(out, word, strlen(word), err));
    else
        PPH_TRY(pph_resolve_bytes(word, out, text_limit, err));
    while (!literal && out->size && strchr("\r\n", out->data[out->size - 1]))
        out->size--;
    pph_str text = {(const char *)out->data, out->size};
    if (out->size && (memchr(text.data, 0, text.size) || pph_utf8_check(text) != SIZE_MAX))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%.200s: is not a text in UTF-8", word);
    out->limit = 0;
    return pph_buffer_text(out) ? PPH_OK : PPH_FAIL_MEMORY(err, out->size + 1);
}

bool pph_resolve_is_picture(const pph_buffer *bytes)
{
    return pph_cli_input_looks_like_picture(bytes);
}
