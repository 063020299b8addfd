/* The door to jansson. Refuses duplicate keys, trailing bytes and wrong types with a sentence that
 * says where. jansson's heap is json_heap.c's, set once before the first parse. */
#include "base/json.h"

#include "base/file.h"
#include "base/json_heap.h"
#include "base/mem.h"
#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_heap(void)
{
    json_set_alloc_funcs(pph_json_heap_take, pph_json_heap_give);
}

/* The end of the string that begins at text[at], or of the text. */
static size_t skip_string(pph_str text, size_t at)
{
    for (at++; at < text.size && text.data[at] != '"'; at++)
        at += text.data[at] == '\\';
    return PPH_MIN(at + 1, text.size);
}

/* Copy a document, with ".0" behind each integer of 19 digits and more, which makes it a float. */
static pph_status widen(pph_str text, pph_buffer *out, pph_error *err)
{
    size_t copied = 0;
    for (size_t at = 0; at < text.size;) {
        if (text.data[at] == '"') {
            at = skip_string(text, at);
            continue;
        }
        /* All of a number, so that the digits of a fraction or an exponent are not taken for one. */
        size_t length = 0, digits = 0;
        for (; at + length < text.size && strchr("+-.0123456789Ee", text.data[at + length]);
             length++)
            digits += text.data[at + length] >= '0' && text.data[at + length] <= '9';
        at += length ? length : 1;
        if (digits < 19 || digits + (text.data[at - length] == '-') != length)
            continue;
        PPH_TRY(pph_buffer_append(out, text.data + copied, at - copied, err));
        PPH_TRY(pph_buffer_append(out, ".0", 2, err));
        copied = at;
    }
    return pph_buffer_append(out, text.data + copied, text.size - copied, err);
}

/* Parse into `heap`. False, and nothing else is known, when there was no memory. */
static bool load(pph_json_heap *heap, pph_str text, json_t **root, json_error_t *problem)
{
    if (setjmp(heap->escape)) {
        pph_json_heap_use(NULL);
        return false;
    }
    pph_json_heap_use(heap);
    *root = json_loadb(text.data, text.size, FLAGS, problem);
    pph_json_heap_use(NULL);
    return true;
}

pph_status pph_json_parse(pph_json **out, const void *bytes, size_t size, const char *name,
                          pph_error *err)
{
    pthread_once(&once, set_heap);
    pph_str text = {size ? bytes : "", size};
    if (pph_str_starts(text, "\xEF\xBB\xBF"))
        text = (pph_str){text.data + 3, size - 3};
    PPH_AUTO(pph_json_heap_free) pph_json_heap *heap = pph_json_heap_new();
    PPH_AUTO(pph_buffer_deinit) pph_buffer wide = {0};
    json_error_t problem;
    json_t *root;
    if (!heap || !load(heap, text, &root, &problem))
        return PPH_FAIL_MEMORY(err, size);
    /* Real files hold integers that no machine word does: 10^30 for "no limit". */
    if (!root && json_error_code(&problem) == json_error_numeric_overflow) {
        PPH_TRY(widen(text, &wide, err));
        if (!load(heap, (pph_str){(char *)wide.data, wide.size}, &root, &problem))
            return PPH_FAIL_MEMORY(err, size);
    }
    if (!root)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: not valid JSON: line %d, column %d: %s", name,
                        problem.line, problem.column, problem.text);
    /* pph_json_free finds the heap before its root; it goes with the document from here on. */
    if (pph_json_heap_of(root) != heap)
        return PPH_FAIL(err, PPH_INTERNAL, "%s: a document that is not where it was made", name);
    heap = NULL;
    *out = root;
    return PPH_OK;
}

pph_status pph_json_load(pph_json **out, const char *path, size_t limit, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(limit);
    PPH_TRY(pph_file_read(path, &bytes, err));
    return pph_json_parse(out, bytes.data, bytes.size, path, err);
}

void pph_json_free(pph_json **document)
{
    if (!*document)
        return;
    pph_json_heap *heap = pph_json_heap_of(PPH_TAKE(*document));
    pph_json_heap_free(&heap);
}

bool pph_json_is_object(const pph_json *value)
{
    return json_is_object(value);
}

bool pph_json_is_array(const pph_json *value)
{
    return json_is_array(value);
}

bool pph_json_is_string(const pph_json *value)
{
    return json_is_string(value);
}

bool pph_json_is_number(const pph_json *value)
{
    return json_is_number(value);
}

bool pph_json_is_integer(const pph_json *value)
{
    return json_is_integer(value);
}

bool pph_json_is_bool(const pph_json *value)
{
    return json_is_boolean(value);
}

