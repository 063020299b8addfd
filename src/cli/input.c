/* Inputs of the command line. Reads standard input at most once: a picture or a text of at most 64 MiB,
 * or any number of lines of at most that, of which it keeps no more than it has given no one yet. */
#include "cli/input.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { READ_SIZE = 65536 };

static const size_t stdin_limit = (size_t)64 << 20;

void pph_cli_input_deinit(pph_cli_input *input)
{
    pph_free(PPH_TAKE(input->line));
    pph_buffer_deinit(&input->bytes);
}

void pph_cli_inputs_deinit(pph_cli_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        pph_cli_input_deinit(&inputs->items[i]);
    pph_free(inputs->items);
    pph_buffer_deinit(&inputs->unread);
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
bool pph_cli_input_looks_like_picture(const pph_buffer *bytes)
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

/* What was wrong with standard input, never as wrong usage. */
static pph_status stdin_failure(pph_status status, pph_error *err)
{
    if (status != PPH_INVALID_ARGUMENT)
        return status;
    if (err)
        err->status = PPH_IO;
    return PPH_IO;
}

/* A picture, or one text without the end of its last line. */
static pph_status read_whole(pph_cli_input *out, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(stdin_limit);
    pph_status status = pph_file_read_fd(STDIN_FILENO, "standard input", &bytes, err);
    if (status != PPH_OK)
        return stdin_failure(status, err);
    if (pph_cli_input_looks_like_picture(&bytes) ||
        pph_utf8_check((pph_str){(char *)bytes.data, bytes.size}) != SIZE_MAX) {
        out->kind = PPH_INPUT_IMAGE_BYTES;
        out->bytes = bytes;
        bytes = (pph_buffer){0};
        return PPH_OK;
    }
    size_t size = bytes.size;
    while (size && (bytes.data[size - 1] == '\n' || bytes.data[size - 1] == '\r'))
        size--;
    out->line = pph_str_copy((pph_str){(char *)bytes.data, size});
    out->line_size = size;
    return out->line ? PPH_OK : PPH_FAIL_MEMORY(err, size);
}

/* Some more of standard input behind what is unread. */
static pph_status read_more(pph_cli_inputs *inputs, pph_error *err)
{
    pph_buffer *unread = &inputs->unread;
    if (inputs->unread_at) {
        unread->size -= inputs->unread_at;
        memmove(unread->data, unread->data + inputs->unread_at, unread->size);
        inputs->unread_at = 0;
    }
    unread->limit = stdin_limit;
    if (pph_buffer_reserve(unread, READ_SIZE, err) != PPH_OK)
        return PPH_FAIL(err, PPH_TOO_LARGE, "standard input: a line of more than %zu bytes",
                        unread->size);
    ssize_t got = read(STDIN_FILENO, unread->data + unread->size, READ_SIZE);
    if (got < 0 && errno != EINTR) {
        char reason[128];
        return PPH_FAIL(err, PPH_IO, "standard input: %s",
                        pph_error_system(errno, reason, sizeof reason));
    }
    inputs->ended = got == 0;
    unread->size += got > 0 ? (size_t)got : 0;
    return PPH_OK;
}

static bool is_readable(void)
{
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&wait, 1, 0) != 0;
}

/* The next line of standard input; PPH_CLI_END when there is none. */
static pph_status next_line(pph_cli_inputs *inputs, bool wait, pph_cli_input *out,
                            pph_cli_step *step, pph_error *err)
{
    const char *line, *newline = NULL;
    size_t left, searched = 0;
    for (;;) {
        left = inputs->unread.size - inputs->unread_at;
        line = left ? (const char *)inputs->unread.data + inputs->unread_at : NULL;
        if (left > searched)
            newline = memchr(line + searched, '\n', left - searched);
        if (newline || inputs->ended)
            break;
        searched = left;
        *step = PPH_CLI_LATER;
        if (!wait && !is_readable())
            return PPH_OK;
        PPH_TRY(read_more(inputs, err));
    }
    *step = PPH_CLI_END;
    if (!left)
        return PPH_OK;
    size_t size = newline ? (size_t)(newline - line) : left;
    inputs->unread_at += size + (newline != NULL);
    if (size && line[size - 1] == '\r')
        size--;
    out->line = pph_str_copy((pph_str){line, size});
    out->line_size = size;
    *step = PPH_CLI_INPUT;
    return out->line ? PPH_OK : PPH_FAIL_MEMORY(err, size);
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

pph_input_kind pph_cli_input_classify(const pph_cli_input *input)
{
    if (input->marked)
        return PPH_INPUT_TEXT;
    if (pph_file_look(input->word) != PPH_FILE_MISSING)
        return PPH_INPUT_IMAGE_FILE;
    if (is_address(input->word))
        return PPH_INPUT_IMAGE_URL;
    return means_path(input->word) ? PPH_INPUT_IMAGE_FILE : PPH_INPUT_TEXT;
}

pph_status pph_cli_inputs_next(pph_cli_inputs *inputs, bool wait, pph_cli_input *out,
                               pph_cli_step *step, pph_error *err)
{
    for (; inputs->at < inputs->count; inputs->at++) {
        pph_cli_input *item = &inputs->items[inputs->at];
        *out = (pph_cli_input){.word = item->word, .marked = item->marked};
        if (!is_stdin(item) || !item->marked) {
            inputs->at++;
            *step = PPH_CLI_INPUT;
            if (is_stdin(item))
                return read_whole(out, err);
            out->kind = pph_cli_input_classify(item);
            return PPH_OK;
        }
        PPH_TRY(next_line(inputs, wait, out, step, err));
        if (*step != PPH_CLI_END)
            return PPH_OK;
    }
    *step = PPH_CLI_END;
    return PPH_OK;
}

pph_status pph_cli_inputs_read(pph_cli_inputs *inputs, size_t limit, pph_error *err)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs all = {0};
    for (;;) {
        PPH_AUTO(pph_cli_input_deinit) pph_cli_input input = {0};
        pph_cli_step step;
        PPH_TRY(pph_cli_inputs_next(inputs, true, &input, &step, err));
        if (step == PPH_CLI_END)
            break;
        if (all.count == limit)
            return PPH_FAIL(err, PPH_TOO_LARGE, "more than %zu inputs; give fewer at once", limit);
        PPH_TRY(push(&all, input, err));
        input = (pph_cli_input){0};
    }
    pph_cli_inputs words = *inputs;
    *inputs = all;
    all = words;
    return PPH_OK;
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
