/* Whose turn it is when several wait. */
#ifndef PARAPHYM_PRIORITY_H
#define PARAPHYM_PRIORITY_H

#ifdef __cplusplus
extern "C" {
#endif

/* A more urgent class goes first, but none waits for ever. */
typedef enum pph_priority {
    PPH_PRIORITY_INTERACTIVE,
    PPH_PRIORITY_NORMAL,
    PPH_PRIORITY_BATCH,
} pph_priority;

#ifdef __cplusplus
}
#endif
#endif
