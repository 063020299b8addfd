/* paraphym memory judge: what is pending before a committee, now. */
#include "cli/interrupt.h"
#include "cli/memory_command.h"

#include "base/mem.h"
#include <math.h>
#include <paraphym/cognition.h>
#include <string.h>

enum { MODELS = 4, PERSONAS = 4, INTERRUPTED = 130, NAME_MAX_BYTES = 64 };

/* Who judges where nobody is named: one model as three persons. */
static const char *const usual_personas[] = {
    "editor=You are an editor. You value short, plain sentences that say one thing. Answer with a "
    "decimal only.",
    "archivist=You are an archivist. You value facts with names, places and times. Answer with a "
    "decimal only.",
    "reader=You are a reader who was not there. You value what can be understood alone. Answer "
    "with a decimal "
    "only."};

typedef struct judging {
    pph_memory_work work;
    const char *models[MODELS], *personas[PERSONAS];
    size_t model_count, persona_count;
    bool plain;
    long quorum, timeout_s;
    const char *form;
    char *folders[MODELS];
    pph_generation *generations[MODELS];
    char names[MODELS * PERSONAS][NAME_MAX_BYTES + 1];
    pph_judge judges[MODELS * PERSONAS];
    size_t judge_count;
    pph_cognition *cognition;
    pph_future *future;
    pph_interrupt interrupt;
} judging;

static void judging_free(judging **at)
{
    judging *self = *at;
    pph_future_cancel(self->future);
    pph_future_free(&self->future);
    pph_interrupt_deinit(&self->interrupt);
    pph_cognition_close(&self->cognition);
    /* The memory's embedders may still be asked: it goes after the committee, before the pool. */
    for (size_t i = 0; i < MODELS; i++) {
        pph_generation_close(&self->generations[i]);
        pph_free(self->folders[i]);
    }
    pph_memory_work_deinit(&self->work);
    pph_free(PPH_TAKE(*at));
}

static pph_status take_member(void *context, const char *option, const char *value, pph_error *err)
{
    judging *self = context;
    const char *equals = strchr(value, '=');
    if (!option)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%s' is one word too many", value);
    if (strcmp(option, "judge") == 0) {
        if (self->model_count == MODELS || !*value)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--judge takes 1 to %d models", MODELS);
        self->models[self->model_count++] = value;
        return PPH_OK;
    }
    if (self->persona_count == PERSONAS || !equals || equals == value || !equals[1] ||
        equals - value > 32)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "--persona takes NAME=TEXT with a name of at most 32 bytes, up to %d times",
                        PERSONAS);
    self->personas[self->persona_count++] = value;
    return PPH_OK;
}

/* ---- what is told ---- */

static void print_plain(const pph_evaluation *one)
{
    char id[PPH_MEMORY_ID_TEXT];
    printf("%s  %-7s", pph_memory_id_print(one->id, id), pph_memory_status_name(one->status));
    if (one->status == PPH_MEMORY_SUCCESS)
        printf("  %.2f  agreement %.2f ", one->quality, one->agreement);
    for (size_t i = 0; i < one->judge_count; i++) {
        const pph_judgement *by = &one->judgements[i];
        printf("%s%s ", i ? ", " : " ", by->name);
        if (isnan(by->score))
            pph_command_show(stdout, pph_str_view(by->error.message), 60);
        else
            printf("%.2f", by->score);
    }
    if (one->relations)
        printf("  (%zu related)", one->relations);
    putchar('\n');
}

