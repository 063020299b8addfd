#!/usr/bin/env python3
"""Makes small tokenizers of the great families, and the goldens that they are held to, with Hugging
Face's tokenizers.

    make_families.py OUT [FAMILY...]

OUT  written: texts.json (the texts), and for each family FAMILY.tokenizer.json (a vocabulary trained
     here on these texts and sentences of our own, with the family's true steps) and FAMILY.json (what
     it gives for the texts: ids without and with special tokens parsed, texts decoded again, pairs)

Seeds are fixed. compare_families.py takes the same families for a larger comparison."""
import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

from make_clip import HAND, random_text

PAIRS = 40
LIMIT = 24


def corpus():
    rng = random.Random(11)
    nouns = ["circle", "house", "river", "Zürich", "naïveté", "tokenizer", "mountain", "café", "señor"]
    verbs = ["sees", "doesn't see", "reads", "wrote", "will've read", "unlocks", "re-reads"]
    more = ["中文分词很难。", "日本語のテスト", "Привет, мир!", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "한국어 문장",
            "for (int i = 0; i < 10; i++) {\n\tprintf(\"%d\\n\", i);\n}", "x = [1, 22, 333, 4444]", "🙂🙃 👩‍🚀"]
    lines = [f"The {rng.choice(nouns)} {rng.choice(verbs)} a {rng.choice(nouns)}, and {rng.randrange(5000)}!"
             for _ in range(1500)]
    return lines + more * 20


def texts(count):
    rng = random.Random(5)
    marks = "a<s>b</s> c [CLS] x [SEP]<mask> <unk> <|im_start|>user<|im_end|> <extra_id_0> <tool_call> <|eot_id|>  z"
    return list(dict.fromkeys(HAND + [marks, "  <mask>  x<mask>"] + [random_text(rng) for _ in range(count)]))


def specials(*names, **how):
    return [AddedToken(n, special=True, normalized=False, **how) for n in names]


def wordpiece(lower, pair_processor):
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(corpus(), trainers.WordPieceTrainer(
        vocab_size=700, special_tokens=specials(*names), show_progress=False))
    made.add_special_tokens([AddedToken("[MASK]", special=True, normalized=False, lstrip=True)])
    made.post_processor = pair_processor(made)
    return made


def bert_template(made):
    return processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(n, made.token_to_id(n)) for n in ("[CLS]", "[SEP]")])


def bert_uncased():
    return wordpiece(True, bert_template)


def bert_cased():
    return wordpiece(False, lambda made: processors.BertProcessing(
        ("[SEP]", made.token_to_id("[SEP]")), ("[CLS]", made.token_to_id("[CLS]"))))


# ---- byte-level BPE ----

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated"):
    return pre_tokenizers.Split(Regex(pattern), behavior=behavior)


def byte_bpe(pre, *names, size=560, normalizer=None, post=None, **how):
    made = Tokenizer(models.BPE(**how))
    if normalizer:
        made.normalizer = normalizer
    made.pre_tokenizer = pre
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials(*names), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if how.get("ignore_merges"):
        made.add_tokens([])
    made.post_processor = post(made) if post else processors.ByteLevel(trim_offsets=False)
    return made


def level(**how):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **how)


def gpt2():
    return byte_bpe(level(), "<|endoftext|>")


def roberta():
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made = byte_bpe(level(), *names, post=lambda made: processors.RobertaProcessing(
        ("</s>", made.token_to_id("</s>")), ("<s>", made.token_to_id("<s>"))))
    made.add_special_tokens([AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    return made


def llama3():
    def post(made):
        return processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|>:0 $A:0 <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", made.token_to_id("<|begin_of_text|>"))])])
    made = byte_bpe(pre_tokenizers.Sequence([split(LLAMA3), level(use_regex=False)]),
                    "<|begin_of_text|>", "<|eot_id|>", ignore_merges=True, post=post)
    # Tokens that no merge makes, which are found because merges are ignored for whole pieces.
    body = json.loads(made.to_str())
    for word in ("\u0120tokens", "\u0120caf\u00c3\u00a9", "12"):
        body["model"]["vocab"].setdefault(word, max(body["model"]["vocab"].values()) + 1)
    return Tokenizer.from_str(json.dumps(body))


def gpt4o():
    return byte_bpe(pre_tokenizers.Sequence([split(GPT4O), level(use_regex=False)]), "<|endoftext|>")


def qwen2():
    made = byte_bpe(pre_tokenizers.Sequence([split(QWEN2), level(use_regex=False)]),
                    "<|endoftext|>", "<|im_start|>", "<|im_end|>", normalizer=normalizers.NFC())
    made.add_tokens([AddedToken("<tool_call>", normalized=False)])
    return made


def deepseek():
    return byte_bpe(pre_tokenizers.Sequence([
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
        pre_tokenizers.Digits(individual_digits=True), level(use_regex=False)]), "<s>", "</s>")


def phi():
    made = byte_bpe(level(), "<|endoftext|>")
    made.add_tokens([AddedToken(" " * n) for n in range(8, 1, -1)] + [AddedToken("\t" * n) for n in (4, 3, 2)])
    return made


def starcoder():
    return byte_bpe(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level()]),
                    "<|endoftext|>", "<fim_prefix>")


