/* The paraphym command: finds the command's row and runs it. */
#include "cli/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const pph_command commands[] = {
    {"embed", "[options] [--text T]... [IMAGE|URL|data:...|-]...",
     "pictures and texts to vectors, one JSON line each", pph_embed_run},
    {"similarity", "[options] {--text T | IMAGE} {--text T | IMAGE}...",
     "the cosine of two inputs, or a table of more", pph_similarity_run},
    {"rerank", "[options] QUERY DOCUMENT...|-", "documents by how well they answer a query",
     pph_rerank_run},
    {"ask", "[options] {IMAGE|URL|-}... QUESTION", "answer a question about pictures", pph_ask_run},
    {"generate", "[options] PROMPT|-", "go on with a text", pph_generate_run},
    {"memory", "ACTION [options] ...",
     "remember, find and keep: add, search, list, show, update, ...", pph_memory_run},
    {"index", "[options] FOLDER", "remember a folder's pictures: what is new or has changed",
     pph_index_run},
    {"search", "[options] QUERY|IMAGE", "what is remembered, by a text or a picture",
     pph_search_run},
    {"tokenize", "[options] TEXT|-...", "texts to tokens, a line each", pph_tokenize_run},
    {"inspect", "[options] [MODEL]", "what is in a model", pph_inspect_run},
    {"convert", "[options] MODEL OUT.gguf", "a language model to a GGUF file, a LLaVA to two",
     pph_convert_run},
    {"chat", "[options]", "talk with a model that remembers", pph_chat_run},
    {"config", "[options]", "what is set, and where each value comes from", pph_config_run},
    {"models", "[options] [MODEL]...", "the models on this machine, a line each", pph_models_run},
    {"pull", "[options] MODEL[:FILE]", "fetch a model from the hub, or go on with it",
     pph_pull_run},
    {"bench", "embed|vision|generate [options]", "how fast a model runs here", pph_bench_run},
};

static void print_usage(FILE *out)
{
    fprintf(out, "Usage: paraphym COMMAND [options] ...\n\nCommands:\n");
    for (size_t i = 0; i < PPH_COUNT(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'paraphym COMMAND --help' explains a command; 'paraphym --version' says which "
                 "this is.\n");
}

/* Descriptors 0 to 2 that came closed are filled, each in the way that makes using it fail: what is opened
 * later must not be taken for them. */
static bool fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!fill_descriptors())
        return PPH_EXIT_FAILED;
    if (argc < 2) {
        print_usage(stderr);
        return PPH_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return pph_command_finish(PPH_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("paraphym %s\n", PPH_VERSION);
        return pph_command_finish(PPH_EXIT_OK);
    }
    for (size_t i = 0; i < PPH_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(&commands[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "paraphym: there is no command '");
    pph_command_show(stderr, pph_str_view(argv[1]), 0);
    fprintf(stderr, "'\n");
    print_usage(stderr);
    return PPH_EXIT_USAGE;
}