static pph_status print_json(const pph_evaluation *one, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{"));
    PPH_TRY(pph_memory_write_evaluation(&line, one, err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"relations\":%zu}\n", one->relations));
    return pph_command_write(&line, err);
}

static void told(void *context, const pph_evaluation *evaluation)
{
    judging *self = context;
    pph_error error;
    if (!self->work.common.json)
        print_plain(evaluation);
    else if (print_json(evaluation, &error) != PPH_OK)
        (void)pph_command_failed(&error);
    if (pph_command_flush(&error) != PPH_OK)
        return; /* told once at the end */
}

/* ---- the committee ---- */

static pph_status open_models(judging *self, pph_error *err)
{
    size_t count = self->model_count ? self->model_count : 1;
    for (size_t i = 0; i < count; i++) {
        pph_common named = self->work.common;
        named.model = self->model_count ? self->models[i] : named.model;
        /* The built-in model can be nobody but itself. */
        if (!pph_command_asked_for(&named) && !self->persona_count)
            self->plain = true;
        PPH_TRY(pph_command_language_model(&named, &self->folders[i], err));
        pph_generation_options service = pph_generation_defaults();
        service.precision = named.precision;
        service.priority = PPH_PRIORITY_BATCH;
        service.chat_template = self->form;
        PPH_TRY(pph_generation_open(&self->generations[i], self->work.store.session.pool,
                                    self->folders[i], &service, err));
    }
    self->model_count = count;
    return PPH_OK;
}

/* Every model as every person. */
static void fill_judges(judging *self)
{
    bool usual = !self->persona_count && !self->plain;
    size_t personas = usual ? PPH_COUNT(usual_personas) : self->persona_count;
    for (size_t m = 0; m < self->model_count; m++)
        for (size_t p = 0; p < PPH_MAX(personas, (size_t)1); p++) {
            char *name = self->names[self->judge_count];
            const char *persona = usual ? usual_personas[p] : personas ? self->personas[p] : NULL;
            const char *text = persona ? strchr(persona, '=') + 1 : NULL;
            char model[24] = "";
            if (self->model_count > 1)
                snprintf(model, sizeof model, "%zu", m + 1);
            snprintf(name, NAME_MAX_BYTES + 1, "%.*s%s", persona ? (int)(text - 1 - persona) : 5,
                     persona ? persona : "judge", model);
            self->judges[self->judge_count++] = pph_judge_of(self->generations[m], name, text);
        }
}

static pph_status judge(judging *self, pph_error *err)
{
    PPH_TRY(pph_memory_work_open(&self->work, err));
    PPH_TRY(open_models(self, err));
    fill_judges(self);
    pph_cognition_options options = pph_cognition_defaults();
    options.judges = self->judges;
    options.judge_count = self->judge_count;
    options.quorum = (size_t)self->quorum;
    options.call_ms = self->timeout_s * 1000;
    options.upkeep_ms = -1;
    options.told = told;
    options.context = self;
    PPH_TRY(pph_cognition_open(&self->cognition, self->work.store.memory, &options, err));
    self->future = pph_cognition_run(self->cognition);
    pph_interrupt_init(&self->interrupt, self->future);
    return pph_block_on(self->future, err);
}

int pph_memory_judge_run(const pph_command *command, int argc, char **argv)
{
    pph_error error = {0};
    PPH_AUTO(judging_free) judging *self = pph_alloc(sizeof *self);
    if (!self)
        return pph_command_failed((PPH_FAIL_MEMORY(&error, sizeof *self), &error));
    self->work.self = command;
    self->work.model_answers = true;
    self->timeout_s = 10;
    const pph_option own[] = {
        {"judge", 0, PPH_OPTION_INPUT, NULL, 0, 0, "MODEL",
         "a language model that judges, in place of -m; may be repeated"},
        {"persona", 0, PPH_OPTION_INPUT, NULL, 0, 0, "NAME=TEXT",
         "who a judge is told to be; may be repeated (editor, archivist and reader)"},
        {"plain", 0, PPH_OPTION_FLAG, &self->plain, 0, 0, NULL,
         "models as they are, as nobody; so the built-in one"},
        {"quorum", 0, PPH_OPTION_INTEGER, &self->quorum, 1, MODELS * PERSONAS, "N",
         "judges that must have scored (more than half)"},
        {"timeout", 0, PPH_OPTION_INTEGER, &self->timeout_s, 1, 3600, "S", "seconds a call (10)"},
        {"template", 0, PPH_OPTION_TEXT, &self->form, 0, 0, "FORM",
         "of conversations, where the model's own is not known"},
        {0}};
    int leave = pph_memory_parse(&self->work, own, argc, argv, take_member, self);
    if (leave >= 0)
        return leave;
    if (self->plain && self->persona_count)
        return pph_command_usage(command, "--plain and --persona exclude each other");
    pph_status status = judge(self, &error);
    if (pph_interrupt_deinit(&self->interrupt)) {
        pph_command_finish(PPH_EXIT_OK);
        fputc('\n', stderr);
        return INTERRUPTED;
    }
    if (status != PPH_OK)
        return pph_command_failed(&error);
    pph_cognition_tally tally = *(const pph_cognition_tally *)pph_future_value(self->future);
    if (!self->work.common.json)
        printf("%llu judged, %llu failed, %llu relations\n",
               (unsigned long long)(tally.succeeded + tally.failed),
               (unsigned long long)tally.failed, (unsigned long long)tally.relations);
    return pph_command_finish(tally.failed ? PPH_EXIT_FAILED : PPH_EXIT_OK);
}
