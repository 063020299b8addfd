/* What goes around a text, or around two: the tokens that a model wants before, between and behind,
 * and which of the two every token belongs to. Any thread, once made. */
#ifndef PPH_TEXT_FRAME_H
#define PPH_TEXT_FRAME_H

#include "base/json.h"
#include "text/tokens.h"

typedef enum pph_slot_kind { PPH_SLOT_TOKEN, PPH_SLOT_FIRST, PPH_SLOT_SECOND } pph_slot_kind;

/* A token, or the place of a text. type: of the tokens there (token_type_ids) */
typedef struct pph_slot {
    pph_slot_kind kind;
    int32_t id, type;
} pph_slot;

typedef struct pph_slots {
    pph_slot *at;
    size_t count, room;
} pph_slots;

/* Starts as {0}, which frames nothing: use pph_frame_init or pph_frame_plain. */
typedef struct pph_frame {
    pph_slots single, pair;
} pph_frame;

void pph_frame_deinit(pph_frame *frame);

PPH_CHECKED pph_status pph_slots_add(pph_slots *slots, pph_slot slot, pph_error *err);

/* How many tokens the slots add to the texts. */
size_t pph_slots_tokens(const pph_slots *slots);

/* Nothing around the texts; those of the second are of type 1. */
PPH_CHECKED pph_status pph_frame_plain(pph_frame *out, pph_error *err);

/* json    the "post_processor" of tokenizer.json: null, TemplateProcessing, BertProcessing,
 *         RobertaProcessing, ByteLevel, or a Sequence with at most one that adds tokens
 * out     to be given to deinit on error too
 * Errors  PPH_UNSUPPORTED (another kind, which the sentence names), PPH_CORRUPT, PPH_TOO_LARGE,
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_frame_init(pph_frame *out, const pph_json *json, pph_error *err);

#endif
