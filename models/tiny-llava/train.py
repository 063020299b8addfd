"""Trains the projector and the decoder of the built-in LLaVA on one CPU thread, from nothing.

The tower is the tiny CLIP's and stays as it is, so what it makes of each picture is computed once
and kept. A row of a batch is a prefix (a picture, a block of remembered lines, or only the start)
and as many questions about it as fit: each question sees the prefix and itself, not the others, and
counts its positions on from the prefix, so it reads as if it stood alone. Only answers are learnt.

The first steps have text alone: sequences that repeat, so that copying forms, remembered lines and
the judge. All along each projected patch also learns to say in the decoder's own words what lies on
it: shape, colour, size, row and column.

Usage: train.py [--work FOLDER] [--steps N]. It continues from the last checkpoint in FOLDER. Data
depend on (seed, step) alone, so a continued run sees what an unbroken one would. While the file
FOLDER/pause exists, it waits.
"""
import world  # first
import argparse
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPVisionModel

import decoder
import memories
import questions
import scenes
import words

clip_train = world.clip_script("train")

SEED = 41
PICTURES = 30000
LAYER = -2
PATCHES = 64
ROWS, LENGTH = 10, 256
STEPS, TEXT_STEPS = 6000, 100
# Shares of the rows by kind: picture, memory, judge, repeats.
TEXT_SHARES = (0.0, 0.5, 0.15, 0.35)
SHARES = (0.55, 0.25, 0.05, 0.15)
WEIGHTS = {"colour": 1.0, "shape": 1.0, "size": 0.7, "count": 0.8, "presence": 1.2, "place": 1.3,
           "relation": 1.6, "describe": 0.6}
SIDE = 0.3                   # weight of the patches' own loss
KEEP = 50                    # steps between checkpoints
RATES = {"muon": 0.006, "embed": 1.5e-3, "rest": 1.5e-3}


# --- pictures -----------------------------------------------------------------------------------

def make_pool(path):
    """(features f16 [N,64,128], objects, layouts) of the training pictures; made once, kept."""
    names = ("features", "objects", "where")
    if path.exists():
        with np.load(path) as kept:
            return tuple(kept[n] for n in names)
    rng = np.random.default_rng(SEED)
    tower = CLIPVisionModel.from_pretrained(world.CLIP, dtype=torch.float32).eval()
    features = np.zeros((PICTURES, PATCHES, decoder.SEEN), np.float16)
    objects = np.full((PICTURES, 3, 4), 99, np.int64)
    where = np.full((PICTURES, 3, 3), 99.0, np.float32)
    block = 100
    for start in range(0, PICTURES, block):
        drawn = np.zeros((block, clip_train.SIDE, clip_train.SIDE, 3), np.uint8)
        for i in range(block):
            scene = questions.random_scene(rng, held=False)
            place = scenes.layout(rng, scene)
            side, times = clip_train.RENDERS[int(rng.integers(len(clip_train.RENDERS)))]
            picture = scenes.draw(rng, scene, side, times, held=False, where=place)
            if side != clip_train.SIDE:
                picture = picture.resize((clip_train.SIDE,) * 2, Image.Resampling.BICUBIC)
            drawn[i] = np.asarray(picture)
            objects[start + i, :len(scene)] = scene
            where[start + i, :len(scene)] = place
        with torch.no_grad():
            pixels = clip_train.normalised(drawn, rng if rng.random() < 0.5 else None)
            states = tower(pixel_values=pixels, output_hidden_states=True).hidden_states[LAYER]
        features[start:start + block] = states[:, 1:].numpy().astype(np.float16)
    np.savez(path.with_suffix(".new.npz"), features=features, objects=objects, where=where)
    os.replace(path.with_suffix(".new.npz"), path)
    return features, objects, where


# --- rows ---------------------------------------------------------------------------------------

