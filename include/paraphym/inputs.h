/* What operations are given to look at or to read: a text, or a picture in one of the forms that pictures
 * come in. */
#ifndef PARAPHYM_INPUTS_H
#define PARAPHYM_INPUTS_H

#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One input. `data` need not be zero-terminated. */
typedef enum pph_input_kind {
    PPH_INPUT_TEXT,         /* UTF-8, 1 to 1,000,000 bytes */
    PPH_INPUT_IMAGE_FILE,   /* a path */
    PPH_INPUT_IMAGE_BYTES,  /* a picture file's content: JPEG, PNG, WebP or GIF */
    PPH_INPUT_IMAGE_URL,    /* http:, https: or data: */
    PPH_INPUT_IMAGE_BASE64, /* base64 of a picture file, or a data: URL */
} pph_input_kind;

typedef struct pph_input {
    pph_input_kind kind;
    const void *data;
    size_t size;
} pph_input;

static inline pph_input pph_input_text(const char *text)
{
    pph_input input = {PPH_INPUT_TEXT, text, text ? strlen(text) : 0};
    return input;
}

static inline pph_input pph_input_file(const char *path)
{
    pph_input input = {PPH_INPUT_IMAGE_FILE, path, path ? strlen(path) : 0};
    return input;
}

static inline pph_input pph_input_bytes(const void *bytes, size_t size)
{
    pph_input input = {PPH_INPUT_IMAGE_BYTES, bytes, size};
    return input;
}

static inline pph_input pph_input_url(const char *url)
{
    pph_input input = {PPH_INPUT_IMAGE_URL, url, url ? strlen(url) : 0};
    return input;
}

static inline pph_input pph_input_base64(const char *text)
{
    pph_input input = {PPH_INPUT_IMAGE_BASE64, text, text ? strlen(text) : 0};
    return input;
}

#ifdef __cplusplus
}
#endif
#endif