bool pph_json_is_null(const pph_json *value)
{
    return !value || json_is_null(value);
}

pph_json *pph_json_get(const pph_json *object, const char *key)
{
    return object ? json_object_get(object, key) : NULL;
}

size_t pph_json_size(const pph_json *value)
{
    return json_is_array(value)    ? json_array_size(value)
           : json_is_object(value) ? json_object_size(value)
                                   : 0;
}

pph_json *pph_json_at(const pph_json *array, size_t index)
{
    return array ? json_array_get(array, index) : NULL;
}

pph_str pph_json_string(const pph_json *value)
{
    if (!json_is_string(value))
        return (pph_str){0};
    return (pph_str){json_string_value(value), json_string_length(value)};
}

int64_t pph_json_integer(const pph_json *value)
{
    return json_integer_value(value);
}

double pph_json_number(const pph_json *value)
{
    return json_is_number(value) ? json_number_value(value) : 0;
}

bool pph_json_true(const pph_json *value)
{
    return json_is_true(value);
}

void *pph_json_first(const pph_json *object)
{
    return json_object_iter((json_t *)object);
}

void *pph_json_next(const pph_json *object, void *iterator)
{
    return json_object_iter_next((json_t *)object, iterator);
}

pph_str pph_json_key(void *iterator)
{
    return pph_str_view(json_object_iter_key(iterator));
}

pph_json *pph_json_value(void *iterator)
{
    return json_object_iter_value(iterator);
}

pph_status pph_json_get_integer(const pph_json *object, const char *key, int64_t low, int64_t high,
                                int64_t fallback, int64_t *out, pph_error *err)
{
    const json_t *value = pph_json_get(object, key);
    if (pph_json_is_null(value)) {
        *out = fallback;
        return PPH_OK;
    }
    int64_t number;
    double real = json_number_value(value);
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (json_is_real(value) && fabs(real) < 9e15 && real == floor(real))
        number = (int64_t)real;
    else
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is not an integer", key);
    if (number < low || number > high)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'%s' is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, key, number,
                        low, high);
    *out = number;
    return PPH_OK;
}

pph_status pph_json_get_number(const pph_json *object, const char *key, double fallback,
                               double *out, pph_error *err)
{
    const json_t *value = pph_json_get(object, key);
    if (!pph_json_is_null(value) && !json_is_number(value))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is not a number", key);
    *out = pph_json_is_null(value) ? fallback : json_number_value(value);
    return PPH_OK;
}

pph_status pph_json_get_bool(const pph_json *object, const char *key, bool fallback, bool *out,
                             pph_error *err)
{
    const json_t *value = pph_json_get(object, key);
    if (!pph_json_is_null(value) && !json_is_boolean(value))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is neither true nor false", key);
    *out = pph_json_is_null(value) ? fallback : json_is_true(value);
    return PPH_OK;
}

/* The short escape for a character below 0x20, '"' or '\\'; 0 when it has none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return 0;
    }
}

pph_status pph_json_write_string(pph_buffer *out, pph_str text, pph_error *err)
{
    PPH_TRY(pph_buffer_append(out, "\"", 1, err));
    while (text.size) {
        size_t good = pph_utf8_check(text);
        size_t end = PPH_MIN(good, text.size);
        size_t start = 0;
        for (size_t i = 0; i < end; i++) {
            unsigned char c = (unsigned char)text.data[i];
            if (c >= 0x20 && c != '"' && c != '\\')
                continue;
            PPH_TRY(pph_buffer_append(out, text.data + start, i - start, err));
            start = i + 1;
            char escape = short_escape(c);
            if (escape)
                PPH_TRY(pph_buffer_append(out, (char[]){'\\', escape}, 2, err));
            else
                PPH_TRY(pph_buffer_print(out, err, "\\u%04x", c));
        }
        PPH_TRY(pph_buffer_append(out, text.data + start, end - start, err));
        if (good == SIZE_MAX)
            break;
        PPH_TRY(pph_buffer_append(out, "\xEF\xBF\xBD", 3, err));
        text.data += end + 1;
        text.size -= end + 1;
    }
    return pph_buffer_append(out, "\"", 1, err);
}

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t plain_locale;

static void make_locale(void)
{
    plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

pph_status pph_json_write_float(pph_buffer *out, float value, pph_error *err)
{
    if (!isfinite(value))
        return pph_buffer_append(out, "null", 4, err);
    char text[32];
    /* An embedding program's locale may write 0,5. */
    pthread_once(&locale_once, make_locale);
    locale_t before = uselocale(plain_locale ? plain_locale : LC_GLOBAL_LOCALE);
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    uselocale(before);
    return pph_buffer_append(out, text, strlen(text), err);
}
