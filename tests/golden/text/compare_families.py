#!/usr/bin/env python3
"""Compares the command with Hugging Face's tokenizers on ten thousand awkward texts a family.

    compare_families.py make DIR FIXTURES    where the tokenizers library is: writes DIR/FAMILY/, a
                                             tokenizer.json (or a link to a GGUF) and what it gives
    compare_families.py check DIR PARAPHYM FIXTURES   where the command is: asks it and compares

The families are those of make_families.py; beside them real vocabularies, when FIXTURES has them:
MiniLM's tokenizer.json, and the byte-level BPE of llama.cpp's GGUF vocabularies, which the library is
given as merges, and the command as the GGUF file itself."""
import json
import pathlib
import random
import subprocess
import sys

TEXTS = 10100 # of which those that a command line cannot hold are left out
BATCH = 400


def all_texts():
    from make_clip import HAND, WORDS, random_text
    rng = random.Random(99)
    glue = ["", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u200d", "\u0301", "\ufe0f", ".", "'", "0"]

    def awkward():
        kind = rng.randrange(8)
        if kind < 5:
            return random_text(rng)
        if kind == 5:
            return "".join(rng.choice(HAND) + rng.choice(glue) for _ in range(rng.randrange(2, 5)))
        if kind == 6:
            return "".join(rng.choice(WORDS) + rng.choice(glue) for _ in range(rng.randrange(1, 20)))
        return rng.choice([*"aA 1!e\n\t", "\u4e2d", "\U0001f600", "\u0301", "\r\n"]) * rng.randrange(1, 400)
    made = dict.fromkeys(HAND)
    while len(made) < TEXTS:
        made[awkward()] = None
    # A command line holds no zero byte, and means standard input by a lone '-'.
    return [t for t in made if "\0" not in t and t != "-"]


def gguf_family(path):
    from gguf import GGUFReader
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from make_families import GPT2, split
    reader = GGUFReader(path)
    fields = {k: f.contents() for k, f in reader.fields.items() if k.startswith("tokenizer.ggml.")}
    if fields["tokenizer.ggml.model"] != "gpt2":
        return None
    cuts = {"gpt-2": [GPT2], "starcoder": [r"\p{N}", GPT2],
            "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
            "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+",
                               "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}"]}
    vocab = {t: i for i, t in enumerate(fields["tokenizer.ggml.tokens"])}
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence([*map(split, cuts[fields["tokenizer.ggml.pre"]]),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    for token, i in vocab.items():
        if kinds[i] in (3, 4):
            (made.add_special_tokens if kinds[i] == 3 else made.add_tokens)(
                [AddedToken(token, special=kinds[i] == 3, normalized=False)])
    return made


def make(folder, fixtures):
    from tokenizers import Tokenizer
    from make_families import FAMILIES
    texts = all_texts()
    (folder / "texts.json").write_text(json.dumps(texts))
    made = {name: (make_one(), None) for name, make_one in FAMILIES.items()}
    minilm = Tokenizer.from_file(str(fixtures / "minilm/tokenizer.json"))
    made["minilm"] = (minilm, None)
    for path in sorted((fixtures / "llama.cpp").glob("*.gguf")):
        one = gguf_family(path)
        if one:
            made[path.stem] = (one, path.name)
    for name, (tokenizer, source) in made.items():
        (folder / name).mkdir(exist_ok=True)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if not source:
            tokenizer.save(str(folder / name / "tokenizer.json"))
        body = json.loads(tokenizer.to_str())
        specials = [t["content"] for t in body["added_tokens"] if body["model"]["type"] == "Unigram"]
        result = {}
        for parse in (False, True):
            tokenizer.encode_special_tokens = not parse
            result["parsed" if parse else "plain"] = [
                None if not parse and any(s in t for s in specials) else
                tokenizer.encode(t, add_special_tokens=not source).ids for t in texts]
        result["gguf"] = source
        (folder / name / "expected.json").write_text(json.dumps(result))
        print("made", name, flush=True)


def ask(command, texts):
    ids = []
    for at in range(0, len(texts), BATCH):
        done = subprocess.run([*command, "--", *texts[at:at + BATCH]], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        ids += [[int(i) for i in line.split()] for line in done.stdout.split("\n")[:-1]]
    return ids


def check(folder, paraphym, fixtures):
    texts = json.loads((folder / "texts.json").read_text())
    wrong = 0
    for path in sorted(folder.glob("*/expected.json")):
        expected = json.loads(path.read_text())
        model = fixtures / "llama.cpp" / expected["gguf"] if expected["gguf"] else path.parent / "tokenizer.json"
        for kind, flags in (("plain", []), ("parsed", ["--parse-special"])):
            flags = flags + (["--no-special"] if expected["gguf"] else [])
            got = ask([paraphym, "tokenize", "-m", str(model), *flags], texts)
            bad = [i for i, ids in enumerate(expected[kind]) if ids is not None and ids != got[i]]
            compared = sum(ids is not None for ids in expected[kind])
            print(f"{path.parent.name:24} {kind:6} {compared} texts, {len(bad)} differ")
            for i in bad[:3]:
                print(f"   {texts[i]!r}\n      theirs {expected[kind][i][:40]}\n      ours   {got[i][:40]}")
            wrong += len(bad)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    mode, folder, other = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    if mode == "make":
        make(folder, pathlib.Path(other))
    else:
        check(folder, other, pathlib.Path(sys.argv[4]))
