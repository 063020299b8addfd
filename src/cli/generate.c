/* paraphym generate: goes on with a text, or answers in a conversation, as it is written. */
#include "cli/answering.h"

#include "base/mem.h"
#include <string.h>

enum { STOPS = 16 };

typedef struct generate_work {
    const char *prompt, *system, *form, *quantize;
    bool chat, no_cache, parse_special;
    const char *stops[STOPS];
    size_t stop_count;
    long max_tokens, seed, top_logits, top_k, repeat_last;
    pph_sampling sampling;
    pph_common common;

    pph_buffer input; /* what was read for "-" */
    pph_answering answering;
} generate_work;

static void generate_deinit(generate_work *work)
{
    pph_answering_close(&work->answering);
    pph_buffer_deinit(&work->input);
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    generate_work *work = context;
    if (option && work->stop_count == STOPS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "more than %d stop strings", STOPS);
    if (option) {
        work->stops[work->stop_count++] = value;
        return PPH_OK;
    }
    if (work->prompt)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%s' is one word too many: put the prompt in quotes", value);
    work->prompt = value;
    return PPH_OK;
}

static void begin(generate_work *work)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling = work->sampling;
    options.sampling.top_k = (int)work->top_k;
    options.sampling.repeat_last = (int)work->repeat_last;
    options.sampling.seed = work->seed;
    options.max_tokens = (size_t)work->max_tokens;
    options.stops = work->stops;
    options.stop_count = work->stop_count;
    options.top_logits = (size_t)work->top_logits;
    options.no_cache = work->no_cache;
    options.parse_special = work->parse_special;
    pph_answering *to = &work->answering;
    pph_stream **stream = work->common.json ? NULL : &to->stream;
    if (work->chat) {
        const pph_message messages[] = {{.role = PPH_ROLE_SYSTEM, .text = work->system},
                                        {.role = PPH_ROLE_USER, .text = work->prompt}};
        size_t skip = work->system == NULL;
        to->future =
            pph_generation_chat(to->generation, messages + skip, 2 - skip, &options, stream);
    } else {
        to->future = pph_generation_generate(to->generation, work->prompt, &options, stream);
    }
}

static pph_status print_top_logits(const pph_generated *value, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer lines = {0};
    for (size_t i = 0; i < value->top_logit_count; i++)
        PPH_TRY(pph_buffer_print(&lines, err, "%8d %12.5f\n", value->top_logits[i].id,
                                 (double)value->top_logits[i].value));
    return lines.size ? pph_command_write(&lines, err) : PPH_OK;
}

static pph_status run(generate_work *work, pph_error *err)
{
    pph_answering *answering = &work->answering;
    pph_generation_options service = pph_generation_defaults();
    service.chat_template = work->form;
    PPH_TRY(pph_quantize_parse(work->quantize, &service.quantize, err));
    if (strcmp(work->prompt, "-") == 0)
        PPH_TRY(pph_answering_read_stdin(&work->input, &work->prompt, err));
    PPH_TRY(pph_answering_open(answering, &work->common, &service, err));
    begin(work);
    PPH_TRY(pph_answering_await(answering, err));
    const pph_generated *value = pph_future_value(answering->future);
    return work->common.json ? pph_answering_print_json(value, err) : print_top_logits(value, err);
}

static int parse(generate_work *work, const pph_command *self, int argc, char **argv)
{
    pph_sampling *s = &work->sampling;
    const pph_option own[] = {
        {"temperature", 't', PPH_OPTION_NUMBER, &s->temperature, 0, 0, "T",
         "0: always the most probable token (0.8)"},
        {"max-tokens", 0, PPH_OPTION_INTEGER, &work->max_tokens, 0, 1 << 24, "N",
         "tokens to write at most (512)"},
        {"seed", 0, PPH_OPTION_INTEGER, &work->seed, 0, 1L << 53, "S",
         "the same one gives the same text"},
        {"top-k", 0, PPH_OPTION_INTEGER, &work->top_k, 0, 1 << 24, "K",
         "of the K most probable tokens; 0: of all (40)"},
        {"top-p", 0, PPH_OPTION_NUMBER, &s->top_p, 0, 0, "P",
         "of the most probable ones with this share (0.95)"},
        {"min-p", 0, PPH_OPTION_NUMBER, &s->min_p, 0, 0, "P",
         "none below this share of the most probable one (0)"},
        {"repeat-penalty", 0, PPH_OPTION_NUMBER, &s->repetition_penalty, 0, 0, "R",
         "against tokens that stand there already (1)"},
        {"repeat-last", 0, PPH_OPTION_INTEGER, &work->repeat_last, -1, 1 << 24, "N",
         "among the last N tokens; -1: all (64)"},
        {"frequency-penalty", 0, PPH_OPTION_NUMBER, &s->frequency_penalty, 0, 0, "F",
         "for every time that a token was written (0)"},
        {"presence-penalty", 0, PPH_OPTION_NUMBER, &s->presence_penalty, 0, 0, "F",
         "once for tokens that were written (0)"},
        {"stop", 0, PPH_OPTION_INPUT, NULL, 0, 0, "S", "end before this text; may be repeated"},
        {"top-logits", 0, PPH_OPTION_INTEGER, &work->top_logits, 0, 1000, "K",
         "tell the K highest logits behind the prompt"},
        {"no-kv-cache", 0, PPH_OPTION_FLAG, &work->no_cache, 0, 0, NULL,
         "compute everything again for every token"},
        {"parse-special", 0, PPH_OPTION_FLAG, &work->parse_special, 0, 0, NULL,
         "special tokens spelled in the prompt count as such"},
        {"chat", 0, PPH_OPTION_FLAG, &work->chat, 0, 0, NULL,
         "the prompt is what a user says: answer it"},
        {"system", 0, PPH_OPTION_TEXT, &work->system, 0, 0, "TEXT",
         "what the system says first; implies --chat"},
        {"template", 0, PPH_OPTION_TEXT, &work->form, 0, 0, "FORM",
         "of conversations, where the model's own is not known; implies --chat"},
        {"quantize", 0, PPH_OPTION_TEXT, &work->quantize, 0, 0, "T",
         "matrices of plain numbers to q8_0 or q4_0 as they are loaded (none)"},
        {0}};
    return pph_command_parse(&work->common, self, own, argc, argv, take_word, work);
}

int pph_generate_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(generate_deinit)
    generate_work work = {.quantize = "none",
                          .max_tokens = 512,
                          .seed = -1,
                          .top_k = pph_sampling_defaults().top_k,
                          .repeat_last = pph_sampling_defaults().repeat_last,
                          .sampling = pph_sampling_defaults()};
    int leave = parse(&work, self, argc, argv);
    if (leave >= 0)
        return leave;
    if (!work.prompt)
        return pph_command_usage(self, "there is nothing to go on with: give a prompt, or '-'");
    work.chat |= work.system || work.form;
    pph_error error = {0};
    pph_status status = run(&work, &error);
    return pph_answering_finish(&work.answering, status, &error);
}
