/* The log. Its level and sink are the process's: set once, read by all threads. */
#include "base/log.h"

#include "base/error.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"off", "error", "warn", "info", "debug"};

static atomic_int current = PPH_LOG_WARN;
static pph_log_sink *_Atomic sink_function;
static void *_Atomic sink_context;

void pph_log_set_level(pph_log_level level)
{
    atomic_store(&current, (int)level);
}

pph_status pph_log_parse_level(const char *name, pph_log_level *out, pph_error *err)
{
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (pph_log_level)i;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "'%s' is no log level; use off, error, warn, info or debug", name);
}

void pph_log_set_sink(pph_log_sink *sink, void *context)
{
    atomic_store(&sink_context, context);
    atomic_store(&sink_function, sink);
}

void pph_log(pph_log_level level, const char *format, ...)
{
    if (level == PPH_LOG_OFF || (int)level > atomic_load(&current))
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* Names and addresses come from outside: none may forge a line or talk to the terminal. */
    for (unsigned char *c = (unsigned char *)line; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
    pph_log_sink *sink = atomic_load(&sink_function);
    if (sink)
        sink(level, line, atomic_load(&sink_context));
    else
        fprintf(stderr, "paraphym: %s: %s\n", names[level], line);
}
