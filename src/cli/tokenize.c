/* paraphym tokenize: texts to tokens, a line each. */
#include "cli/command.h"
#include "cli/input.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/gguf_tokenizer.h"
#include <inttypes.h>
#include <stdio.h>

static pph_status take_text(void *context, const char *option, const char *value, pph_error *err)
{
    (void)option;
    return pph_cli_inputs_add_text(context, value, err);
}

static pph_status write_json(pph_buffer *line, const pph_tokenizer *tokenizer, pph_str text,
                             const pph_tokens *tokens, pph_error *err)
{
    PPH_TRY(pph_buffer_append(line, "{\"text\":", 8, err));
    PPH_TRY(pph_json_write_string(line, text, err));
    PPH_TRY(pph_buffer_append(line, ",\"ids\":[", 8, err));
    for (size_t i = 0; i < tokens->count; i++)
        PPH_TRY(pph_buffer_print(line, err, "%s%" PRId32, i ? "," : "", tokens->ids[i]));
    PPH_TRY(pph_buffer_append(line, "],\"tokens\":[", 12, err));
    for (size_t i = 0; i < tokens->count; i++) {
        if (i)
            PPH_TRY(pph_buffer_append(line, ",", 1, err));
        PPH_TRY(pph_json_write_string(line, pph_tokenizer_token(tokenizer, tokens->ids[i]), err));
    }
    return pph_buffer_append(line, "]}\n", 3, err);
}

static pph_status write_plain(pph_buffer *line, const pph_tokens *tokens, pph_error *err)
{
    for (size_t i = 0; i < tokens->count; i++)
        PPH_TRY(pph_buffer_print(line, err, "%s%" PRId32, i ? " " : "", tokens->ids[i]));
    return pph_buffer_append(line, "\n", 1, err);
}

static pph_status print_text(const pph_common *common, const pph_tokenizer *tokenizer,
                             const pph_tokenizer_options *options, const pph_cli_input *input,
                             pph_error *err)
{
    pph_input view = pph_cli_input_view(input);
    pph_str text = {view.data, view.size};
    PPH_AUTO(pph_tokens_deinit) pph_tokens tokens = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_tokenizer_encode(tokenizer, text, options, &tokens, err));
    if (common->json)
        PPH_TRY(write_json(&line, tokenizer, text, &tokens, err));
    else
        PPH_TRY(write_plain(&line, &tokens, err));
    return pph_command_write(&line, err);
}

/* What is ready is written before there is a wait. */
static pph_status next_text(pph_cli_inputs *inputs, pph_cli_input *out, pph_cli_step *step,
                            pph_error *err)
{
    PPH_TRY(pph_cli_inputs_next(inputs, false, out, step, err));
    if (*step != PPH_CLI_LATER)
        return PPH_OK;
    PPH_TRY(pph_command_flush(err));
    return pph_cli_inputs_next(inputs, true, out, step, err);
}

int pph_tokenize_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs inputs = {0};
    bool bare = false, parse = false;
    const pph_option own[] = {
        {"no-special", 0, PPH_OPTION_FLAG, &bare, 0, 0, NULL, "leave the special tokens out"},
        {"parse-special", 0, PPH_OPTION_FLAG, &parse, 0, 0, NULL,
         "take special tokens that stand in the text for what they say"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_text, &inputs);
    if (leave >= 0)
        return leave;
    if (!inputs.count)
        return pph_command_usage(self, "nothing to tokenize: give texts, or '-'");
    pph_error error;
    PPH_AUTO(pph_free_at) char *model = NULL;
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *tokenizer = NULL;
    if (pph_command_model(&common, &model, &error) != PPH_OK ||
        pph_model_tokenizer_open(&tokenizer, model, &error) != PPH_OK)
        return pph_command_failed(&error);
    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.bare = bare;
    options.parse_special = parse;
    int status = PPH_EXIT_OK;
    for (;;) {
        PPH_AUTO(pph_cli_input_deinit) pph_cli_input input = {0};
        pph_cli_step step;
        if (next_text(&inputs, &input, &step, &error) != PPH_OK)
            return pph_command_failed(&error);
        if (step == PPH_CLI_END)
            return pph_command_finish(status);
        if (print_text(&common, tokenizer, &options, &input, &error) != PPH_OK)
            status = pph_command_failed(&error);
        if (ferror(stdout))
            return status;
    }
}