def falcon():
    return byte_bpe(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), level(), pre_tokenizers.Digits(individual_digits=False),
        split("[0-9][0-9][0-9]")]), ">>TITLE<<", "<|endoftext|>")


# ---- SentencePiece's BPE ----

BYTES = [f"<0x{b:02X}>" for b in range(256)]


def piece_bpe(pre, normalizer, decoder, extra=()):
    """As the converters make it: trained on marked text, with all bytes in the vocabulary."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    made.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=900, special_tokens=specials("<unk>", "<s>", "</s>") + [AddedToken(b) for b in BYTES],
        show_progress=False, limit_alphabet=70))
    body = json.loads(made.to_str())
    body["added_tokens"] = body["added_tokens"][:3]
    made = Tokenizer.from_str(json.dumps(body))
    made.normalizer, made.pre_tokenizer = normalizer, pre
    made.decoder = decoder
    made.add_tokens(list(extra))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s>:0 $A:0 <s>:1 $B:1", special_tokens=[("<s>", made.token_to_id("<s>"))])
    return made


def back(*more):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *more])


def without(made, *keys):
    body = json.loads(made.to_str())
    for key in keys:
        body[key] = None
    return Tokenizer.from_str(json.dumps(body))


def llama2():
    steps = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    pre = pre_tokenizers.WhitespaceSplit()
    return without(piece_bpe(pre, steps, back(decoders.Strip(" ", 1, 0))), "pre_tokenizer")


def mistral():
    pre = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return without(piece_bpe(pre, normalizers.NFC(), back(decoders.Strip(" ", 1, 0))), "normalizer")


def gemma():
    pre = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    return piece_bpe(pre, normalizers.Replace(" ", "\u2581"), back(),
                     [AddedToken("\n\n", normalized=False), AddedToken("<table>", normalized=False)])


# ---- unigram ----

def charsmap(replacements):
    """SentencePiece's compiled table: the size of a double array, its units, the replacements."""
    texts, places = b"", {}
    for new in sorted(set(replacements.values())):
        places[new] = len(texts)
        texts += new.encode() + b"\0"
    keys = sorted((old.encode(), places[new]) for old, new in replacements.items())
    units, bases = {0: 0}, set()

    def place(at, label, depth, group):
        children = {}
        for key, value in group:
            children.setdefault(key[depth] if depth < len(key) else 0, []).append((key, value))
        base = 1
        while base in bases or any((base ^ c) in units for c in children):
            base += 1
        bases.add(base)
        units.update({base ^ c: 0 for c in children})
        units[at] = (base ^ at) << 10 | (1 << 8 if 0 in children else 0) | label
        for c, members in children.items():
            if c:
                place(base ^ c, c, depth + 1, members)
            else:
                units[base] = members[0][1] | 1 << 31

    place(0, 0, 0, keys)
    array = b"".join(units.get(i, 0).to_bytes(4, "little") for i in range((max(units) | 255) + 1))
    return len(array).to_bytes(4, "little") + array + texts


def nmt_like():
    table = {chr(c): unicodedata.normalize("NFKC", chr(c)) for r in (range(0xff01, 0xff5f), range(0xfb00, 0xfb07),
             range(0x2460, 0x2474), range(0x3300, 0x3310), range(0xb2, 0xba)) for c in r}
    table = {k: v for k, v in table.items() if k != v}
    table.update({chr(c): " " for c in (9, 10, 13, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, *range(0x2000, 0x200b))})
    table.update({chr(c): "" for c in (1, 2, 7, 0x1b, 0x7f, 0x200b, 0xad)})
    table.update({"e\u0301": "\u00e9", "a\u0300": "\u00e0", "\u1100\u1161": "\uac00", "\uff76\uff9e": "\u30ac"})
    return charsmap(table)


