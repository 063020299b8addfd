/* The paraphym command: finds the command's row and runs it. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

static const pph_command commands[] = {
    {"embed", "[options] [--text T]... [IMAGE|URL|data:...|-]...",
     "pictures and texts to vectors, one JSON line each", pph_embed_run},
    {"similarity", "[options] {--text T | IMAGE} {--text T | IMAGE}...",
     "the cosine of two inputs, or a table of more", pph_similarity_run},
    {"tokenize", "[options] TEXT|-...", "texts to tokens, a line each", pph_tokenize_run},
    {"inspect", "[options] [MODEL]", "what is in a model", pph_inspect_run},
    {"bench", "embed [options]", "how fast a model runs here", pph_bench_run},
};

static void print_usage(FILE *out)
{
    fprintf(out, "Usage: paraphym COMMAND [options] ...\n\nCommands:\n");
    for (size_t i = 0; i < PPH_COUNT(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'paraphym COMMAND --help' explains a command; 'paraphym --version' says which "
                 "this is.\n");
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
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
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (wants_help(argc - 1, argv + 1))
            printf("Usage: paraphym %s %s\n\n%s.\n\n", commands[i].name, commands[i].usage,
                   commands[i].summary);
        return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "paraphym: there is no command '%s'\n", argv[1]);
    print_usage(stderr);
    return PPH_EXIT_USAGE;
}
