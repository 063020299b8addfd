/* A LLaVA that was converted to a pair of GGUF files is the LLaVA: the reference's rows of a picture and tokens
 * behind it, under every spelling of its folder's names; and what goes wrong leaves neither file. */
#include "llava_cases.h"
#include "model/convert.h"
#include "model/decoder.h"
#include "model/llava_vision.h"
#include "weights/gguf.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

enum { CASES = 3, GREEDY = 16, PROMPT = 8, VOCABULARY = 97, IMAGE = 90 };

typedef struct fixture {
    pph_json *golden;
    llava_files files[CASES];
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    assert_int_equal(pph_json_load(&f.golden, PPH_GOLDEN_MODEL "/llava.json", 1 << 24, NULL),
                     PPH_OK);
    for (size_t i = 0; i < CASES; i++)
        llava_files_read(&f.files[i], pph_json_at(pph_json_get(f.golden, "cases"), i));
    assert_int_equal(pph_team_new(&f.team, 2, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pph_json_free(&f->golden);
    pph_team_free(&f->team);
    return 0;
}

/* The files of a pair, in a folder of their own. */
typedef struct pair {
    made_folder folder;
    char text[160], picture[160];
} pair;

static pair make_pair(void)
{
    pair p = {.folder = make_folder()};
    snprintf(p.text, sizeof p.text, "%s/out.gguf", p.folder.path);
    snprintf(p.picture, sizeof p.picture, "%s/mmproj-out.gguf", p.folder.path);
    return p;
}

static pph_status convert(const fixture *f, const char *from, const pair *to, pph_dtype type,
                          pph_error *err)
{
    pph_convert_options options = {.type = type, .team = f->team, .projector = to->picture};
    pph_converted made;
    return pph_convert(from, to->text, &options, &made, err);
}

static void must_convert(const fixture *f, const char *from, const pair *to, pph_dtype type)
{
    pph_error err = {0};
    if (convert(f, from, to, type, &err) != PPH_OK)
        fail_msg("%s: %s", from, err.message);
    assert_int_equal(files_in(&to->folder), 2);
}

/* ---- against the reference ---- */

static double distance(const float *ours, const pph_json *theirs, size_t count, size_t width)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count * width; i++) {
        double wanted = pph_json_number(pph_json_at(pph_json_at(theirs, i / width), i % width));
        difference += pow((double)ours[i] - wanted, 2);
        size += pow(wanted, 2);
    }
    return sqrt(difference / size);
}

/* The rows of the case's picture, held against the golden ones. Free with pph_free. */
static float *look(const fixture *f, size_t index, const pair *p, size_t *count, size_t *width)
{
    const llava_files *files = &f->files[index];
    const pph_json *rows =
        pph_json_get(pph_json_at(pph_json_get(f->golden, "cases"), index), "rows");
    size_t numbers = 3 * files->side * files->side;
    pph_llava_vision *vision = NULL;
    pph_error err = {0};
    const pph_llava_vision_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
    if (pph_llava_vision_open(&vision, p->picture, &options, &err) != PPH_OK)
        fail_msg("%s: %s", files->name, err.message);
    const pph_llava_vision_info *info = pph_llava_vision_describe(vision);
    *count = info->rows;
    *width = info->width;
    assert_int_equal(info->rows, pph_json_size(rows));
    assert_int_equal(info->side, files->side);
    assert_int_equal(info->width, pph_json_size(pph_json_at(rows, 0)));
    float *pixels = pph_alloc_array(numbers, sizeof *pixels);
    float *out = pph_alloc_array(info->rows * info->width, sizeof *out);
    assert_true(pixels && out);
    synthetic_noise(synthetic_seed(files->space, "pixels"), 0, numbers, 0, 1, 0, 1, pixels);
    assert_int_equal(pph_llava_vision_embed(vision, 1, pixels, out, NULL), PPH_OK);
    double far = distance(out, rows, *count, *width);
    if (!(far <= 3e-6))
        fail_msg("%s: rows are %g away", files->name, far);
    pph_free(pixels);
    pph_llava_vision_close(&vision);
    return out;
}

