/* What clip.c and the two towers, clip_vision.c and clip_text.c, share. */
#ifndef PPH_MODEL_CLIP_PARTS_H
#define PPH_MODEL_CLIP_PARTS_H

#include "model/crew.h"
#include "model/encoder.h"
#include "weights/config.h"

/* Where a tower comes from; all borrowed.
 * prefix  before every tensor's name: "" or "model."
 * sharer  of the picture tower, which a LLaVA may have too */
typedef struct pph_clip_source {
    const pph_weights *weights;
    const pph_clip_config *config;
    const char *prefix;
    pph_precision precision;
    pph_team *team;
    pph_sharer *sharer;
} pph_clip_source;

/* Write prefix + name, a tensor's or the start of one's, to `out`, which has room for
 * PPH_PARAMETER_NAME; returns `out`. */
const char *pph_clip_name(char *out, const pph_clip_source *source, const char *name);

/* Activations that a call may hold at once, over all members. */
#define PPH_CLIP_ROOM ((size_t)96 << 20)

/* A norm over f32 rows and the product after it that ends a tower. */
typedef struct pph_clip_head {
    float *weight, *bias; /* [D] */
    float epsilon;
    size_t width;
    pph_linear *projection; /* [P,D], f32 at any precision */
} pph_clip_head;

/* norm, projection  names less ".weight" and ".bias": "text_model.final_layer_norm" */
PPH_CHECKED pph_status pph_clip_head_init(pph_clip_head *head, const pph_clip_source *source,
                                          const pph_clip_tower *tower, const char *norm,
                                          const char *projection, pph_error *err);
void pph_clip_head_deinit(pph_clip_head *head);
size_t pph_clip_head_bytes(const pph_clip_head *head);
/* pooled  f32 [count,D], spoilt;  out  f32 [count,P] */
PPH_CHECKED pph_status pph_clip_head_run(const pph_clip_head *head, size_t count, float *pooled,
                                         float *out, pph_scratch *scratch, pph_error *err);

/* What CLIP's files call the tensors of a layer. */
const pph_encoder_names *pph_clip_encoder_names(void);

/* The encoder's options for a tower. prefix  of its tensors' names, borrowed */
pph_encoder_options pph_clip_encoder_options(const pph_clip_source *source,
                                             const pph_clip_tower *tower, const char *prefix);

/* The picture tower. Immutable once made. */
typedef struct pph_clip_vision pph_clip_vision;
PPH_CHECKED pph_status pph_clip_vision_new(pph_clip_vision **out, const pph_clip_source *source,
                                           pph_error *err);
void pph_clip_vision_free(pph_clip_vision **vision);
size_t pph_clip_vision_bytes(const pph_clip_vision *vision);
PPH_CHECKED pph_status pph_clip_vision_embed(const pph_clip_vision *vision, const pph_crew *crew,
                                             size_t count, const float *const *pictures, float *out,
                                             const pph_done *done, pph_error *err);

/* The text tower. Immutable once made; its token table stays in the mapped file of `source`, which
 * must outlive it. */
typedef struct pph_clip_text pph_clip_text;
PPH_CHECKED pph_status pph_clip_text_new(pph_clip_text **out, const pph_clip_source *source,
                                         pph_error *err);
void pph_clip_text_free(pph_clip_text **text);
size_t pph_clip_text_bytes(const pph_clip_text *text);
PPH_CHECKED pph_status pph_clip_text_embed(const pph_clip_text *text, const pph_crew *crew,
                                           size_t count, const int32_t *ids, const size_t *lengths,
                                           float *out, pph_error *err);

#endif
