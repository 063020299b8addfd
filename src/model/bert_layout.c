/* The names of the BERT family's tensors, kind by kind. Data, and the search for a file's prefix. */
#include "model/bert_layout.h"

#include "base/mem.h"
#include "model/parameter.h"
#include <stdio.h>

/* BERT's own; what the others share with it is taken from here. */
static const pph_bert_layout plain = {
    .layers = "encoder.layer.",
    .words = "embeddings.word_embeddings",
    .positions = "embeddings.position_embeddings",
    .types = "embeddings.token_type_embeddings",
    .norm = "embeddings.LayerNorm",
    .dense = "pooler.dense",
    .prefixed_dense = true,
    .dense_activation = PPH_SENTENCE_TANH,
    .classify = "classifier",
    .encoder = {.norm1 = "attention.output.LayerNorm",
                .norm2 = "output.LayerNorm",
                .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
                .out = "attention.output.dense",
                .up = {"intermediate.dense"},
                .down = "output.dense",
                .attention_bias = true,
                .up_bias = true,
                .down_bias = true},
};

static const pph_encoder_names distilbert = {
    .norm1 = "sa_layer_norm",
    .norm2 = "output_layer_norm",
    .qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
    .out = "attention.out_lin",
    .up = {"ffn.lin1"},
    .down = "ffn.lin2",
    .attention_bias = true,
    .up_bias = true,
    .down_bias = true,
};

/* Fused, without biases; the gate is the second of its tensors by number. */
static const pph_encoder_names nomic = {
    .norm1 = "norm1",
    .norm2 = "norm2",
    .qkv = {"attn.Wqkv"},
    .out = "attn.out_proj",
    .up = {"mlp.fc12", "mlp.fc11"},
    .down = "mlp.fc2",
};

pph_bert_layout pph_bert_layout_of(const pph_bert_config *config)
{
    pph_bert_layout layout = plain;
    if (config->kind == PPH_BERT_ROBERTA || config->kind == PPH_BERT_MPNET) {
        layout.dense = "classifier.dense";
        layout.prefixed_dense = false;
        layout.classify = "classifier.out_proj";
    }
    if (config->kind == PPH_BERT_MPNET) {
        layout.encoder.norm1 = "attention.LayerNorm";
        layout.encoder.qkv[0] = "attention.attn.q";
        layout.encoder.qkv[1] = "attention.attn.k";
        layout.encoder.qkv[2] = "attention.attn.v";
        layout.encoder.out = "attention.attn.o";
    }
    if (config->kind == PPH_BERT_DISTILBERT) {
        layout.layers = "transformer.layer.";
        layout.encoder = distilbert;
        layout.dense = "pre_classifier";
        layout.prefixed_dense = false;
        layout.dense_activation = PPH_SENTENCE_RELU;
    }
    if (config->kind == PPH_BERT_ALIBI && config->gated) {
        layout.encoder.norm2 = "mlp.layernorm";
        layout.encoder.up[0] = "mlp.gated_layers";
        layout.encoder.up_bias = false;
        layout.encoder.down = "mlp.wo";
    }
    if (config->kind == PPH_BERT_NOMIC) {
        layout.layers = "encoder.layers.";
        layout.norm = "emb_ln";
        layout.encoder = nomic;
    }
    if (!config->positions)
        layout.positions = NULL;
    if (!config->types)
        layout.types = NULL;
    return layout;
}

const char *pph_bert_prefix(const pph_weights *weights, const pph_bert_layout *layout)
{
    static const char *const prefixes[] = {"",       "bert.",      "roberta.",    "distilbert.",
                                           "mpnet.", "camembert.", "nomic_bert.", "model."};
    for (size_t i = 0; i < PPH_COUNT(prefixes); i++) {
        char name[PPH_PARAMETER_NAME];
        snprintf(name, sizeof name, "%s%s.weight", prefixes[i], layout->words);
        if (pph_weights_find(weights, name))
            return prefixes[i];
    }
    return NULL;
}
