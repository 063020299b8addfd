/* Names of precisions and the choice among them. Stateless. */
#include "compute/precision.h"

#include "base/error.h"
#include "compute/cpu.h"
#include <string.h>

static const char *const names[PPH_PRECISION_COUNT] = {
    [PPH_PRECISION_AUTO] = "auto",
    [PPH_PRECISION_F32] = "f32",
    [PPH_PRECISION_BF16] = "bf16",
    [PPH_PRECISION_INT8] = "int8",
};

pph_status pph_precision_parse(const char *name, pph_precision *out, pph_error *err)
{
    for (int i = 0; name && i < PPH_PRECISION_COUNT; i++)
        if (!strcmp(name, names[i])) {
            *out = (pph_precision)i;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "precision '%.40s' is not known: use auto, f32, bf16 or int8",
                    name ? name : "");
}

const char *pph_precision_name(pph_precision precision)
{
    return (unsigned)precision < PPH_PRECISION_COUNT ? names[precision] : "unknown";
}

static const char *const quantizes[PPH_QUANTIZE_COUNT] = {
    [PPH_QUANTIZE_NONE] = "none",
    [PPH_QUANTIZE_Q8_0] = "q8_0",
    [PPH_QUANTIZE_Q4_0] = "q4_0",
};

pph_status pph_quantize_parse(const char *name, pph_quantize *out, pph_error *err)
{
    for (int i = 0; name && i < PPH_QUANTIZE_COUNT; i++)
        if (!strcmp(name, quantizes[i])) {
            *out = (pph_quantize)i;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "weights are not quantised to '%.40s': use none, q8_0 or q4_0",
                    name ? name : "");
}

const char *pph_quantize_name(pph_quantize quantize)
{
    return (unsigned)quantize < PPH_QUANTIZE_COUNT ? quantizes[quantize] : "unknown";
}

pph_precision pph_precision_choose(pph_precision wish, unsigned features)
{
    switch (wish) {
    case PPH_PRECISION_AUTO:
        /* bfloat16 keeps image and text vectors above 0.9995; 8-bit inputs do not on every model,
         * because single features of a transformer grow a hundred times larger than the rest and
         * take the row's scale with them. So 8 bits are for those who ask. */
    case PPH_PRECISION_BF16:
        return features & PPH_CPU_BF16 ? PPH_PRECISION_BF16 : PPH_PRECISION_F32;
    case PPH_PRECISION_INT8:
        return features & PPH_CPU_VNNI ? PPH_PRECISION_INT8 : PPH_PRECISION_F32;
    default:
        return PPH_PRECISION_F32;
    }
}
