"""The held-out score by kind: is the whole answer of greedy generation, and its end, the right one?

Every object of every picture, and every remembered fact, is a combination that training never met.
The folder's f16 weights are run by transformers in f32. Beside a kind stands, as "about any", what
one gets who answers about any object of the scene, or from any line, instead of the one meant.

`--questions FILE` writes the questions as JSON lines, with the answers of transformers, and the
pictures beside it; answer.py has a program answer them; `--answers FILE` compares what it said.

Usage: score.py [--model FOLDER] [--each 600] [--seed 2000] [--questions FILE] [--answers FILE]
"""
import world  # first
import argparse
import collections
import json
import pathlib

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

import memories
import questions
import scenes
from reference import Recipe

torch.set_num_threads(1)
NEEDED = {"colour": 95, "shape": 95, "count": 95, "presence": 95, "place": 90, "relation": 90,
          "memory": 95, "does not know": 90, "judge": 95}


class Reference:
    def __init__(self, folder):
        self.model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32).eval()
        self.recipe = Recipe.from_pretrained(folder)
        self.tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
        self.image = self.tokenizer.token_to_id("<image>")
        self.end = self.tokenizer.token_to_id("</s>")
        self.patches = self.model.config.image_seq_length

    def given(self, prompt, picture, more=()):
        ids = []
        for i in self.tokenizer.encode(prompt).ids:
            ids += [i] * (self.patches if i == self.image else 1)
        given = {"input_ids": torch.tensor([ids + list(more)])}
        if picture is not None:
            given["pixel_values"] = self.recipe(images=[picture], return_tensors="pt")[
                "pixel_values"]
        return given

    @torch.no_grad()
    def says(self, prompt, picture, answer):
        """Is this what greedy generation writes? It is when each token of it is the most probable
        one behind those before it."""
        wanted = self.tokenizer.encode(" " + answer, add_special_tokens=False).ids + [self.end]
        out = self.model(**self.given(prompt, picture, wanted[:-1]), use_cache=False,
                         logits_to_keep=len(wanted))
        return out.logits[0].argmax(-1).tolist() == wanted

    @torch.no_grad()
    def answer(self, prompt, picture=None, limit=64):
        """(text, ids) of greedy generation with a KV cache, without the end token."""
        given = self.given(prompt, picture)
        made = []
        cache = None
        while len(made) < limit:
            out = self.model(**given, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            made.append(int(out.logits[0, -1].argmax()))
            if made[-1] == self.end:
                break
            given = {"input_ids": torch.tensor([made[-1:]])}
        if made and made[-1] == self.end:
            made.pop()
        return self.tokenizer.decode(made).strip(), made


def picture_prompt(question):
    return f"USER: <image>\n{question} ASSISTANT:"


def about_pictures(rng, each):
    """[(kind, prompt, picture, answer, answer about any object or None)]"""
    found = []
    for kind in questions.KINDS:
        want = len(found) + each
        while len(found) < want:
            scene = questions.random_scene(rng, held=True)
            asked = questions.about(rng, scene, True, kind)
            if asked is None:
                continue
            side = (64, 128, 224, 256)[int(rng.integers(4))]
            picture = scenes.draw(rng, scene, side, 2, held=True)
            found.append((kind, picture_prompt(asked[0]), picture, asked[1],
                          guess(rng, scene, kind)))
    return found


def guess(rng, scene, kind):
    """What one answers who sees the scene, but takes any of its objects for the one meant."""
    obj = questions.choose(rng, scene)
    return {"colour": scenes.COLOURS[obj[1]], "shape": scenes.SHAPES[obj[0]],
            "size": scenes.SIZES[obj[2]], "place": questions.PLACE[obj[3]]}.get(kind)


def about_memories(rng, each):
    found = []
    for made_up in (False, True):
        name = "memory, words never met" if made_up else "memory"
        want = len(found) + each
        while len(found) < want:
            text, known, _ = memories.block(rng, True, share=1.0 if made_up else memories.MADE_UP)
            if made_up:
                known = [k for k in known if memories.holds_made_up(k[1])]
            if known:
                q, a, _ = known[int(rng.integers(len(known)))]
                found.append((name, f"USER: {text}\n{q} ASSISTANT:", None, a,
                              known[int(rng.integers(len(known)))][1]))
    for _ in range(each):
        text, _, unknown = memories.block(rng, True)
        q = unknown[int(rng.integers(len(unknown)))]
        found.append(("does not know", f"USER: {text}\n{q} ASSISTANT:", None, memories.UNKNOWN,
                      None))
    for _ in range(each):
        facts, _ = memories.some_facts(rng, True, int(rng.integers(1, 4)))
        turns = "".join(f" {f[0]} ASSISTANT: {memories.NOTED} USER:" for f in facts)
        q, a = questions.choose(rng, questions.choose(rng, facts)[2])
        found.append(("memory, told before", f"USER:{turns} {q} ASSISTANT:", None, a, None))
    for _ in range(each):
        said, noted = memories.told(rng, True)
        found.append(("a fact is noted", f"USER: {said} ASSISTANT:", None, noted, None))
    return found


def judge_order(model, rng, each):
    """Pairs of texts from different grades: how often, in 100, the better one is rated higher."""
    marks = collections.defaultdict(list)
    for grade in memories.GRADES:
        for _ in range(each):
            prompt, _, _ = memories.judged(rng, True, grade)
            said, _ = model.answer(f"USER: {prompt} ASSISTANT:")
            try:
                marks[grade].append(float(said))
            except ValueError:
                marks[grade].append(None)
    right, pairs, strange = 0, 0, sum(m is None for ms in marks.values() for m in ms)
    for better, worse in (("high", "middle"), ("high", "low"), ("middle", "low")):
        for a, b in zip(marks[better], marks[worse]):
            pairs += 1
            right += a is not None and b is not None and a > b
    return 100 * right / pairs, pairs, strange


def compare(model, asked, path):
    """The answers in `path`, one JSON string a line, against those of transformers."""
    said = [json.loads(line) for line in path.read_text().splitlines()]
    equal = 0
    for (kind, prompt, picture, _, _), theirs in zip(asked, said, strict=True):
        ours = model.answer(prompt, picture)[0]
        equal += ours == theirs.strip()
        if ours != theirs.strip():
            print(f"{kind}: {prompt!r}: transformers {ours!r}, the other {theirs.strip()!r}")
    print(f"{equal} of {len(said)} equal")
    return 0 if equal >= 0.99 * len(said) else 1


def write_questions(model, asked, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as out:
        for i, (kind, prompt, picture, answer, _) in enumerate(asked):
            line = {"kind": kind, "prompt": prompt, "right": answer,
                    "transformers": model.answer(prompt, picture)[0]}
            if picture is not None:
                line["picture"] = f"{path.stem}-{i:03}.png"
                picture.save(path.parent / line["picture"])
            line["question"] = prompt[len("USER: <image>\n" if picture is not None else "USER: "):
                                      -len(" ASSISTANT:")]
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def main(given):
    model = Reference(given.model)
    rng = np.random.default_rng(given.seed)
    asked = about_pictures(rng, given.each) + about_memories(rng, given.each)
    if given.questions:
        write_questions(model, asked, given.questions)
        return 0
    if given.answers:
        return compare(model, asked, given.answers)
    right, chance, n = (collections.Counter() for _ in range(3))
    good, wrong = True, []
    for kind, prompt, picture, answer, other in asked:
        good_answer = model.says(prompt, picture, answer)
        n[kind] += 1
        right[kind] += good_answer
        chance[kind] += other == answer
        if given.wrong and not good_answer:
            wrong.append((kind, prompt.splitlines()[-1], answer, model.answer(prompt, picture)[0]))
    for kind in n:
        score = 100 * right[kind] / n[kind]
        need = NEEDED.get(kind, 0)
        good &= score >= need
        print(f"{kind:24} {score:5.1f}"
              + (f"   about any {100 * chance[kind] / n[kind]:5.1f}" if chance[kind] else "")
              + (f"   needed {need}" if need else ""), flush=True)
    order, pairs, strange = judge_order(model, rng, given.each)
    good &= order >= NEEDED["judge"]
    print(f"{'judge, order of pairs':24} {order:5.1f}   of {pairs} pairs, {strange} answers that "
          f"are no decimal   needed {NEEDED['judge']}")
    if given.wrong:
        for line in wrong:
            print(*line, sep=" | ")
    return 0 if good else 1


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--model", type=pathlib.Path, default=world.HERE)
    arguments.add_argument("--each", type=int, default=600)
    arguments.add_argument("--seed", type=int, default=2000)
    arguments.add_argument("--questions", type=pathlib.Path)
    arguments.add_argument("--answers", type=pathlib.Path)
    arguments.add_argument("--wrong", action="store_true", help="list the wrong answers")
    raise SystemExit(main(arguments.parse_args()))