static void run(pph_decoder *decoder, pph_decoder_input input, float *logits)
{
    uint64_t keys[64];
    assert_true(input.count <= PPH_COUNT(keys));
    for (size_t i = 0; i < input.count; i++)
        keys[i] = input.ids ? (uint64_t)input.ids[i] : 1000000 + i;
    assert_int_equal(pph_kv_sequence_reserve(input.sequence, input.count, NULL), PPH_OK);
    assert_int_equal(pph_decoder_run(decoder, &input, 1, logits, NULL), PPH_OK);
    pph_kv_sequence_commit(input.sequence, keys, input.count);
}

static int32_t best_word(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < VOCABULARY; i++)
        if (i != IMAGE && logits[i] > logits[best])
            best = i;
    return best;
}

static void answer(const fixture *f, size_t index, const pair *p)
{
    const pph_json *golden = pph_json_at(pph_json_get(f->golden, "cases"), index);
    const pph_json *greedy = pph_json_get(golden, "greedy");
    pph_decoder_options options = pph_decoder_defaults(f->team);
    pph_decoder *decoder = NULL;
    pph_kv_sequence *sequence = NULL;
    size_t count = 0, width = 0, at = 0;
    float logits[VOCABULARY], *rows = look(f, index, p, &count, &width);
    int32_t prompt[PROMPT];
    for (size_t i = 0; i < PROMPT; i++)
        prompt[i] = (int32_t)pph_json_integer(pph_json_at(pph_json_get(golden, "prompt"), i));
    while (prompt[at] != IMAGE)
        at++;
    options.precision = PPH_PRECISION_F32;
    options.cache = PPH_F32;
    assert_int_equal(pph_decoder_open(&decoder, p->text, &options, NULL), PPH_OK);
    assert_int_equal(pph_decoder_describe(decoder)->width, width);
    assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
    run(decoder, (pph_decoder_input){.sequence = sequence, .ids = prompt, .count = at}, NULL);
    run(decoder, (pph_decoder_input){.sequence = sequence, .embeddings = rows, .count = count},
        NULL);
    run(decoder,
        (pph_decoder_input){
            .sequence = sequence, .ids = prompt + at + 1, .count = PROMPT - at - 1, .logits = 1},
        logits);
    for (size_t i = 0; i < GREEDY; i++) {
        int32_t next = best_word(logits);
        assert_int_equal(next, pph_json_integer(pph_json_at(greedy, i)));
        run(decoder,
            (pph_decoder_input){.sequence = sequence, .ids = &next, .count = 1, .logits = 1},
            logits);
    }
    pph_kv_sequence_free(&sequence);
    pph_decoder_close(&decoder);
    pph_free(rows);
}

/* The same folder under the words that another writer puts in front of the names. */
static made_folder write_spelled(const llava_files *c, const char *tower, const char *projector)
{
    static llava_files other;
    uint64_t seeds[LLAVA_TENSORS];
    char path[160];
    made_folder folder = make_folder();
    other = *c;
    for (size_t i = 0; i < c->tensor_count; i++) {
        const char *name = c->tensors[i].name;
        const char *in_tower = strstr(name, "vision_model."), *last = strstr(name, "linear_");
        seeds[i] = synthetic_seed(c->space, name);
        if (in_tower)
            snprintf(other.tensors[i].name, sizeof other.tensors[i].name, "%s%s", tower,
                     in_tower + strlen("vision_model."));
        else if (last)
            snprintf(other.tensors[i].name, sizeof other.tensors[i].name, "%s%s", projector, last);
    }
    put_text(&folder, "config.json", c->config);
    snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
    assert_true(synthetic_write(path, other.tensors, seeds, other.tensor_count));
    return folder;
}

/* In the type of the folder nothing is lost: f32, and f16 with a projector without biases and layer 2 of 4. */
static void pairs_are_the_model(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *tower, *projector;
    } spellings[] = {{"vision_tower.", "multi_modal_projector."},
                     {"model.vision_tower.", "model.multi_modal_projector."},
                     {"model.vision_tower.vision_model.", "model.multi_modal_projector."}};
    static const struct {
        size_t index;
        pph_dtype type;
    } cases[] = {{0, PPH_F32}, {2, PPH_F16}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pair p = make_pair();
        made_folder folder = llava_files_write(&f->files[cases[i].index]);
        must_convert(f, folder.path, &p, cases[i].type);
        answer(f, cases[i].index, &p);
        remove_folder(&folder);
        remove_folder(&p.folder);
    }
    for (size_t i = 0; i < PPH_COUNT(spellings); i++) {
        pair p = make_pair();
        made_folder folder =
            write_spelled(&f->files[0], spellings[i].tower, spellings[i].projector);
        must_convert(f, folder.path, &p, PPH_F32);
        answer(f, 0, &p);
        remove_folder(&folder);
        remove_folder(&p.folder);
    }
}

