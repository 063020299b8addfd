#!/usr/bin/env python3
"""Makes the goldens of the CLIP tokenizer with Hugging Face's tokenizers.

    make_clip.py FIXTURES OUT

FIXTURES  a folder with clip/bpe_simple_vocab_16e6.txt.gz, OpenAI's merges
OUT       written: clip.json (texts and the ids that CLIP's own vocabulary gives them), small/ (a
          vocabulary trained here on text of our own, and small.json, the ids it gives)

Seeds are fixed. Special tokens inside a text are not parsed, unless the case says so."""
import gzip
import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
START, END = "<|startoftext|>", "<|endoftext|>"

HAND = [
    "", " ", "a", "A", "a photo of a cat", "A Photo of a CAT.", "  two  spaces  ", "\ttab\nnewline\r\n",
    "it's we'll they've I'm you're he'd can't", "IT'S WE'LL THEY'VE I'M YOU'RE HE'D CAN'T", "'s't're",
    "rock 'n' roll", "don''t", "''''", "'s", "' s", "o'clock's", "it\u2019s", "1234567890", "3.14159", "1,000,000",
    "v2.0-rc1", "x86_64", "a1b2c3", "\u00bd \u2153 \u00b2 \u2460 \u216b", "\u0663\u0664\u0665", "\uff11\uff12\uff13", "!!!", "?!?!", "...",
    "\u2026", "--- === ***", "@user #tag $5 50% a&b", "user@example.com", "https://example.com/a?b=c&d=%20",
    "<b>bold</b>", "<|startoftext|>", "<|endoftext|>", "a <|endoftext|> b", "<|STARTOFTEXT|> x",
    "<|endoftext|><|endoftext|>", "<|end of text|>", "</w>", "a</w>", "\u0120hello", "\u010a", "na\u00efve caf\u00e9",
    "nai\u0308ve cafe\u0301", "\u212b \u00c5 A\u030a", "\u1e9e\u00df STRASSE Stra\u00dfe", "\u0130stanbul \u0131 I i", "\u0130", "\u03a3\u03a3 \u039f\u0394\u039f\u03a3 \u03c3\u03c2",
    "\u039f\u0394\u039f\u03a3", "\u01c5 \u01c4 \u01c6", "\ufb01 \ufb02", "\u017f \u212a", "\u1f88 \u1fbc", "\u13a0 \uab70", "\u10a0 \u1c90 \u2d00",
    "\u00e0\u0301\u0316", "a\u0300\u0301\u0302\u0303", "\u0301", " \u0301a", "e\u0301\u0323 \u1eb9\u0301", "\u1100\u1161\u11a8 \uac01", "\ud55c\uad6d\uc5b4 \ub2e8\uc5b4",
    "\u4e2d\u6587\u6e2c\u8a66", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8", "\u304b\u3099 \u304c", "\uff76\uff9e", "\u3000\u5168\u89d2\u3000", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e33 \u0e4d\u0e32", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645", "\u202eabc\u202c", "\u200fabc\u200e", "\u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f600\U0001f600\U0001f600 ok",
    "\u00a0nbsp\u00a0", "a\u00a0b", "\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000", "a\u180eb", "a\u200bb", "a\u2060b", "a\ufeffb",
    "\ufeffbom", "a\u0085b", "a\u001cb\u001db\u001eb\u001fb", "\u0000", "a\u0000b", "\u0001\u0002\u0007\u001b[31m", "\u007f", "a\u00adb",
    "\ue000 \uf8ff", "\ufffd", "\ufffe\uffff", "\U0010ffff", "\U000e0001", "\ufdd0", "\U0001d400\U0001d7d8", "\U00010400\U00010428",
    "\u2126 \u03a9", "\u0958 \u0915\u093c", "\u2adc", "\u0344", "\u0374", "\u037e", "\u1fef", "\u2000", "\u2329", "\uf900\ufa10",
    "\U0002f800", "\U0001d15e", "snake_case CamelCase kebab-case", "_", "__init__", "a_b", "\\n \\u0041", "\"quoted\" `code`",
    "C++ C# F#", "\u00a9\u00ae\u2122 \u00a3\u20ac\u00a5", "\u221e\u2211\u222b \u2260 \u2264", "\u2190\u2191\u2192", "\u2588\u2593\u2592\u2591", "\u0f00\u0f0b", "\u1780\u17d2\u1780", "\u1000\u1039\u1000",
]
WORDS = ["the", "Red", "circle", "SQUARE", "it's", "don't", "caf\u00e9", "\u4e2d\u6587", "42", "3.5", "!!", "\U0001f600", "\u03a3", "\u0130",
         "big", "left-of", "photo", "don''t", "a\u0301", "\u0645\u0631\u062d\u0628\u0627", "\u00a0", "\t", "\n", "'ll", "n't", "_x_", "<|endoftext|>",
         "antidisestablishmentarianism", "\u0928\u092e\u0938\u094d\u0924\u0947", "\ud55c\uae00", "zzzzzz", "\u0301", "\u200d", "0", "$", "'"]
