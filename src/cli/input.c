/* Inputs of the command line. Reads standard input at most once, and at most 64 MiB of it. */
#include "cli/input.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const size_t stdin_limit = (size_t)64 << 20;

void pph_cli_inputs_deinit(pph_cli_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        pph_free(inputs->items[i].line);
        pph_buffer_deinit(&inputs->items[i].bytes);
    }
    pph_free(inputs->items);
    *inputs = (pph_cli_inputs){0};
}

static pph_status push(pph_cli_inputs *inputs, const char *name, pph_input_kind kind,
                       pph_cli_input **out, pph_error *err)
{
    if (inputs->count == inputs->capacity) {
        size_t room = inputs->capacity ? inputs->capacity * 2 : 16;
        void *items = pph_resize(inputs->items, room, sizeof *inputs->items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *inputs->items);
        inputs->items = items;
        inputs->capacity = room;
    }
    pph_cli_input *input = &inputs->items[inputs->count++];
    *input = (pph_cli_input){.name = name, .kind = kind};
    if (out)
        *out = input;
    return PPH_OK;
}

static pph_status read_stdin(pph_cli_inputs *inputs, pph_buffer *out, pph_error *err)
{
    if (inputs->stdin_used)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "standard input can be read only once");
    inputs->stdin_used = true;
    return pph_file_read_fd(STDIN_FILENO, "standard input", out, err);
}

/* The first bytes of the formats that are read. */
static bool looks_like_picture(const pph_buffer *bytes)
{
    static const struct {
        const char *bytes;
        size_t size;
    } signatures[] = {{"\xFF\xD8\xFF", 3}, {"\x89PNG", 4}, {"GIF8", 4}, {"RIFF", 4}};
    for (size_t i = 0; i < PPH_COUNT(signatures); i++)
        if (bytes->size >= signatures[i].size &&
            memcmp(bytes->data, signatures[i].bytes, signatures[i].size) == 0)
            return true;
    return false;
}

static pph_status add_stdin(pph_cli_inputs *inputs, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(stdin_limit);
    PPH_TRY(read_stdin(inputs, &bytes, err));
    pph_cli_input *input;
    if (looks_like_picture(&bytes) ||
        pph_utf8_check((pph_str){(char *)bytes.data, bytes.size}) != SIZE_MAX) {
        PPH_TRY(push(inputs, "-", PPH_INPUT_IMAGE_BYTES, &input, err));
        input->bytes = bytes;
        bytes = (pph_buffer){0};
        return PPH_OK;
    }
    while (bytes.size && (bytes.data[bytes.size - 1] == '\n' || bytes.data[bytes.size - 1] == '\r'))
        bytes.size--;
    PPH_TRY(push(inputs, "-", PPH_INPUT_TEXT, &input, err));
    input->line = pph_str_copy((pph_str){(char *)bytes.data, bytes.size});
    input->line_size = bytes.size;
    return input->line ? PPH_OK : PPH_FAIL_MEMORY(err, bytes.size);
}

static bool is_address(const char *word)
{
    return strncasecmp(word, "http://", 7) == 0 || strncasecmp(word, "https://", 8) == 0 ||
           strncasecmp(word, "data:", 5) == 0;
}

static bool means_path(const char *word)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".gif"};
    if (strpbrk(word, " \t\n"))
        return false;
    const char *dot = strrchr(word, '.');
    for (size_t i = 0; dot && i < PPH_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return word[0] == '/' || strncmp(word, "./", 2) == 0 || strncmp(word, "../", 3) == 0;
}

pph_status pph_cli_inputs_add(pph_cli_inputs *inputs, const char *word, pph_error *err)
{
    if (strcmp(word, "-") == 0)
        return add_stdin(inputs, err);
    pph_input_kind kind = PPH_INPUT_TEXT;
    if (pph_file_look(word) != PPH_FILE_MISSING)
        kind = PPH_INPUT_IMAGE_FILE;
    else if (is_address(word))
        kind = PPH_INPUT_IMAGE_URL;
    else if (means_path(word))
        kind = PPH_INPUT_IMAGE_FILE;
    return push(inputs, word, kind, NULL, err);
}

pph_status pph_cli_inputs_add_text(pph_cli_inputs *inputs, const char *word, pph_error *err)
{
    if (strcmp(word, "-") != 0)
        return push(inputs, word, PPH_INPUT_TEXT, NULL, err);
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(stdin_limit);
    PPH_TRY(read_stdin(inputs, &bytes, err));
    for (size_t at = 0; at < bytes.size;) {
        const char *line = (const char *)bytes.data + at;
        const char *newline = memchr(line, '\n', bytes.size - at);
        size_t size = newline ? (size_t)(newline - line) : bytes.size - at;
        at += size + 1;
        if (size && line[size - 1] == '\r')
            size--;
        pph_cli_input *input;
        PPH_TRY(push(inputs, NULL, PPH_INPUT_TEXT, &input, err));
        input->line = pph_str_copy((pph_str){line, size});
        input->line_size = size;
        if (!input->line)
            return PPH_FAIL_MEMORY(err, size);
        input->name = input->line;
    }
    return PPH_OK;
}

pph_input pph_cli_input_view(const pph_cli_input *input)
{
    pph_input view = {.kind = input->kind};
    if (input->kind == PPH_INPUT_IMAGE_BYTES) {
        view.data = input->bytes.data;
        view.size = input->bytes.size;
    } else if (input->line) {
        view.data = input->line;
        view.size = input->line_size;
    } else {
        view.data = input->name;
        view.size = strlen(input->name);
    }
    return view;
}

const char *pph_cli_input_kind(const pph_cli_input *input)
{
    return input->kind == PPH_INPUT_TEXT ? "text" : "image";
}
