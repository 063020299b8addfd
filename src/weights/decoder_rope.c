/* Rotary positions in config.json, in all the spellings that there have been. Stateless. */
#include "weights/decoder_rope.h"

pph_rope_options pph_decoder_config_rope(const pph_decoder_config *config, size_t context)
{
    pph_rope_options rope = config->rope;
    rope.positions = context;
    if (rope.scaling == PPH_ROPE_FACTORS) {
        rope.factors = config->short_factors;
        rope.long_factors = config->has_long ? config->long_factors : NULL;
    }
    return rope;
}

pph_status pph_decoder_rope_check(pph_decoder_config *config, pph_error *err)
{
    const pph_rope_options *rope = &config->rope;
    bool stretched = rope->scaling != PPH_ROPE_PLAIN && rope->scaling != PPH_ROPE_FACTORS;
    if (rope->rotary < 2 || rope->rotary > (size_t)config->head || rope->rotary % 2)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "positions turn %zu numbers of a head of %d; an even part of it can turn",
                        rope->rotary, config->head);
    if (!(rope->base > 1 && rope->base <= 1e12))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the base of rotary positions is %g; it must lie between 1 and 1e12",
                        rope->base);
    if (stretched && !(rope->factor >= 1 && rope->factor <= 1e6))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "rotary positions are stretched by %g; it must lie between 1 and 1e6",
                        rope->factor);
    if (rope->scaling == PPH_ROPE_LLAMA3 && !(rope->low > 0 && rope->low < rope->high))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'low_freq_factor' %g and 'high_freq_factor' %g: the first must be "
                        "positive, the second larger",
                        rope->low, rope->high);
    const double others[] = {rope->slow, rope->fast, rope->mscale, rope->mscale_all,
                             rope->attention};
    for (size_t i = 0; i < PPH_COUNT(others); i++)
        if (!(others[i] >= 0 && others[i] <= 1e6))
            return PPH_FAIL(err, PPH_CORRUPT,
                            "%g among the settings of rotary positions; they are positive",
                            others[i]);
    for (size_t i = 0; rope->scaling == PPH_ROPE_FACTORS && i < rope->rotary / 2; i++) {
        float least = config->short_factors[i];
        if (config->has_long && !(config->long_factors[i] >= least))
            least = PPH_MIN(least, config->long_factors[i]);
        if (!(least > 0 && config->short_factors[i] < 1e9F && config->long_factors[i] < 1e9F))
            return PPH_FAIL(err, PPH_CORRUPT, "a divisor of rotary positions is %g", (double)least);
    }
    double reach = rope->factor * (double)rope->original;
    if (rope->scaling == PPH_ROPE_YARN && reach > config->context)
        config->context = (int)PPH_MIN(reach, (double)(1 << 24));
    return PPH_OK;
}

static pph_status read_factors(const pph_json *from, const char *key, size_t count, float *out,
                               pph_error *err)
{
    const pph_json *list = pph_json_get(from, key);
    bool good = pph_json_is_array(list) && pph_json_size(list) == count;
    for (size_t i = 0; good && i < count; i++) {
        good = pph_json_is_number(pph_json_at(list, i));
        out[i] = (float)pph_json_number(pph_json_at(list, i));
    }
    if (!good)
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is no list of %zu numbers", key, count);
    return PPH_OK;
}

static pph_status read_kind(const pph_json *from, pph_decoder_kind model, pph_rope_scaling *out,
                            pph_error *err)
{
    static const struct {
        const char *name;
        pph_rope_scaling scaling;
    } known[] = {
        {"default", PPH_ROPE_PLAIN}, {"linear", PPH_ROPE_LINEAR},    {"llama3", PPH_ROPE_LLAMA3},
        {"yarn", PPH_ROPE_YARN},     {"longrope", PPH_ROPE_FACTORS}, {"su", PPH_ROPE_FACTORS},
        {"dynamic", PPH_ROPE_PLAIN}, /* what it changes lies past the context of training */
    };
    const pph_json *value = pph_json_get(from, "rope_type");
    if (pph_json_is_null(value))
        value = pph_json_get(from, "type");
    *out = PPH_ROPE_PLAIN;
    if (pph_json_is_null(value))
        return PPH_OK;
    pph_str name = pph_json_string(value);
    for (size_t i = 0; i < PPH_COUNT(known); i++)
        if (pph_str_equal(name, pph_str_view(known[i].name))) {
            *out = known[i].scaling;
            if (model == PPH_DECODER_PHI3 && *out == PPH_ROPE_YARN) /* its first files' word */
                *out = PPH_ROPE_FACTORS;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "rotary positions are scaled by '%.*s'; known are linear, llama3, yarn and "
                    "longrope",
                    (int)PPH_MIN(name.size, (size_t)40), name.data ? name.data : "");
}

