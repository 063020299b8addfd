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

static pph_status push(pph_cli_inputs *inputs, pph_cli_input input, pph_error *err)
{
    if (inputs->count == inputs->capacity) {
        size_t room = inputs->capacity ? inputs->capacity * 2 : 16;
        void *items = pph_resize(inputs->items, room, sizeof *inputs->items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *inputs->items);
        inputs->items = items;
        inputs->capacity = room;
    }
    inputs->items[inputs->count++] = input;
    return PPH_OK;
}

static bool is_stdin(const pph_cli_input *input)
{
    return strcmp(input->word, "-") == 0;
}

static pph_status add(pph_cli_inputs *inputs, const char *word, bool marked, pph_error *err)
{
    pph_cli_input input = {.word = word, .marked = marked};
    if (is_stdin(&input)) {
        if (inputs->reads_stdin)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "standard input can be read only once");
        inputs->reads_stdin = true;
    }
    return push(inputs, input, err);
}

pph_status pph_cli_inputs_add(pph_cli_inputs *inputs, const char *word, pph_error *err)
{
    return add(inputs, word, false, err);
}

pph_status pph_cli_inputs_add_text(pph_cli_inputs *inputs, const char *word, pph_error *err)
{
    return add(inputs, word, true, err);
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

/* A picture, or one text without the end of its last line. */
static pph_status take_whole(pph_cli_input *input, pph_buffer *bytes, pph_error *err)
{
    if (looks_like_picture(bytes) ||
        pph_utf8_check((pph_str){(char *)bytes->data, bytes->size}) != SIZE_MAX) {
        input->kind = PPH_INPUT_IMAGE_BYTES;
        input->bytes = *bytes;
        *bytes = (pph_buffer){0};
        return PPH_OK;
    }
    size_t size = bytes->size;
    while (size && (bytes->data[size - 1] == '\n' || bytes->data[size - 1] == '\r'))
        size--;
    input->line = pph_str_copy((pph_str){(char *)bytes->data, size});
    input->line_size = size;
    return input->line ? PPH_OK : PPH_FAIL_MEMORY(err, size);
}

static pph_status take_lines(pph_cli_inputs *inputs, const pph_buffer *bytes, pph_error *err)
{
    for (size_t at = 0; at < bytes->size;) {
        const char *line = (const char *)bytes->data + at;
        const char *newline = memchr(line, '\n', bytes->size - at);
        size_t size = newline ? (size_t)(newline - line) : bytes->size - at;
        at += size + 1;
        if (size && line[size - 1] == '\r')
            size--;
        pph_cli_input input = {.word = "-", .marked = true, .line_size = size};
        input.line = pph_str_copy((pph_str){line, size});
        if (!input.line)
            return PPH_FAIL_MEMORY(err, size);
        pph_status status = push(inputs, input, err);
        if (status != PPH_OK) {
            pph_free(input.line);
            return status;
        }
    }
    return PPH_OK;
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

static pph_input_kind kind_of(const pph_cli_input *input)
{
    if (input->marked)
        return PPH_INPUT_TEXT;
    if (pph_file_look(input->word) != PPH_FILE_MISSING)
        return PPH_INPUT_IMAGE_FILE;
    if (is_address(input->word))
        return PPH_INPUT_IMAGE_URL;
    return means_path(input->word) ? PPH_INPUT_IMAGE_FILE : PPH_INPUT_TEXT;
}

/* What standard input holds, in place of the word that stands for it at `index`. */
static pph_status read_stdin(pph_cli_inputs *inputs, size_t index, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(stdin_limit);
    pph_status status = pph_file_read_fd(STDIN_FILENO, "standard input", &bytes, err);
    if (status == PPH_INVALID_ARGUMENT && err)
        err->status = PPH_IO;
    if (status != PPH_OK)
        return status;
    if (!inputs->items[index].marked)
        return take_whole(&inputs->items[index], &bytes, err);
    /* The lines go behind what stands before the word, and what stood behind it goes behind them. */
    pph_cli_inputs old = *inputs;
    *inputs = (pph_cli_inputs){.reads_stdin = true};
    status = PPH_OK;
    for (size_t i = 0; i < old.count && status == PPH_OK; i++)
        status = i == index ? take_lines(inputs, &bytes, err) : push(inputs, old.items[i], err);
    pph_free(old.items);
    return status;
}

pph_status pph_cli_inputs_read(pph_cli_inputs *inputs, pph_error *err)
{
    size_t index = inputs->count;
    for (size_t i = 0; i < inputs->count; i++)
        if (is_stdin(&inputs->items[i]))
            index = i;
        else
            inputs->items[i].kind = kind_of(&inputs->items[i]);
    return index < inputs->count ? read_stdin(inputs, index, err) : PPH_OK;
}

pph_str pph_cli_input_name(const pph_cli_input *input)
{
    return input->line ? (pph_str){input->line, input->line_size} : pph_str_view(input->word);
}

pph_input pph_cli_input_view(const pph_cli_input *input)
{
    pph_input view = {.kind = input->kind};
    if (input->kind == PPH_INPUT_IMAGE_BYTES) {
        view.data = input->bytes.data;
        view.size = input->bytes.size;
    } else {
        pph_str name = pph_cli_input_name(input);
        view.data = name.data;
        view.size = name.size;
    }
    return view;
}

const char *pph_cli_input_kind(const pph_cli_input *input)
{
    return input->kind == PPH_INPUT_TEXT ? "text" : "image";
}
