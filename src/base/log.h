/* Diagnostics on stderr, or to a sink of the embedding program. Never results, never secrets.
 * Any thread. */
#ifndef PPH_BASE_LOG_H
#define PPH_BASE_LOG_H

#include <paraphym/log.h>

void pph_log(pph_log_level level, const char *format, ...) PPH_PRINTF(2, 3);

#endif