/* The context of training. What stands beside the sizes counts before what the scaling says. */
static pph_status read_original(const pph_json *root, const pph_json *from,
                                pph_decoder_config *config, pph_error *err)
{
    static const char key[] = "original_max_position_embeddings";
    int64_t number = config->context;
    PPH_TRY(pph_json_get_integer(from, key, 1, 1 << 24, number, &number, err));
    if (config->kind == PPH_DECODER_PHI3)
        number = 4096;
    PPH_TRY(pph_json_get_integer(root, key, 1, 1 << 24, number, &number, err));
    config->rope.original = (size_t)number;
    return PPH_OK;
}

static pph_status read_scaling(const pph_json *root, const pph_json *from,
                               pph_decoder_config *config, pph_error *err)
{
    pph_rope_options *rope = &config->rope;
    PPH_TRY(read_original(root, from, config, err));
    bool required = rope->scaling == PPH_ROPE_LINEAR || rope->scaling == PPH_ROPE_LLAMA3;
    double usual = required ? 0 : (double)config->context / (double)rope->original;
    PPH_TRY(pph_json_get_number(from, "factor", usual, &rope->factor, err));
    if (rope->scaling == PPH_ROPE_LLAMA3) {
        PPH_TRY(pph_json_get_number(from, "low_freq_factor", 1, &rope->low, err));
        PPH_TRY(pph_json_get_number(from, "high_freq_factor", 4, &rope->high, err));
    }
    if (rope->scaling == PPH_ROPE_YARN) {
        bool rounded = true;
        PPH_TRY(pph_json_get_number(from, "beta_slow", 0, &rope->slow, err));
        PPH_TRY(pph_json_get_number(from, "beta_fast", 0, &rope->fast, err));
        PPH_TRY(pph_json_get_number(from, "mscale", 0, &rope->mscale, err));
        PPH_TRY(pph_json_get_number(from, "mscale_all_dim", 0, &rope->mscale_all, err));
        PPH_TRY(pph_json_get_bool(from, "truncate", true, &rounded, err));
        rope->unrounded = !rounded;
    }
    if (rope->scaling == PPH_ROPE_FACTORS) {
        size_t pairs = rope->rotary / 2;
        PPH_TRY(read_factors(from, "short_factor", pairs, config->short_factors, err));
        PPH_TRY(read_factors(from, "long_factor", pairs, config->long_factors, err));
        config->has_long = true;
    }
    return pph_json_get_number(from, "attention_factor", 0, &rope->attention, err);
}

pph_status pph_decoder_rope_read(pph_decoder_config *config, const pph_json *from, pph_error *err)
{
    pph_rope_options *rope = &config->rope;
    const pph_json *scaling = pph_json_get(from, "rope_scaling");
    double base = 10000, part = 1;
    if (pph_json_is_null(scaling) || !pph_json_size(scaling))
        scaling = pph_json_get(from, "rope_parameters");
    if (pph_json_is_null(scaling))
        scaling = NULL;
    else if (!pph_json_is_object(scaling))
        return PPH_FAIL(err, PPH_CORRUPT, "'rope_scaling' is not an object");
    if (pph_json_is_object(pph_json_get(scaling, "full_attention"))) /* the same for every layer */
        scaling = pph_json_get(scaling, "full_attention");
    PPH_TRY(pph_json_get_number(from, "rope_theta", base, &base, err));
    PPH_TRY(pph_json_get_number(scaling, "rope_theta", base, &rope->base, err));
    PPH_TRY(pph_json_get_number(from, "partial_rotary_factor", part, &part, err));
    PPH_TRY(pph_json_get_number(scaling, "partial_rotary_factor", part, &part, err));
    if (!(part > 0 && part <= 1))
        return PPH_FAIL(err, PPH_CORRUPT, "'partial_rotary_factor' is %g; it lies between 0 and 1",
                        part);
    rope->rotary = (size_t)(config->head * part);
    rope->original = (size_t)config->context;
    PPH_TRY(read_kind(scaling, config->kind, &rope->scaling, err));
    if (rope->scaling != PPH_ROPE_PLAIN)
        PPH_TRY(read_scaling(from, scaling, config, err));
    return pph_decoder_rope_check(config, err);
}