RANGES = [(0x0, 0x7f), (0x80, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0x10ff), (0x1100, 0x139f),
          (0x1e00, 0x1fff), (0x2000, 0x2bff), (0x3000, 0x30ff), (0x4e00, 0x4fff), (0xac00, 0xad00), (0xf900, 0xffff),
          (0x10000, 0x10fff), (0x1d400, 0x1d7ff), (0x1f300, 0x1faff)]


def stable(point):
    """Whether all Unicodes from 14 on, the oldest PCRE2 and utf8proc that we build on, agree."""
    newer = [(0x105c0, 0x105ff), (0x10d40, 0x10d8f), (0x10ec2, 0x10ec7), (0x10ed0, 0x10edf), (0x10efa, 0x10eff)]
    return (unicodedata.category(chr(point)) not in ("Cn", "Cs")
            and not any(low <= point <= high for low, high in newer))


def random_text(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(rng.choice(WORDS) + rng.choice(["", " ", "  "]) for _ in range(rng.randrange(1, 12)))
    if kind == 1:
        char = rng.choice(["a", "A", " ", "!", "'", "1", "\u00e9", "\u4e2d", "\U0001f600", "\u0301", "ab", "'s", "\u0130"])
        return char * rng.randrange(1, 120)
    low, high = rng.choice(RANGES)
    chars = []
    for _ in range(rng.randrange(1, 30)):
        if kind == 3:
            low, high = rng.choice(RANGES)
        point = rng.randrange(low, high + 1)
        chars.append(chr(point) if stable(point) else " ")
    return "".join(chars)


def clip_pipeline(tokenizer):
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, tokenizer.token_to_id(END)), (START, tokenizer.token_to_id(START)),
        trim_offsets=False, add_prefix_space=False)


def clip_files(fixtures):
    """OpenAI's merges as the vocabulary and merges of CLIP's vocab.json and merges.txt."""
    lines = gzip.open(fixtures / "clip/bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1:49152 - 256 - 2 + 1]]
    alphabet = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(b) for b in alphabet] + [chr(256 + i) for i in range(256 - len(alphabet))]
    tokens = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges] + [START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def clip_tokenizer(fixtures):
    vocab, merges = clip_files(fixtures)
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>", unk_token=END))
    made.add_special_tokens([AddedToken(START, special=True, normalized=False),
                             AddedToken(END, special=True, normalized=False)])
    clip_pipeline(made)
    return made


def small_tokenizer():
    """A few hundred tokens, from sentences made of our own words."""
    rng = random.Random(7)
    size, colour = ["big", "small", "tiny", "huge"], ["red", "green", "blue", "yellow", "white", "black"]
    shape, place = ["circle", "square", "triangle", "star", "ring"], ["left", "right", "top", "bottom", "middle"]
    lines = [f"a {rng.choice(size)} {rng.choice(colour)} {rng.choice(shape)} at the {rng.choice(place)}, "
             f"and it's not a {rng.choice(colour)} {rng.choice(shape)}; we'll see {rng.randrange(100)}"
             for _ in range(3000)]
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=640, special_tokens=[END], initial_alphabet=alphabet,
                                  end_of_word_suffix="</w>", min_frequency=2, show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(lines, trainer)
    # A vocabulary of CLIP's order: bytes, bytes that end a word, merges, the two special tokens.
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges]
    tokens = list(dict.fromkeys(alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges]))
    tokens += [START, END]
    vocab = {token: i for i, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>", unk_token=END))
    made.add_special_tokens([AddedToken(START, special=True, normalized=True),
                             AddedToken(END, special=True, normalized=False)])
    clip_pipeline(made)
    return made


def cases(tokenizer, texts):
    out = []
    for text in texts:
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text)
        # A zero byte, which JSON readers in C may refuse, is written in hex.
        case = {"hex": text.encode().hex()} if "\0" in text else {"text": text}
        case["ids"] = plain.ids
        decoded = tokenizer.decode(plain.ids, skip_special_tokens=True)
        if "\0" not in text:
            case["decoded"] = decoded.replace("</w>", " ").strip(" ")
        tokenizer.encode_special_tokens = False
        parsed = tokenizer.encode(text)
        if parsed.ids != plain.ids:
            case["parsed"] = parsed.ids
        out.append(case)
    return out


def write_cases(path, list_of_cases):
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in list_of_cases) + "\n]\n")


def main():
    fixtures, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    rng = random.Random(2)
    texts = list(dict.fromkeys(HAND + [random_text(rng) for _ in range(260)]))
    write_cases(out / "clip.json", cases(clip_tokenizer(fixtures), texts))
    small = small_tokenizer()
    (out / "small").mkdir(exist_ok=True)
    small.save(str(out / "small/tokenizer.json"), pretty=False)
    write_cases(out / "small.json", cases(small, texts))
    print(len(texts), "texts,", small.get_vocab_size(), "tokens in the small vocabulary")


if __name__ == "__main__":
    main()
