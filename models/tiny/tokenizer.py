"""The model's tokenizer: CLIP's byte-level BPE with a vocabulary of its own.

Ids: 256 bytes, the same 256 as the end of a word (`</w>`), one token a merge, start of text, end
of text (the highest id). Every byte has a token, so every text has ids. The merges are learnt from
the words of the captions until each word is one token.
"""
import collections
import json
import pathlib
import sys

import numpy as np
from tokenizers import (Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors)

import scenes

START, END = "<|startoftext|>", "<|endoftext|>"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
POSITIONS = 64


def byte_alphabet():
    """The 256 visible characters that stand for bytes: printable Latin-1 first, then the rest."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def learn_merges(words):
    """Byte-pair merges, commonest pair first (ties by spelling), until each word is one token."""
    split = {w: (*w[:-1], w[-1] + "</w>") for w in words}
    merges = []
    while True:
        pairs = collections.Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word, parts in split.items():
            out = []
            for part in parts:
                if out and (out[-1], part) == best:
                    out[-1] = out[-1] + part
                else:
                    out.append(part)
            split[word] = tuple(out)


def build(seed=7, captions=20000):
    rng = np.random.default_rng(seed)
    words = collections.Counter()
    for _ in range(captions):
        text, _ = scenes.caption(rng, scenes.random_scene(rng, held=False))
        words.update(w for w in text.lower().replace(",", " ").replace(".", " ").split())
    merges = learn_merges(words)
    alphabet = byte_alphabet()
    tokens = alphabet + [c + "</w>" for c in alphabet] + [a + b for a, b in merges] + [START, END]
    vocab = {t: i for i, t in enumerate(tokens)}
    assert len(vocab) == len(tokens)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token=END,
                                     continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START, END])
    # By position: releases of `tokenizers` differ in what they call the second argument.
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocab[END]), (START, vocab[START]), trim_offsets=False, add_prefix_space=False)
    return tokenizer, vocab, merges


def save(folder):
    folder = pathlib.Path(folder)
    tokenizer, vocab, merges = build()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {**special, "add_prefix_space": False, "do_lower_case": True, "errors": "replace",
         "model_max_length": POSITIONS, "tokenizer_class": "CLIPTokenizer"}, indent=2) + "\n")
    return tokenizer


if __name__ == "__main__":
    saved = save(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    print(saved.get_vocab_size(), "tokens")
