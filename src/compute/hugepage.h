/* Pages of memory that is streamed through. Any thread. */
#ifndef PPH_COMPUTE_HUGEPAGE_H
#define PPH_COMPUTE_HUGEPAGE_H

#include <stddef.h>

/* Ask for large pages under what lies whole within [memory, memory + bytes): they save the processor
 * most look-ups. A wish; nothing fails. */
void pph_hugepage_advise(void *memory, size_t bytes);

#endif