/* ---- the form ---- */

static pph_dtype type_of(const pph_gguf *file, const char *name)
{
    const pph_tensor *tensor = pph_gguf_find_tensor(file, name);
    if (!tensor)
        fail_msg("no tensor '%s'", name);
    return tensor->dtype;
}

/* What llama.cpp's reader wants to find, and of what types. */
static void the_part_is_as_llama_cpp_reads_it(void **state)
{
    const fixture *f = *state;
    static const struct {
        pph_dtype wish, own;
        unsigned file_type;
    } types[] = {{PPH_F32, PPH_F32, 0},
                 {PPH_F16, PPH_F16, 1},
                 {PPH_BF16, PPH_BF16, 32},
                 {PPH_Q8_0, PPH_F16, 1},
                 {PPH_Q4_0, PPH_F16, 1}};
    static const char *const plain[] = {
        "v.class_embd",       "v.patch_embd.weight",   "v.pre_ln.bias", "v.position_embd.weight",
        "v.blk.1.ln2.weight", "v.blk.0.attn_out.bias", "mm.0.bias",     "mm.2.bias"};
    static const char *const rounded[] = {"v.blk.0.attn_q.weight", "v.blk.1.ffn_up.weight",
                                          "v.blk.1.ffn_down.weight", "mm.0.weight", "mm.2.weight"};
    made_folder folder = llava_files_write(&f->files[0]);
    for (size_t i = 0; i < PPH_COUNT(types); i++) {
        pair p = make_pair();
        pph_gguf file = {0};
        pph_gguf_value value;
        must_convert(f, folder.path, &p, types[i].wish);
        assert_int_equal(pph_gguf_open(&file, p.picture, NULL), PPH_OK);
        for (size_t k = 0; k < PPH_COUNT(plain); k++)
            assert_int_equal(type_of(&file, plain[k]), PPH_F32);
        for (size_t k = 0; k < PPH_COUNT(rounded); k++)
            assert_int_equal(type_of(&file, rounded[k]), types[i].own);
        assert_int_equal(pph_gguf_find_tensor(&file, "v.patch_embd.weight")->rank, 4);
        assert_null(pph_gguf_find_tensor(&file, "v.blk.2.ln1.weight")); /* the third is not run */
        assert_true(pph_str_equal(pph_gguf_text(&file, "general.architecture"), PPH_STR("clip")));
        assert_true(pph_str_equal(pph_gguf_text(&file, "clip.projector_type"), PPH_STR("mlp")));
        assert_int_equal(pph_gguf_find(&file, "clip.has_vision_encoder")->whole, 1);
        assert_int_equal(pph_gguf_find(&file, "clip.use_gelu")->whole, 0);
        assert_int_equal(pph_gguf_find(&file, "clip.vision.block_count")->whole, 2);
        assert_int_equal(pph_gguf_find(&file, "clip.vision.projection_dim")->whole, 64);
        assert_int_equal(pph_gguf_find(&file, "general.file_type")->whole, types[i].file_type);
        pph_gguf_cursor layer =
            pph_gguf_elements(pph_gguf_find(&file, "clip.vision.feature_layer"));
        assert_true(pph_gguf_next(&layer, &value) && value.integer == 2);
        assert_false(pph_gguf_next(&layer, &value));
        pph_gguf_cursor mean = pph_gguf_elements(pph_gguf_find(&file, "clip.vision.image_mean"));
        assert_true(pph_gguf_next(&mean, &value));
        assert_float_equal((float)value.number, 0.48145466F, 1e-7);
        pph_gguf_close(&file);
        remove_folder(&p.folder);
    }
    remove_folder(&folder);
}

/* ---- what is refused, and what goes wrong ---- */

static void refused(const fixture *f, const char *from, pph_status status, const char *words)
{
    pair p = make_pair();
    pph_error err = {0};
    pph_status got = convert(f, from, &p, PPH_F16, &err);
    if (got != status || !strstr(err.message, words))
        fail_msg("%s: %s", pph_status_name(got), err.message);
    assert_int_equal(files_in(&p.folder), 0);
    remove_folder(&p.folder);
}

