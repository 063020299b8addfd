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

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
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
    made = list(dict.fromkeys(HAND + [random_text(rng) for _ in range(count)]))
    return made


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


FAMILIES = {f.__name__: f for f in (bert_uncased, bert_cased)}


def golden(made, list_of_texts):
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = True
    plain = [made.encode(t).ids for t in list_of_texts]
    decoded = [made.decode(ids, skip_special_tokens=True) for ids in plain]
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
