/* Finds a tokenizer's files in a model folder and reads them. Refuses other tokenizers' files, saying
 * what they are and what to do. */
#include "text/tokenizer_load.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_tables.h"
#include <string.h>

#define FILE_LIMIT ((size_t)256 << 20)

/* CLIP's steps, for folders that have only vocab.json and merges.txt. */
static const char clip_steps[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},"
    "{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
    "\"pattern\":{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{"
    "N}]+\"},"
    "\"behavior\":\"Removed\",\"invert\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"}}";

/* folder/name on the heap. */
static pph_status join(char **out, const char *folder, const char *name, pph_error *err)
{
    *out = pph_path_join(folder, name);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
}

/* *out stays NULL when there is no such file. */
static pph_status load_optional(pph_json **out, const char *folder, const char *name,
                                pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(join(&path, folder, name, err));
    if (pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    return pph_json_load(out, path, FILE_LIMIT, err);
}

static pph_status has(bool *out, const char *folder, const char *name, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(join(&path, folder, name, err));
    *out = pph_file_look(path) != PPH_FILE_MISSING;
    return PPH_OK;
}

static pph_status finish(pph_tokenizer **out, const pph_tokenizer_source *source, const char *name,
                         pph_error *err)
{
    pph_status status = pph_tokenizer_load(out, source, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, name);
}

static pph_status load_json(pph_tokenizer **out, const pph_json *root, const pph_json *config,
                            const pph_json *map, const char *name, pph_error *err)
{
    const pph_json *model = pph_json_get(root, "model");
    static const char empty[] = "";
    pph_tokenizer_source source = {
        .root = root,
        .vocab = pph_json_get(model, "vocab"),
        .merges = pph_json_get(model, "merges"),
        .lines = {empty, 0},
        .config = config,
        .map = map,
    };
    return finish(out, &source, name, err);
}

pph_status pph_tokenizer_parse(pph_tokenizer **out, const char *name, const void *bytes,
                               size_t size, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    return load_json(out, root, NULL, NULL, name, err);
}

static pph_status open_json(pph_tokenizer **out, const char *path, const char *folder,
                            pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    PPH_AUTO(pph_json_free) pph_json *map = NULL;
    PPH_TRY(load_optional(&config, folder, "tokenizer_config.json", err));
    PPH_TRY(load_optional(&map, folder, "special_tokens_map.json", err));
    PPH_TRY(pph_json_load(&root, path, FILE_LIMIT, err));
    return load_json(out, root, config, map, pph_path_name(path), err);
}

/* vocab.json and merges.txt belong to several tokenizers; the class, or the "</w>" that only CLIP's
 * has, tells which. */
static bool is_clip(const pph_json *config, const pph_json *vocab)
{
    pph_str class = pph_json_string(pph_json_get(config, "tokenizer_class"));
    if (class.size)
        return pph_str_equal(class, PPH_STR("CLIPTokenizer")) ||
               pph_str_equal(class, PPH_STR("CLIPTokenizerFast"));
    return pph_json_get(vocab, "a</w>") != NULL;
}

static pph_status open_vocab(pph_tokenizer **out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *steps = NULL;
    PPH_AUTO(pph_json_free) pph_json *vocab = NULL;
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    PPH_AUTO(pph_json_free) pph_json *map = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer merges = PPH_BUFFER_LIMIT(FILE_LIMIT);
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(load_optional(&config, folder, "tokenizer_config.json", err));
    PPH_TRY(load_optional(&map, folder, "special_tokens_map.json", err));
    PPH_TRY(load_optional(&vocab, folder, "vocab.json", err));
    if (!is_clip(config, vocab))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: has vocab.json and merges.txt, but they are not a CLIP's; save the "
                        "tokenizer with transformers to get a tokenizer.json",
                        folder);
    PPH_TRY(join(&path, folder, "merges.txt", err));
    PPH_TRY(pph_file_read(path, &merges, err));
    pph_str lines = {merges.size ? (const char *)merges.data : "", merges.size};
    size_t offset = pph_utf8_check(lines);
    if (offset != SIZE_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "merges.txt: byte %zu is not UTF-8", offset);
    PPH_TRY(pph_json_parse(&steps, clip_steps, sizeof clip_steps - 1, "CLIP's steps", err));
    pph_tokenizer_source source = {.root = steps,
                                   .vocab = vocab,
                                   .lines = lines,
                                   .config = config,
                                   .map = map,
                                   .framed = true};
    return finish(out, &source, "vocab.json", err);
}

/* ---- other files ---- */

/* SentencePiece's: around a text goes what the config says, else what the file's name lets expect:
 * Llama's tokenizer.model begins texts, T5's spiece.model ends them. */
static pph_status open_sentencepiece(pph_tokenizer **out, const char *path, const char *folder,
                                     pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(FILE_LIMIT);
    pph_sentencepiece_frame frame = {0};
    bool t5 = pph_str_equal(pph_str_view(pph_path_name(path)), PPH_STR("spiece.model"));
    PPH_TRY(load_optional(&config, folder, "tokenizer_config.json", err));
    PPH_TRY(pph_json_get_bool(config, "add_bos_token", !t5, &frame.adds_start, err));
    PPH_TRY(pph_json_get_bool(config, "add_eos_token", t5, &frame.adds_end, err));
    PPH_TRY(pph_file_read(path, &bytes, err));
    pph_status status = pph_sentencepiece_parse(out, bytes.data, bytes.size, &frame, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, pph_path_name(path));
}

