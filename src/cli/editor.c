/* The door to libedit. Not for several threads. */
#include "cli/editor.h"

#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000, READ_SIZE = 4096 };
static const size_t line_limit = 1 << 20;

struct pph_editor {
    EditLine *line; /* NULL: standard input is no terminal's */
    History *history;
    char *path;
    char prompt[64];
    bool dropped;    /* Ctrl-C came */
    pph_buffer read; /* of a pipe: what was read */
    size_t given;    /* bytes of its beginning: the line that was given last */
    bool ended;
    pph_buffer text;
};

static char *prompt_of(EditLine *line)
{
    pph_editor *editor = NULL;
    el_get(line, EL_CLIENTDATA, &editor);
    return editor->prompt;
}

/* Ctrl-C: what was typed is dropped. */
static unsigned char drop(EditLine *line, wint_t key)
{
    (void)key;
    pph_editor *editor = NULL;
    el_get(line, EL_CLIENTDATA, &editor);
    editor->dropped = true;
    fputs("^C\n", stdout);
    fflush(stdout);
    return CC_NEWLINE;
}

static pph_status open_terminal(pph_editor *editor, pph_error *err)
{
    HistEvent event;
    editor->line = el_init("paraphym", stdin, stdout, stderr);
    editor->history = history_init();
    if (!editor->line || !editor->history)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for editing lines");
    el_set(editor->line, EL_CLIENTDATA, editor);
    el_set(editor->line, EL_PROMPT, prompt_of);
    el_set(editor->line, EL_EDITOR, "emacs");
    el_set(editor->line, EL_HIST, history, editor->history);
    /* While a line is typed Ctrl-C is a key like others. */
    el_set(editor->line, EL_SETTY, "-d", "-isig", NULL);
    el_wset(editor->line, EL_ADDFN, L"paraphym-drop", L"drop the line", drop); /* not copied */
    el_set(editor->line, EL_BIND, "^C", "paraphym-drop", NULL);
    el_source(editor->line, NULL);
    history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    if (editor->path && pph_file_look(editor->path) == PPH_FILE_REGULAR)
        history(editor->history, &event, H_LOAD, editor->path);
    return PPH_OK;
}

pph_status pph_editor_open(pph_editor **out, const char *history, pph_error *err)
{
    PPH_AUTO(pph_editor_close) pph_editor *editor = pph_alloc(sizeof *editor);
    if (!editor)
        return PPH_FAIL_MEMORY(err, sizeof *editor);
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
        if (history && !(editor->path = pph_str_copy(pph_str_view(history))))
            return PPH_FAIL_MEMORY(err, strlen(history));
        PPH_TRY(open_terminal(editor, err));
    }
    *out = PPH_TAKE(editor);
    return PPH_OK;
}

void pph_editor_close(pph_editor **at)
{
    pph_editor *editor = at ? PPH_TAKE(*at) : NULL;
    if (!editor)
        return;
    HistEvent event;
    if (editor->history && editor->path) {
        /* What was said is this user's alone. */
        mode_t before = umask(0077);
        history(editor->history, &event, H_SAVE, editor->path);
        umask(before);
    }
    if (editor->history)
        history_end(editor->history);
    if (editor->line)
        el_end(editor->line);
    pph_buffer_deinit(&editor->read);
    pph_buffer_deinit(&editor->text);
    pph_free(editor->path);
    pph_free(editor);
}

bool pph_editor_is_terminal(const pph_editor *editor)
{
    return editor->line != NULL;
}

static void pass_over(int number)
{
    (void)number;
}

/* A line that was not dropped; NULL at the end. libedit turns the terminal's signals off only once it reads, so
 * that a Ctrl-C may come as one just before: then the terminal has dropped the line. */
static const char *type_line(pph_editor *editor, int *count)
{
    struct sigaction mine = {.sa_handler = pass_over}, before;
    const char *typed;
    sigaction(SIGINT, &mine, &before);
    do {
        editor->dropped = false;
        typed = el_gets(editor->line, count);
    } while (typed && editor->dropped);
    sigaction(SIGINT, &before, NULL);
    return typed;
}

static pph_status edit(pph_editor *editor, const char *prompt, const char **out, pph_error *err)
{
    snprintf(editor->prompt, sizeof editor->prompt, "%s", prompt);
    int count = 0;
    const char *typed = type_line(editor, &count);
    *out = NULL;
    if (!typed || count <= 0)
        return PPH_OK;
    size_t size = (size_t)count;
    while (size && (typed[size - 1] == '\n' || typed[size - 1] == '\r'))
        size--;
    HistEvent event;
    editor->text.size = 0;
    PPH_TRY(pph_buffer_append(&editor->text, typed, size, err));
    *out = pph_buffer_text(&editor->text);
    if (!*out)
        return PPH_FAIL_MEMORY(err, size);
    if (size)
        history(editor->history, &event, H_ENTER, *out);
    return PPH_OK;
}

static pph_status read_some(pph_editor *editor, pph_error *err)
{
    pph_buffer *read_so_far = &editor->read;
    if (read_so_far->size > line_limit)
        return PPH_FAIL(err, PPH_TOO_LARGE, "standard input: a line of more than %zu bytes",
                        line_limit);
    PPH_TRY(pph_buffer_reserve(read_so_far, READ_SIZE, err));
    ssize_t got = read(STDIN_FILENO, read_so_far->data + read_so_far->size, READ_SIZE);
    char reason[128];
    if (got < 0 && errno != EINTR)
        return PPH_FAIL(err, PPH_IO, "standard input could not be read: %s",
                        pph_error_system(errno, reason, sizeof reason));
    editor->ended = got == 0;
    read_so_far->size += got > 0 ? (size_t)got : 0;
    return PPH_OK;
}

static pph_status read_line(pph_editor *editor, const char **out, pph_error *err)
{
    pph_buffer *all = &editor->read;
    if (editor->given) {
        all->size -= editor->given;
        memmove(all->data, all->data + editor->given, all->size);
        editor->given = 0;
    }
    char *newline = NULL;
    for (size_t searched = 0;;) {
        if (all->size > searched)
            newline = memchr(all->data + searched, '\n', all->size - searched);
        searched = all->size;
        if (newline || editor->ended)
            break;
        PPH_TRY(read_some(editor, err));
    }
    *out = NULL;
    if (!all->size)
        return PPH_OK;
    size_t size = newline ? (size_t)(newline - (char *)all->data) : all->size;
    editor->given = size + (newline != NULL);
    if (size && all->data[size - 1] == '\r')
        size--;
    editor->text.size = 0;
    PPH_TRY(pph_buffer_append(&editor->text, all->data, size, err));
    *out = pph_buffer_text(&editor->text);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, size);
}

pph_status pph_editor_read(pph_editor *editor, const char *prompt, const char **out, pph_error *err)
{
    return editor->line ? edit(editor, prompt, out, err) : read_line(editor, out, err);
}
