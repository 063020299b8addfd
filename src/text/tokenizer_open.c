/* Finds a tokenizer's files in a model folder and reads them. Refuses other tokenizers' files, saying
 * what they are and what to do. */
#include "text/tokenizer_load.h"

#include "base/file.h"
#include "base/mem.h"
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

static pph_status open_folder(pph_tokenizer **out, const char *folder, pph_error *err)
{
    static const struct {
        const char *name, *kind;
    } others[] = {{"tokenizer.model", "SentencePiece"},
                  {"spiece.model", "SentencePiece"},
                  {"sentencepiece.bpe.model", "SentencePiece"},
                  {"vocab.txt", "WordPiece"},
                  {"vocab.json", "merges.txt is missing"}};
    bool there = false, vocab = false, merges = false;
    PPH_TRY(has(&there, folder, "tokenizer.json", err));
    PPH_TRY(has(&vocab, folder, "vocab.json", err));
    PPH_TRY(has(&merges, folder, "merges.txt", err));
    if (there) {
        PPH_AUTO(pph_free_at) char *path = NULL;
        PPH_TRY(join(&path, folder, "tokenizer.json", err));
        return open_json(out, path, folder, err);
    }
    if (vocab && merges)
        return open_vocab(out, folder, err);
    for (size_t i = 0; i < PPH_COUNT(others); i++) {
        PPH_TRY(has(&there, folder, others[i].name, err));
        if (there)
            return PPH_FAIL(err, PPH_UNSUPPORTED,
                            "%s: its tokenizer is only in %s (%s), which is not read; save it with "
                            "transformers to get a tokenizer.json",
                            folder, others[i].name, others[i].kind);
    }
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
    return open_json(out, path, folder, err);
}
