/* paraphym ask: answers a question about pictures, as it is written. */
#include "cli/answering.h"
#include "cli/input.h"

#include "base/mem.h"
#include <string.h>

enum { PICTURES = 256 };

/* part      the file that projector means
 * inputs    the words, of which the last is the question and leaves them
 * question  what was read for "-" */
typedef struct ask_work {
    const char *form, *projector, *question, *quantize;
    long max_tokens, seed;
    float temperature;
    pph_common common;
    pph_cli_inputs inputs;
    pph_input *pictures;
    char *part;
    pph_buffer read;
    pph_answering answering;
} ask_work;

static void ask_deinit(ask_work *work)
{
    pph_answering_close(&work->answering);
    pph_cli_inputs_deinit(&work->inputs);
    pph_free(work->pictures);
    pph_free(work->part);
    pph_buffer_deinit(&work->read);
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    ask_work *work = context;
    (void)option;
    return pph_cli_inputs_add(&work->inputs, value, err);
}

/* The last word is the question. */
static pph_status take_question(ask_work *work, pph_error *err)
{
    work->question = work->inputs.items[--work->inputs.count].word;
    if (strcmp(work->question, "-") == 0)
        PPH_TRY(pph_answering_read_stdin(&work->read, &work->question, err));
    return PPH_OK;
}

/* The others are pictures, and nothing else. */
static pph_status take_pictures(ask_work *work, pph_error *err)
{
    pph_cli_inputs *inputs = &work->inputs;
    PPH_TRY(pph_cli_inputs_read(inputs, PICTURES, err));
    work->pictures = pph_alloc_array(inputs->count, sizeof *work->pictures);
    if (!work->pictures)
        return PPH_FAIL_MEMORY(err, inputs->count * sizeof *work->pictures);
    for (size_t i = 0; i < inputs->count; i++) {
        const pph_cli_input *input = &inputs->items[i];
        work->pictures[i] = pph_cli_input_view(input);
        if (input->kind == PPH_INPUT_TEXT)
            return PPH_FAIL(err, PPH_NOT_FOUND,
                            "'%.200s' is no picture: there is no such file, and it is no address; "
                            "the question is the last word, in quotes",
                            input->word);
    }
    return PPH_OK;
}

static pph_status run(ask_work *work, pph_error *err)
{
    pph_answering *answering = &work->answering;
    pph_generation_options service = pph_generation_defaults();
    service.chat_template = work->form;
    PPH_TRY(pph_command_projector(work->projector, &work->part, err));
    service.projector = work->part;
    PPH_TRY(pph_quantize_parse(work->quantize, &service.quantize, err));
    PPH_TRY(take_question(work, err));
    PPH_TRY(take_pictures(work, err));
    PPH_TRY(pph_answering_open(answering, &work->common, &service, err));
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = work->temperature;
    options.sampling.seed = work->seed;
    options.max_tokens = (size_t)work->max_tokens;
    answering->future =
        pph_generation_ask(answering->generation, work->pictures, work->inputs.count,
                           work->question, &options, work->common.json ? NULL : &answering->stream);
    PPH_TRY(pph_answering_await(answering, err));
    if (!work->common.json)
        return PPH_OK;
    return pph_answering_print_json(pph_future_value(answering->future), err);
}

int pph_ask_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(ask_deinit)
    ask_work work = {.quantize = "none", .max_tokens = 512, .seed = -1, .temperature = 0.2F};
    const pph_option own[] = {
        {"projector", 0, PPH_OPTION_TEXT, &work.projector, 0, 0, "FILE",
         "a GGUF model's picture part (the mmproj file beside it)"},
        {"temperature", 't', PPH_OPTION_NUMBER, &work.temperature, 0, 0, "T",
         "0: always the most probable token (0.2)"},
        {"max-tokens", 0, PPH_OPTION_INTEGER, &work.max_tokens, 0, 1 << 24, "N",
         "tokens to write at most (512)"},
        {"seed", 0, PPH_OPTION_INTEGER, &work.seed, 0, 1L << 53, "S",
         "the same one gives the same text"},
        {"template", 0, PPH_OPTION_TEXT, &work.form, 0, 0, "FORM",
         "of conversations, where the model's own is not known"},
        {"quantize", 0, PPH_OPTION_TEXT, &work.quantize, 0, 0, "T",
         "matrices of plain numbers to q8_0 or q4_0 as they are loaded (none)"},
        {0}};
    int leave = pph_command_parse(&work.common, self, own, argc, argv, take_word, &work);
    if (leave >= 0)
        return leave;
    if (work.inputs.count < 2)
        return pph_command_usage(self, "give a picture and, behind it, a question");
    pph_error error = {0};
    pph_status status = run(&work, &error);
    return pph_answering_finish(&work.answering, status, &error);
}