def unigram(steps, pre, names, unk, template, size=700):
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = steps, pre
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials(*names), unk_token=unk, show_progress=False))
    made.post_processor = processors.TemplateProcessing(
        single=template[0], pair=template[1],
        special_tokens=[(n, made.token_to_id(n)) for n in names if n in template[1]])
    return made


def t5():
    return unigram(normalizers.Sequence([normalizers.Precompiled(nmt_like())]),
                   pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
                   ["<pad>", "</s>", "<unk>", "<extra_id_0>"], "<unk>", ("$A </s>", "$A </s> $B </s>"))


def xlm_roberta():
    made = unigram(normalizers.Sequence([normalizers.Precompiled(nmt_like()), normalizers.Replace(Regex(" {2,}"), " ")]),
                   pre_tokenizers.Metaspace(), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>",
                   ("<s> $A </s>", "<s> $A </s> </s> $B </s>"))
    made.add_special_tokens([AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    return made


def albert():
    return unigram(normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("\'\'", '"'), normalizers.NFKD(),
        normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Precompiled(nmt_like())]),
        pre_tokenizers.Metaspace(), ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>",
        ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"))


# ---- the other steps ----

def words():
    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(corpus(), trainers.WordLevelTrainer(
        vocab_size=300, special_tokens=specials("<unk>"), show_progress=False))
    return made


def word_ends():
    made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    made.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(right=False)])
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.CharDelimiterSplit(" "),
        split(r"\d+", "contiguous"), pre_tokenizers.Split("e", "merged_with_next")])
    made.decoder = decoders.BPEDecoder()
    made.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials("<unk>"), end_of_word_suffix="</w>", show_progress=False,
        limit_alphabet=60))
    return made


FAMILIES = {f.__name__: f for f in (
    bert_uncased, bert_cased, gpt2, roberta, llama3, gpt4o, qwen2, deepseek, phi, starcoder, falcon,
    llama2, mistral, gemma, t5, xlm_roberta, albert, words, word_ends)}


def golden(made, list_of_texts):
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = True
    # Unigram would find special tokens in a text all the same; ours does not, so such a case is left out.
    body = json.loads(made.to_str())
    names = [t["content"] for t in body["added_tokens"]] if body["model"]["type"] == "Unigram" else []
    skipped = [any(n in t for n in names) for t in list_of_texts]
    plain = [None if skip else made.encode(t).ids for t, skip in zip(list_of_texts, skipped)]
    decoded = [made.decode(ids or [], skip_special_tokens=True) for ids in plain]
    both = [made.encode(a, b) for a, b in zip(list_of_texts[:PAIRS], reversed(list_of_texts[-PAIRS:]))]
    cut = []
    for strategy in ("longest_first", "only_second"):
        made.enable_truncation(LIMIT, strategy=strategy)
        for a, b in zip(list_of_texts[:PAIRS], reversed(list_of_texts[-PAIRS:])):
            try:
                e = made.encode(a, b)
                cut.append([e.ids, e.type_ids])
            except BaseException:
                cut.append(None)
    made.no_truncation()
    made.encode_special_tokens = False
    parsed = {str(i): ids for i, t in enumerate(list_of_texts) if (ids := made.encode(t).ids) != plain[i]}
    return {"ids": plain, "decoded": decoded, "parsed": parsed,
            "pairs": [[e.ids, e.type_ids] for e in both], "cut": cut}


def main():
    out = pathlib.Path(sys.argv[1])
    list_of_texts = texts(90)
    (out / "texts.json").write_text(json.dumps(list_of_texts) + "\n")
    for name in sys.argv[2:] or FAMILIES:
        made = FAMILIES[name]()
        made.save(str(out / f"{name}.tokenizer.json"), pretty=False)
        body = golden(made, list_of_texts)
        (out / f"{name}.json").write_text(json.dumps(body, separators=(",", ":")) + "\n")
        print(name, made.get_vocab_size(), "tokens,", len(list_of_texts), "texts")


if __name__ == "__main__":
    main()
