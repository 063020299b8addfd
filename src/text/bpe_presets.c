/* The patterns, and which families have them. Stateless. */
#include "text/bpe_presets.h"

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define ENDINGS      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BIG          "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALL        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3   \
    CONTRACTIONS \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2 \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define GPT4O                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?" BIG "*" SMALL "+" ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?" BIG "+" SMALL \
    "*" ENDINGS "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define TEKKEN                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" BIG "*" SMALL "+|[^\\r\\n\\p{L}\\p{N}]?" BIG "+" SMALL \
    "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define DEEPSEEK3                                                                        \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?" \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
/* Letters that have a case, as this family's file lists them. */
#define CASED                                                                                   \
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}"         \
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}"      \
    "\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}"               \
    "\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}" \
    "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}"              \
    "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"              \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"      \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"     \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}"              \
    "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}"      \
    "\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}"      \
    "\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}"                \
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}"               \
    "\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}"              \
    "\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"              \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"          \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"      \
    "\\x{1E900}-\\x{1E943}]+"
#define EAST_ASIAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define WIDE_MARKS \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"

static const pph_bpe_preset
    by_default = {.patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    gpt2 = {.patterns = {GPT2}}, starcoder = {.patterns = {"\\p{N}", GPT2}},
    llama3 = {.patterns = {LLAMA3}, .ignores_merges = true, .adds_start = true},
    cl100k = {.patterns = {LLAMA3}}, qwen2 = {.patterns = {QWEN2}, .composes = true},
    stablelm2 = {.patterns = {QWEN2}}, gpt4o = {.patterns = {GPT4O}},
    tekken = {.patterns = {TEKKEN}, .ignores_merges = true, .adds_start = true},
    falcon = {.patterns = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    deepseek_llm = {.patterns = {"[\\r\\n]", CASED, WIDE_MARKS, "\\s+$", EAST_ASIAN, "\\p{N}+"}},
    deepseek_coder = {.patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", EAST_ASIAN, "\\p{N}"}},
    deepseek3 = {.patterns = {"\\p{N}{1,3}",
                              "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
                              DEEPSEEK3}},
    bloom = {.patterns = {BLOOM}}, viking = {.patterns = {BLOOM, "\\p{N}"}};

static const struct {
    const char *name;
    const pph_bpe_preset *preset;
} names[] = {
    {"", &by_default},
    {"default", &by_default},
    {"gpt-2", &gpt2},
    {"gpt2", &gpt2},
    {"phi-2", &gpt2},
    {"mpt", &gpt2},
    {"olmo", &gpt2},
    {"jina-es", &gpt2},
    {"jina-de", &gpt2},
    {"jina-v2-es", &gpt2},
    {"jina-v2-de", &gpt2},
    {"jina-v2-code", &gpt2},
    {"roberta-bpe", &gpt2},
    {"starcoder", &starcoder},
    {"refact", &starcoder},
    {"command-r", &starcoder},
    {"smollm", &starcoder},
    {"codeshell", &starcoder},
    {"exaone", &starcoder},
    {"minerva-7b", &starcoder},
    {"llama3", &llama3},
    {"llama-v3", &llama3},
    {"llama-bpe", &llama3},
    {"falcon3", &llama3},
    {"dbrx", &cl100k},
    {"smaug-bpe", &cl100k},
    {"glm4", &cl100k},
    {"chatglm-bpe", &cl100k},
    {"qwen2", &qwen2},
    {"deepseek-r1-qwen", &qwen2},
    {"stablelm2", &stablelm2},
    {"gpt-4o", &gpt4o},
    {"llama4", &gpt4o},
    {"tekken", &tekken},
    {"falcon", &falcon},
    {"deepseek-llm", &deepseek_llm},
    {"deepseek-coder", &deepseek_coder},
    {"deepseek-v3", &deepseek3},
    {"bloom", &bloom},
    {"poro-chat", &bloom},
    {"gpt3-finnish", &bloom},
    {"viking", &viking},
};

const pph_bpe_preset *pph_bpe_preset_find(pph_str name)
{
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        if (pph_str_equal(name, pph_str_view(names[i].name)))
            return names[i].preset;
    return NULL;
}

const char *pph_bpe_preset_name(size_t index)
{
    static const char *const common[] = {
        "llama-bpe", "qwen2",        "gpt-2",     "tekken",      "gpt-4o",
        "dbrx",      "stablelm2",    "starcoder", "deepseek-v3", "deepseek-coder",
        "falcon",    "deepseek-llm", "bloom",     "viking",      "default"};
    return index < PPH_COUNT(common) ? common[index] : NULL;
}