/* Would be wrong: a part that says something else than the folder. The language model is written all the same where
 * no part is asked for. */
static void what_a_part_cannot_say_is_refused(void **state)
{
    const fixture *f = *state;
    pair p = make_pair();
    bool sees = false;
    made_folder folder = llava_files_write(&f->files[1]);
    refused(f, folder.path, PPH_UNSUPPORTED, "class token");
    refused(f, folder.path, PPH_UNSUPPORTED, "--no-projector");
    pph_convert_options alone = {.type = PPH_F16, .team = f->team};
    pph_converted made;
    assert_int_equal(pph_convert(folder.path, p.text, &alone, &made, NULL), PPH_OK);
    assert_int_equal(files_in(&p.folder), 1);
    assert_int_equal(pph_convert_sees(&sees, folder.path, NULL), PPH_OK);
    assert_true(sees);
    assert_int_equal(pph_convert_sees(&sees, p.text, NULL), PPH_OK);
    assert_false(sees);
    refused(f, p.text, PPH_UNSUPPORTED, "GGUF");
    remove_folder(&folder);
    remove_folder(&p.folder);

    folder = llava_files_write(&f->files[0]);
    put_text(&folder, "preprocessor_config.json",
             "{\"crop_size\":42,\"size\":42,\"rescale_factor\":0.5}");
    refused(f, folder.path, PPH_UNSUPPORTED, "normalised");
    put_text(&folder, "preprocessor_config.json", "{\"crop_size\":24,\"size\":42}");
    refused(f, folder.path, PPH_CORRUPT, "42 by 42");
    remove_folder(&folder);

    static llava_files less;
    less = f->files[0];
    for (size_t i = 0; i < less.tensor_count; i++)
        if (strstr(less.tensors[i].name, "layers.1.mlp.fc2.bias"))
            less.tensors[i].name[0] = 'x';
    folder = llava_files_write(&less);
    refused(f, folder.path, PPH_NOT_FOUND, "layers.1.mlp.fc2.bias");
    remove_folder(&folder);
}

static void files_that_cannot_be_written_leave_none(void **state)
{
    const fixture *f = *state;
    made_folder folder = llava_files_write(&f->files[0]);
    pair p = make_pair(), q = p;
    pph_error err = {0};
    snprintf(q.picture, sizeof q.picture, "%s", q.text);
    assert_int_equal(convert(f, folder.path, &q, PPH_F16, &err), PPH_INVALID_ARGUMENT);
    snprintf(q.picture, sizeof q.picture, "%s/none/mmproj.gguf", p.folder.path);
    assert_int_equal(convert(f, folder.path, &q, PPH_F16, &err), PPH_NOT_FOUND);
    q = p;
    snprintf(q.text, sizeof q.text, "%s/none/out.gguf", p.folder.path);
    assert_int_equal(convert(f, folder.path, &q, PPH_F16, &err), PPH_NOT_FOUND);
    assert_int_equal(files_in(&p.folder), 0);
    remove_folder(&folder);
    remove_folder(&p.folder);
}

/* No file may be as large as either: as on a disk that is full. What was there stays. */
static void a_full_disk_leaves_what_was_there(void **state)
{
    const fixture *f = *state;
    made_folder folder = llava_files_write(&f->files[0]);
    pair p = make_pair();
    struct rlimit old, less;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    put_text(&p.folder, "mmproj-out.gguf", "old");
    for (rlim_t limit = 1; limit < 200000; limit = 4 * limit) {
        pph_error err = {0};
        less = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
        pph_status status = convert(f, folder.path, &p, PPH_F32, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_true(status != PPH_OK && strstr(err.message, ".gguf"));
        assert_int_equal(files_in(&p.folder), 1);
    }
    pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(p.picture, &bytes, NULL), PPH_OK);
    assert_int_equal(bytes.size, 3);
    pph_buffer_deinit(&bytes);
    signal(SIGXFSZ, before);
    remove_folder(&folder);
    remove_folder(&p.folder);
}

static bool stop_late(void *context, uint64_t done, uint64_t total)
{
    uint64_t *most = context;
    *most = done;
    return done < total / 2;
}

