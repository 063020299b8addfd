/* JSON: reading through jansson (its door is json.c), and writing straight into a buffer.
 *
 * A document is parsed whole and then looked at through borrowed pph_json pointers, which live as
 * long as the document. Looking is for one thread at a time. */
#ifndef PPH_BASE_JSON_H
#define PPH_BASE_JSON_H

#include "base/str.h"

typedef struct json_t pph_json; /* a value inside a document; borrowed */

/* Parse `size` bytes of UTF-8 that are one object or array. A byte order mark before it is passed
 * over, duplicate keys are refused, nesting is bounded by the parser (2048). Strings may contain
 * U+0000, keys not. An integer that fits no int64 is read as a float.
 * name  for messages. Free with pph_json_free.
 * Errors  PPH_CORRUPT with line and column, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_json_parse(pph_json **out, const void *bytes, size_t size,
                                      const char *name, pph_error *err);
/* Read and parse a file of at most `limit` bytes. */
PPH_CHECKED pph_status pph_json_load(pph_json **out, const char *path, size_t limit,
                                     pph_error *err);
void pph_json_free(pph_json **document);

bool pph_json_is_object(const pph_json *value);
bool pph_json_is_array(const pph_json *value);
bool pph_json_is_string(const pph_json *value);
bool pph_json_is_number(const pph_json *value);
bool pph_json_is_integer(const pph_json *value); /* written as one: 3, not 3.0 */
bool pph_json_is_bool(const pph_json *value);
bool pph_json_is_null(const pph_json *value); /* null, or no value at all (NULL) */

/* A member by name; NULL when `object` is no object (or NULL) or lacks it. */
pph_json *pph_json_get(const pph_json *object, const char *key);
/* Elements of an array, members of an object; 0 for anything else. */
size_t pph_json_size(const pph_json *value);
pph_json *pph_json_at(const pph_json *array, size_t index);

pph_str pph_json_string(const pph_json *value);  /* empty when it is no string */
int64_t pph_json_integer(const pph_json *value); /* 0 when it is no integer */
double pph_json_number(const pph_json *value);   /* 0 when it is no number */
bool pph_json_true(const pph_json *value);       /* it is `true` */

/* Walk an object's members in file order:
 *   for (void *it = pph_json_first(o); it; it = pph_json_next(o, it)) ... */
void *pph_json_first(const pph_json *object);
void *pph_json_next(const pph_json *object, void *iterator);
pph_str pph_json_key(void *iterator);
pph_json *pph_json_value(void *iterator);

/* Members with a check: absent or null gives the default; a wrong type or a value out of [low, high]
 * is PPH_CORRUPT with a sentence that names the key. A float with no fraction counts as integer. */
PPH_CHECKED pph_status pph_json_get_integer(const pph_json *object, const char *key, int64_t low,
                                            int64_t high, int64_t fallback, int64_t *out,
                                            pph_error *err);
PPH_CHECKED pph_status pph_json_get_number(const pph_json *object, const char *key, double fallback,
                                           double *out, pph_error *err);
PPH_CHECKED pph_status pph_json_get_bool(const pph_json *object, const char *key, bool fallback,
                                         bool *out, pph_error *err);

/* Append `text` (valid UTF-8; other bytes become U+FFFD) as a JSON string with its quotes. */
PPH_CHECKED pph_status pph_json_write_string(pph_buffer *out, pph_str text, pph_error *err);
/* Append the shortest decimal that reads back as the same float; null for what is not finite. */
PPH_CHECKED pph_status pph_json_write_float(pph_buffer *out, float value, pph_error *err);

#endif
