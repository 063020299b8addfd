/* Where diagnostics go and how many of them. */
#ifndef PARAPHYM_LOG_H
#define PARAPHYM_LOG_H

#include <paraphym/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pph_log_level {
    PPH_LOG_OFF,
    PPH_LOG_ERROR,
    PPH_LOG_WARN,
    PPH_LOG_INFO,
    PPH_LOG_DEBUG,
} pph_log_level;

/* Levels up to and including `level` are written. The default is PPH_LOG_WARN. Any thread. */
PPH_API void pph_log_set_level(pph_log_level level);

/* "off", "error", "warn", "info", "debug". Errors: PPH_INVALID_ARGUMENT. */
PPH_CHECKED PPH_API pph_status pph_log_parse_level(const char *name, pph_log_level *out,
                                                   pph_error *err);

/* Called with one line, without its newline; from any thread, so it must be thread-safe. */
typedef void pph_log_sink(pph_log_level level, const char *line, void *context);

/* NULL goes back to stderr. Set it before other threads use the library. */
PPH_API void pph_log_set_sink(pph_log_sink *sink, void *context);

#ifdef __cplusplus
}
#endif
#endif
