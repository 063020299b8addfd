/* paraphym convert: a language model to a GGUF file, a LLaVA to a pair of them. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "compute/team.h"
#include "model/convert.h"
#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { INTERRUPTED = 130, LOOK = 200000000 };

/* projector, blind  what was asked for;  part  the picture part's file, NULL: none is written */
typedef struct convert_work {
    const char *words[2];
    size_t count;
    const char *type, *projector;
    bool blind;
    pph_common common;

    char *model, *part;
    pph_team *team;
    pph_interrupt interrupt;
    pph_nanos shown;
    pph_progress progress;
} convert_work;

static void convert_deinit(convert_work *work)
{
    pph_team_free(&work->team);
    pph_free(work->model);
    pph_free(work->part);
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    convert_work *work = context;
    (void)option;
    if (work->count == PPH_COUNT(work->words))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%s' is one word too many", value);
    work->words[work->count++] = value;
    return PPH_OK;
}

static pph_status parse_type(const char *name, pph_dtype *out, pph_error *err)
{
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_BF16, PPH_Q8_0, PPH_Q4_0};
    for (size_t i = 0; i < PPH_COUNT(types); i++)
        if (strcasecmp(name, pph_dtype_name(types[i])) == 0) {
            *out = types[i];
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                    "--type takes f32, f16, bf16, q8_0 or q4_0, not '%s'", name);
}

static bool show(void *context, uint64_t done, uint64_t total)
{
    convert_work *work = context;
    char whole[16];
    pph_nanos now = pph_clock_now();
    if (now - work->shown >= LOOK) {
        pph_progress_draw(&work->progress, (double)done / (double)PPH_MAX(total, (uint64_t)1),
                          "of %s", pph_progress_bytes((double)total, whole));
        work->shown = now;
    }
    return !atomic_load(&work->interrupt.came);
}

static pph_status report(const convert_work *work, const pph_converted *made, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    if (!made->vocabulary)
        fprintf(stderr, "paraphym: the model has no tokenizer; the file has none either\n");
    if (work->common.json) {
        PPH_TRY(pph_buffer_print(&line, err, "{\"file\":"));
        PPH_TRY(pph_json_write_string(&line, pph_str_view(work->words[1]), err));
        if (work->part) {
            PPH_TRY(pph_buffer_print(&line, err, ",\"projector\":"));
            PPH_TRY(pph_json_write_string(&line, pph_str_view(work->part), err));
        }
        PPH_TRY(pph_buffer_print(&line, err, ",\"tensors\":%zu,\"bytes\":%" PRIu64 "}\n",
                                 made->tensors, made->bytes));
    } else {
        PPH_TRY(pph_buffer_print(
            &line, err, "%zu tensors, %.1f MB%s%s\n", made->tensors, (double)made->bytes / 1e6,
            work->part ? "; the picture part is " : "", work->part ? work->part : ""));
    }
    return pph_command_write(&line, err);
}

/* Beside OUT, mmproj- before its name, unless a file is named or none is wanted. */
static pph_status name_part(convert_work *work, pph_error *err)
{
    bool sees = false;
    if (work->blind)
        return PPH_OK;
    PPH_TRY(pph_convert_sees(&sees, work->model, err));
    if (!sees && work->projector)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%.300s: has no picture part to write: it is no LLaVA's folder",
                        work->model);
    if (!sees)
        return PPH_OK;
    const char *out = work->words[1], *name = pph_path_name(out);
    work->part = work->projector ? pph_str_copy(pph_str_view(work->projector))
                                 : pph_str_format("%.*smmproj-%s", (int)(name - out), out, name);
    return work->part ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(out) + 8);
}

static pph_status run(convert_work *work, pph_dtype type, pph_error *err)
{
    pph_converted made = {0};
    work->common.model = work->words[0];
    PPH_TRY(pph_command_named_model(&work->common, &work->model, err));
    PPH_TRY(name_part(work, err));
    PPH_TRY(pph_team_new(&work->team, (int)work->common.threads, err));
    pph_convert_options options = {.type = type,
                                   .projector = work->part,
                                   .team = work->team,
                                   .progress = show,
                                   .context = work};
    pph_progress_init(&work->progress);
    pph_interrupt_init(&work->interrupt, NULL);
    pph_status status = pph_convert(work->model, work->words[1], &options, &made, err);
    pph_progress_clear(&work->progress);
    return status == PPH_OK ? report(work, &made, err) : status;
}

int pph_convert_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(convert_deinit) convert_work work = {.type = "f16"};
    const pph_option own[] = {{"type", 0, PPH_OPTION_TEXT, &work.type, 0, 0, "T",
                               "of the matrices: f32, f16, bf16, q8_0 or q4_0 (f16)"},
                              {"projector", 0, PPH_OPTION_TEXT, &work.projector, 0, 0, "FILE",
                               "a LLaVA's picture part (OUT with mmproj- before its name)"},
                              {"no-projector", 0, PPH_OPTION_FLAG, &work.blind, 0, 0, NULL,
                               "a LLaVA's language model alone"},
                              {0}};
    pph_dtype type = PPH_F16;
    pph_error error = {0};
    int leave = pph_command_parse(&work.common, self, own, argc, argv, take_word, &work);
    if (leave >= 0)
        return leave;
    if (parse_type(work.type, &type, &error) != PPH_OK)
        return pph_command_usage(self, "%s", error.message);
    if (work.count < PPH_COUNT(work.words) || !*work.words[0] || !*work.words[1])
        return pph_command_usage(self, "a model and a file to write are wanted");
    if (work.common.model)
        return pph_command_usage(self, "the model is the first word here, not -m");
    if (work.projector && (work.blind || !*work.projector))
        return pph_command_usage(self, "--projector needs a file, and no --no-projector");
    pph_status status = run(&work, type, &error);
    if (pph_interrupt_deinit(&work.interrupt) && status == PPH_CANCELLED) {
        fputc('\n', stderr);
        return INTERRUPTED;
    }
    if (status != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}
