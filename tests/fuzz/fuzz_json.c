/* Any bytes are parsed as JSON and, where they are, walked and written: nothing may crash, and a
 * string that was written reads back as itself. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void rewrite(pph_str text)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    PPH_AUTO(pph_json_free) pph_json *again = NULL;
    check(pph_json_write_string(&out, text, NULL) == PPH_OK);
    /* A bare string is no document; in an array it is. */
    PPH_AUTO(pph_buffer_deinit) pph_buffer array = PPH_BUFFER_LIMIT(0);
    check(pph_buffer_print(&array, NULL, "[") == PPH_OK);
    check(pph_buffer_append(&array, out.data, out.size, NULL) == PPH_OK);
    check(pph_buffer_print(&array, NULL, "]") == PPH_OK);
    check(pph_json_parse(&again, array.data, array.size, "again", NULL) == PPH_OK);
    check(pph_str_equal(pph_json_string(pph_json_at(again, 0)), text));
}

static void walk(const pph_json *value)
{
    if (pph_json_is_string(value))
        rewrite(pph_json_string(value));
    (void)pph_json_integer(value);
    (void)pph_json_number(value);
    for (size_t i = 0; pph_json_is_array(value) && i < pph_json_size(value); i++)
        walk(pph_json_at(value, i));
    for (void *it = pph_json_first(value); it; it = pph_json_next(value, it)) {
        pph_str key = pph_json_key(it);
        int64_t integer;
        double number;
        bool flag;
        check(pph_utf8_check(key) == SIZE_MAX);
        check(pph_json_get(value, key.data) == pph_json_value(it));
        (void)!pph_json_get_integer(value, key.data, INT64_MIN, INT64_MAX, 0, &integer, NULL);
        (void)!pph_json_get_number(value, key.data, 0, &number, NULL);
        (void)!pph_json_get_bool(value, key.data, false, &flag, NULL);
        walk(pph_json_value(it));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    PPH_AUTO(pph_json_free) pph_json *document = NULL;
    pph_error err = {0};
    pph_status status = pph_json_parse(&document, bytes, size, "input", &err);
    check(status == err.status && (status == PPH_OK) == (document != NULL));
    if (document)
        walk(document);
    return 0;
}