/* Lines, each a token; `ids` of those that BERT names. */
typedef struct lines {
    pph_str *tokens;
    uint8_t *kinds;
    size_t count;
} lines;

static void lines_deinit(lines *l)
{
    pph_free(l->tokens);
    pph_free(l->kinds);
}

static pph_status split_lines(lines *out, pph_str text, pph_error *err)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    out->tokens = pph_alloc_array(count, sizeof *out->tokens);
    out->kinds = pph_alloc_array(count, sizeof *out->kinds);
    if (!out->tokens || !out->kinds)
        return PPH_FAIL_MEMORY(err, count * sizeof *out->tokens);
    while (text.size) {
        const char *newline = memchr(text.data, '\n', text.size);
        pph_str line = {text.data, newline ? (size_t)(newline - text.data) : text.size};
        size_t step = line.size + (newline ? 1 : 0);
        text = (pph_str){text.data + step, text.size - step};
        line.size -= pph_str_ends(line, "\r");
        out->kinds[out->count] = PPH_TOKEN_NORMAL;
        out->tokens[out->count++] = line;
    }
    return PPH_OK;
}

/* BERT's vocab.txt: a token a line. */
static pph_status open_vocab_text(pph_tokenizer **out, const char *path, const char *folder,
                                  pph_error *err)
{
    static const char *const names[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    PPH_AUTO(pph_json_free) pph_json *config = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(FILE_LIMIT);
    PPH_AUTO(lines_deinit) lines l = {0};
    int32_t ids[PPH_COUNT(names)] = {-1, -1, -1, -1, -1};
    bool lower = true;
    PPH_TRY(load_optional(&config, folder, "tokenizer_config.json", err));
    PPH_TRY(pph_json_get_bool(config, "do_lower_case", true, &lower, err));
    PPH_TRY(pph_file_read(path, &bytes, err));
    pph_str text = {bytes.size ? (const char *)bytes.data : "", bytes.size};
    size_t offset = pph_utf8_check(text);
    if (offset != SIZE_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "vocab.txt: byte %zu is not UTF-8", offset);
    PPH_TRY(split_lines(&l, text, err));
    for (size_t i = 0; i < l.count; i++)
        for (size_t n = 0; n < PPH_COUNT(names); n++)
            if (pph_str_equal(l.tokens[i], pph_str_view(names[n]))) {
                ids[n] = (int32_t)PPH_MIN(i, (size_t)INT32_MAX);
                l.kinds[i] = PPH_TOKEN_CONTROL;
            }
    const pph_tokenizer_tables tables = {
        .model = PPH_TABLES_WORDPIECE,
        .tokens = l.tokens,
        .kinds = l.kinds,
        .count = l.count,
        .lower = lower,
        .adds_start = true,
        .adds_end = true,
        .start = ids[1],
        .end = ids[2],
        .unknown = ids[0],
        .separator = ids[2],
        .pad = ids[3],
    };
    pph_status status = pph_tokenizer_make(out, &tables, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, "vocab.txt");
}

/* Files that are a whole tokenizer, the better first. */
static const struct {
    const char *name;
    pph_status (*open)(pph_tokenizer **out, const char *path, const char *folder, pph_error *err);
} wholes[] = {
    {"tokenizer.json", open_json},
    {"tokenizer.model", open_sentencepiece},
    {"spiece.model", open_sentencepiece},
    {"vocab.txt", open_vocab_text},
};

static pph_status open_folder(pph_tokenizer **out, const char *folder, pph_error *err)
{
    bool vocab = false, merges = false, there = false;
    PPH_TRY(has(&vocab, folder, "vocab.json", err));
    PPH_TRY(has(&merges, folder, "merges.txt", err));
    for (size_t i = 0; i < PPH_COUNT(wholes); i++) {
        PPH_AUTO(pph_free_at) char *path = NULL;
        PPH_TRY(join(&path, folder, wholes[i].name, err));
        if (pph_file_look(path) != PPH_FILE_MISSING)
            return wholes[i].open(out, path, folder, err);
        if (i == 0 && vocab && merges)
            return open_vocab(out, folder, err);
    }
    PPH_TRY(has(&there, folder, "sentencepiece.bpe.model", err));
    if (there || vocab)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: its tokenizer is only in %s, which is not read; save it with "
                        "transformers to get a tokenizer.json",
                        folder,
                        there ? "sentencepiece.bpe.model" : "vocab.json, without merges.txt");
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%s: has neither tokenizer.json nor vocab.json with merges.txt; without them "
                    "the model cannot read text",
                    folder);
}

pph_status pph_tokenizer_open(pph_tokenizer **out, const char *path, pph_error *err)
{
    pph_file_kind kind = pph_file_look(path);
    if (kind == PPH_FILE_MISSING)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: no such file or folder", path);
    if (kind == PPH_FILE_FOLDER)
        return open_folder(out, path, err);
    const char *name = pph_path_name(path);
    PPH_AUTO(pph_free_at)
    char *folder = name == path ? pph_str_copy(PPH_STR("."))
                                : pph_str_copy((pph_str){path, (size_t)(name - path)});
    if (!folder)
        return PPH_FAIL_MEMORY(err, strlen(path) + 1);
    for (size_t i = 0; i < PPH_COUNT(wholes); i++)
        if (pph_str_equal(pph_str_view(name), pph_str_view(wholes[i].name)))
            return wholes[i].open(out, path, folder, err);
    return open_json(out, path, folder, err);
}