class Rows:
    """Makes batches of token rows."""
    def __init__(self, pool):
        self.features, self.objects, self.where = pool
        self.tokenizer = words.build()
        self.size = self.tokenizer.get_vocab_size()
        inverse = {i: t for t, i in self.tokenizer.get_vocab().items()}
        self.copied = np.array([i for i in range(words.FIRST_WORD, self.size)
                                if inverse[i].startswith("\u0120")])

    def ids(self, texts):
        return [e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def picture(self, rng, index):
        scene = clip_train.scene_of(self.objects[index])
        prefix = "<s>USER: <image>\n"
        if rng.random() < 0.1:
            prefix += memories.block(rng, False, int(rng.integers(1, 3)))[0] + "\n"
        kinds, weights = zip(*WEIGHTS.items())
        p = np.array(weights) / sum(weights)
        asked = []
        for kind in rng.choice(len(kinds), 26, p=p):
            found = questions.about(rng, scene, False, kinds[kind])
            if found and found not in [a[:2] for a in asked]:
                asked.append((*found, kinds[kind]))
        return prefix, asked

    def memory(self, rng):
        text, known, unknown = memories.block(rng, False)
        asked = [(q, a, "memory") for q, a in known]
        asked += [(q, memories.UNKNOWN, "does not know") for q in unknown]
        return "<s>USER: " + text + "\n", [asked[i] for i in rng.permutation(len(asked))]

    def judge(self, rng):
        asked = []
        for _ in range(14):
            prompt, score, _ = memories.judged(rng, False)
            asked.append((" " + prompt, score, "judge"))
        return "<s>USER:", asked

    def repeats(self, rng):
        """Ids and labels of words that repeat: all but the first round can be foretold."""
        period = int(rng.integers(6, 48))
        once = rng.choice(self.copied, period)
        ids = np.resize(once, LENGTH)
        labels = np.full(LENGTH, -100)
        labels[period - 1:-1] = ids[period:]
        return ids, labels

    def batch(self, rng, shares):
        """A dict of arrays: ids, positions, segments, labels, kind [ROWS,LENGTH], and pictures."""
        made = {n: np.full((ROWS, LENGTH), v) for n, v in
                (("ids", words.PAD), ("positions", 0), ("segments", -1), ("labels", -100),
                 ("answer", -1))}
        pictures, kinds = [], []
        for r, form in enumerate(np.sort(rng.choice(4, ROWS, p=shares))):
            if form == 3:
                made["ids"][r], made["labels"][r] = self.repeats(rng)
                made["positions"][r] = np.arange(LENGTH) + int(rng.integers(64))
                made["segments"][r] = 0
                continue
            if form == 0:
                pictures.append((r, int(rng.integers(len(self.features)))))
            prefix, asked = (self.picture(rng, pictures[-1][1]) if form == 0 else
                             self.memory(rng) if form == 1 else self.judge(rng))
            self.fill(made, r, prefix, asked, kinds)
        made["pictures"], made["kinds"] = pictures, kinds
        return made

    def fill(self, made, r, prefix, asked, kinds):
        encoded = self.ids([prefix] + [q + " ASSISTANT:" for q, _, _ in asked]
                           + [" " + a + "</s>" for _, a, _ in asked])
        head, prompts, answers = encoded[0], encoded[1:len(asked) + 1], encoded[len(asked) + 1:]
        if words.IMAGE in head:
            i = head.index(words.IMAGE)
            head = head[:i] + [words.IMAGE] * PATCHES + head[i + 1:]
        at = len(head)
        made["ids"][r, :at] = head
        made["positions"][r, :at] = np.arange(at)
        made["segments"][r, :at] = 0
        for segment, (prompt, answer, (_, _, kind)) in enumerate(zip(prompts, answers, asked), 1):
            end = at + len(prompt) + len(answer)
            if end > LENGTH:
                continue
            made["ids"][r, at:end] = prompt + answer
            made["positions"][r, at:end] = len(head) + np.arange(end - at)
            made["segments"][r, at:end] = segment
            first = at + len(prompt) - 1
            made["labels"][r, first:end - 1] = answer
            made["answer"][r, first:end - 1] = len(kinds)
            kinds.append(kind)
            at = end


def seen_by(segments):
    """[B,1,T,T] to add to scores: a token sees the prefix and its own segment, up to itself."""
    s = torch.from_numpy(segments)
    same = (s[:, :, None] == s[:, None, :]) | (s[:, None, :] == 0)
    same &= torch.ones(same.shape[1:], dtype=torch.bool).tril()
    same |= torch.eye(same.shape[1], dtype=torch.bool)
    return torch.zeros(same.shape).masked_fill(~same, -1e30)[:, None]


# --- learning -----------------------------------------------------------------------------------

class Groups:
    """What a projected patch shall say: one word of each group, or none of them."""
    NONE = 3.0  # the logit of "none of them"

    def __init__(self, tokenizer):
        self.words = [torch.tensor([tokenizer.token_to_id("\u0120" + w) for w in group])
                      for group in (scenes.SHAPES, scenes.COLOURS, scenes.SIZES,
                                    ("top", "middle", "bottom"), ("left", "centre", "right"))]

    def loss(self, net, projected, labels, objects):
        """Cross-entropy by group, and which share of the objects' patches is right, by group.

        `labels` are those of the CLIP's patch_labels, [N,64,3].
        """
        place = torch.from_numpy(place_of_patches(objects))
        held = labels[..., 0]
        total, right = 0.0, []
        for ids, value in zip(self.words, (*labels.unbind(-1), place // 3, place % 3)):
            target = torch.where(held < 0, -100, torch.where(held < 8, value, len(ids)))
            said = projected @ net.embed[ids].T
            said = torch.cat((said, torch.full_like(said[..., :1], self.NONE)), -1)
            weight = torch.ones(len(ids) + 1)
            weight[-1] = 0.2
            total = total + F.cross_entropy(said.flatten(0, 1), target.flatten(), weight=weight,
                                            ignore_index=-100)
            there = (held >= 0) & (held < 8)
            right.append((said.argmax(-1) == target)[there].float().mean().item())
        return total / len(self.words), right


def place_of_patches(objects):
    """[N,64]: the place (0 to 8) in whose third of the picture a patch lies."""
    line = ((np.arange(8) + 0.5) / 8 * 3).astype(int)
    return np.tile((line[:, None] * 3 + line[None, :]).reshape(-1), (len(objects), 1))


class Run:
    def __init__(self, work, steps=STEPS):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(SEED)
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.steps, self.start = work, steps, time.time()
        self.rows = Rows(make_pool(work / "pool.npz"))
        self.net = decoder.Decoder(self.rows.size)
        self.groups = Groups(self.rows.tokenizer)
        matrices = [p for b in self.net.blocks for p in b.parameters() if p.ndim == 2]
        inside = {id(p) for p in matrices}
        self.muon = decoder.Muon(matrices)
        rest = [p for p in self.net.parameters()
                if id(p) not in inside and p is not self.net.embed]
        self.adam = torch.optim.AdamW(
            [dict(params=[self.net.embed], peak=RATES["embed"]),
             dict(params=rest, peak=RATES["rest"])], betas=(0.9, 0.98), weight_decay=0.0)
        self.step = 0
        self.tally = {}
        print(f"{sum(p.numel() for p in self.net.parameters())} parameters, pool ready, "
              f"{time.time() - self.start:.0f} s", flush=True)

    def aligned(self, rng):
        """The patches' own loss, on pictures that need not be in the batch."""
        r = rng.integers(len(self.rows.features), size=16)
        projected = self.net.project(torch.from_numpy(self.rows.features[r].astype(np.float32)))
        labels, _ = clip_train.patch_labels(self.rows.objects[r], self.rows.where[r])
        return self.groups.loss(self.net, projected, labels, self.rows.objects[r])

    def loss(self, rng):
        made = self.rows.batch(rng, TEXT_SHARES if self.step < TEXT_STEPS else SHARES)
        x = self.net.embed[torch.from_numpy(made["ids"])]
        if made["pictures"]:
            at, which = zip(*made["pictures"])
            seen = torch.from_numpy(self.rows.features[list(which)].astype(np.float32))
            mark = torch.from_numpy(made["ids"] == words.IMAGE)
            x = x.masked_scatter(mark[..., None], self.net.project(seen))
        state = self.net(x, torch.from_numpy(made["positions"]), seen_by(made["segments"]))
        labels = torch.from_numpy(made["labels"])
        chosen = labels >= 0
        logits = self.net.logits(state[chosen])
        target = labels[chosen]
        answer = torch.from_numpy(made["answer"])[chosen]
        each = F.cross_entropy(logits, target, reduction="none")
        # The tokens of an answer share a weight of between one and their number.
        lengths = torch.bincount(answer.clamp(min=0), minlength=1).float()
        weight = torch.where(answer >= 0, lengths[answer.clamp(min=0)] ** -0.5, 0.1)
        loss = (each * weight).sum() / weight.sum()
        self.count(logits, target, answer, made["kinds"])
        return loss

    @torch.no_grad()
    def count(self, logits, target, answer, kinds):
        """How many answers are right, every token of them, by kind."""
        right = (logits.argmax(-1) == target)
        copied = right[answer < 0]
        if len(copied):
            self.add("repeats", copied.sum().item(), len(copied))
        wrong = torch.bincount(answer[(answer >= 0) & ~right], minlength=len(kinds))
        for kind, n in zip(kinds, wrong.tolist()):
            self.add(kind, n == 0, 1)

    def add(self, kind, right, all_of_them):
        have = self.tally.setdefault(kind, [0, 0])
        have[0] += right
        have[1] += all_of_them

    def save(self):
        path = self.work / "checkpoint.pt"
        torch.save({"net": self.net.state_dict(), "muon": self.muon.state(),
                    "adam": self.adam.state_dict(), "step": self.step},
                   path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def resume(self):
        path = self.work / "checkpoint.pt"
        if path.exists():
            kept = torch.load(path, weights_only=True)
            self.net.load_state_dict(kept["net"])
            self.muon.load(kept["muon"])
            self.adam.load_state_dict(kept["adam"])
            self.step = kept["step"]

    def one(self):
        rng = np.random.default_rng((SEED, 1, self.step))
        rate = rate_at(self.step, self.steps)
        for group in self.adam.param_groups:
            group["lr"] = group["peak"] * rate
        loss = self.loss(rng)
        side, right = self.aligned(rng)
        self.net.zero_grad(set_to_none=True)
        (loss + SIDE * side).backward()
        rest = [p for g in self.adam.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        self.muon.step(RATES["muon"] * rate)
        self.adam.step()
        self.step += 1
        if self.step % 25 == 0:
            said = " ".join(f"{k} {100 * a / n:.0f}" for k, (a, n) in sorted(self.tally.items()))
            patches = "/".join(f"{100 * r:.0f}" for r in right)
            print(f"step {self.step}/{self.steps} loss {loss.item():.3f} patches {patches} | "
                  f"{said} | {time.time() - self.start:.0f} s", flush=True)
            self.tally = {}

    def all(self):
        self.resume()
        while self.step < self.steps:
            while (self.work / "pause").exists():
                time.sleep(5)
            self.one()
            if self.step % KEEP == 0 or self.step == self.steps:
                self.save()
        print("done", flush=True)


def rate_at(step, steps, warm=40):
    """Warm-up, then level, then down to nothing over the last 60 of 100 steps."""
    return min(1.0, (step + 1) / warm, (steps - step) / steps / 0.6)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--work", type=pathlib.Path,
                           default=pathlib.Path("build/tiny-llava-train"))
    arguments.add_argument("--steps", type=int, default=STEPS)
    given = arguments.parse_args()
    Run(given.work, given.steps).all()