static void a_conversion_that_is_stopped_leaves_nothing(void **state)
{
    const fixture *f = *state;
    made_folder folder = llava_files_write(&f->files[0]);
    pair p = make_pair();
    uint64_t most = 0;
    pph_converted made;
    pph_convert_options options = {.type = PPH_F32,
                                   .team = f->team,
                                   .projector = p.picture,
                                   .progress = stop_late,
                                   .context = &most};
    assert_int_equal(pph_convert(folder.path, p.text, &options, &made, NULL), PPH_CANCELLED);
    assert_true(most > 0);
    assert_int_equal(files_in(&p.folder), 0);
    remove_folder(&folder);
    remove_folder(&p.folder);
}

/* A file that says which layer's rows are taken is believed, and one that names none of its own is not. */
static void the_layer_that_is_named_counts(void **state)
{
    const fixture *f = *state;
    static const struct {
        uint32_t layers[2];
        uint64_t count;
        pph_status status;
    } cases[] = {{{2, 0}, 1, PPH_OK},
                 {{1, 0}, 1, PPH_OK},
                 {{3, 0}, 1, PPH_CORRUPT},
                 {{0, 0}, 1, PPH_CORRUPT},
                 {{0xFFFFFFFF, 0}, 1, PPH_CORRUPT},
                 {{0, 0}, 0, PPH_CORRUPT},
                 {{1, 2}, 2, PPH_UNSUPPORTED}};
    made_folder folder = llava_files_write(&f->files[0]);
    pair p = make_pair();
    must_convert(f, folder.path, &p, PPH_F32);
    pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(p.picture, &bytes, NULL), PPH_OK);
    static const char key[] = "clip.vision.feature_layer";
    uint8_t *at = memmem(bytes.data, bytes.size, key, strlen(key));
    assert_non_null(at);
    size_t pairs = (size_t)(at - bytes.data) - 8;
    size_t value = pairs + 8 + strlen(key), end = value + 4 + 4 + 8 + 4;
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_buffer made = {0};
        pph_llava_vision *vision = NULL;
        pph_error err = {0};
        assert_int_equal(pph_buffer_append(&made, bytes.data, value + 8, NULL), PPH_OK);
        gguf_number(&made, cases[i].count, 8);
        for (size_t k = 0; k < cases[i].count; k++)
            gguf_number(&made, cases[i].layers[k], 4);
        /* What follows is as long as it was in multiples of the alignment: a key fills the gap. */
        size_t missing = 64 + 4 - 4 * (size_t)cases[i].count;
        gguf_string(&made, "x");
        gguf_number(&made, 8, 4);
        gguf_number(&made, missing - 21, 8);
        for (size_t k = 21; k < missing; k++)
            gguf_number(&made, 'x', 1);
        assert_int_equal(pph_buffer_append(&made, bytes.data + end, bytes.size - end, NULL),
                         PPH_OK);
        made.data[16]++; /* the number of keys */
        assert_int_equal(pph_file_write(p.picture, made.data, made.size, NULL), PPH_OK);
        const pph_llava_vision_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
        pph_status status = pph_llava_vision_open(&vision, p.picture, &options, &err);
        if (status != cases[i].status)
            fail_msg("%zu: %s", i, err.message);
        pph_llava_vision_close(&vision);
        if (i == 0)
            answer(f, 0, &p);
        pph_buffer_deinit(&made);
    }
    pph_buffer_deinit(&bytes);
    remove_folder(&folder);
    remove_folder(&p.folder);
}

#ifdef PPH_FAULTS
static void no_memory_leaves_nothing(void **state)
{
    const fixture *f = *state;
    made_folder folder = llava_files_write(&f->files[2]); /* its projector's biases are made */
    pair p = make_pair();
    for (uint64_t nth = 1;; nth += 1 + nth / 30) {
        pph_mem_fail_at(nth, false);
        pph_status status = convert(f, folder.path, &p, PPH_F16, NULL);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            assert_true(asked < nth && nth > 60);
            break;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_int_equal(files_in(&p.folder), 0);
    }
    remove_folder(&folder);
    remove_folder(&p.folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_the_model),
        cmocka_unit_test(the_part_is_as_llama_cpp_reads_it),
        cmocka_unit_test(what_a_part_cannot_say_is_refused),
        cmocka_unit_test(files_that_cannot_be_written_leave_none),
        cmocka_unit_test(a_full_disk_leaves_what_was_there),
        cmocka_unit_test(a_conversion_that_is_stopped_leaves_nothing),
        cmocka_unit_test(the_layer_that_is_named_counts),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_leaves_nothing),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
