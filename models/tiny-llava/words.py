"""The model's tokenizer: byte-level BPE whose merges make every word of its world one token.

Ids: <s>, </s>, <pad>, <image>, 256 bytes, one token a merge. Every byte has a token, so every text
has ids. `<s>` stands before each text.
"""
import world  # first
import collections
import json
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import memories
import questions
import scenes
import tokenizer as clip_tokenizer

SPECIAL = ("<s>", "</s>", "<pad>", "<image>")
START, END, PAD, IMAGE = range(4)
FIRST_WORD = len(SPECIAL) + 256
CONTEXT = 1024
# LLaVA-1.5's form of a conversation: pictures first, a line each, then the words.
CHAT = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}"
    "{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
# The words of the templates, split at blanks; those of the lists are added below.
TEMPLATES = """USER ASSISTANT Relevant Context from Memory Relevance
What Which Where Who How Is Count Do Can Does Describe In When Am what which where who how is count
do can does describe in when colour color shape size place big large small the of a an does have
that has there are many do you see picture image show shows this anything nothing yes no none one
two three shapes things objects thing object and at on or to left right above below over under
top bottom centre middle corner lives live likes like my My I is called named name favourite put
did know not will remember am city Rate quality clarity relevance completeness text only decimal
User Assistant works work code Picture Remember Please remember Note welcome You Thank Thanks Hello
Hi very model Someone something Something somewhere There It nice They it in Maybe some He day Somebody She We
things The with The"""


def world_words():
    """Each as it stands in a text: with the blank before it, or without at a line's start."""
    lists = (scenes.SHAPES, scenes.COLOURS, scenes.SIZES, questions.PLURALS, memories.NAMES,
             memories.ITEMS, memories.ROOMS, memories.KIN, memories.CITIES, memories.FOODS, memories.PETS,
             memories.EVENTS, memories.DAYS, memories.FILES,
             *scenes.SHAPE_WORDS, *scenes.COLOUR_WORDS, *scenes.SIZE_WORDS)
    found = {" " + w for words in lists for w in words}
    found |= {" " + w for w in TEMPLATES.split()}
    found |= {w for w in TEMPLATES.split() if w[0].isupper() or w in "what which where who how is "
              "do can count does describe when in png jpg".split()}
    found |= {"png", "jpg", "Relevance", " 0", " 1"}
    return sorted(w for word in found for w in [word.replace(" ", "\u0120")])


def learn_merges(words):
    """Byte-pair merges, commonest pair first (ties by spelling), until each word is one token."""
    split = {w: tuple(w) for w in words}
    merges = []
    while True:
        pairs = collections.Counter(p for parts in split.values() for p in zip(parts, parts[1:]))
        if not pairs:
            return merges
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word, parts in split.items():
            out = []
            for part in parts:
                if out and (out[-1], part) == best:
                    out[-1] += part
                else:
                    out.append(part)
            split[word] = tuple(out)


def build():
    merges = learn_merges(world_words())
    tokens = [*SPECIAL, *clip_tokenizer.byte_alphabet()]
    for a, b in merges:
        if a + b not in tokens:
            tokens.append(a + b)
    vocab = {t: i for i, t in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", START)])
    return made


def save(folder):
    made = build()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT,
         "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "image_token": "<image>",
         "clean_up_tokenization_spaces": False, "chat_template": CHAT}, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}, indent=2) + "\n")
    return made


if __name__ == "__main__":
    print(build().get_vocab_size(), "tokens,", len(world_words()), "words")
