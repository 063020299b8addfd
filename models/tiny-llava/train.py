"""Trains the projector and the decoder of the built-in LLaVA on one CPU thread, from nothing.

The tower is the tiny CLIP's and stays as it is, so what it makes of each picture is computed once
and kept. A row of a batch is a prefix (a picture, a block of remembered lines, or only the start)
and as many questions about it as fit: each question sees the prefix and itself, not the others, and
counts its positions on from the prefix, so it reads as if it stood alone. Only answers are learnt.

The first steps have text alone: sequences that repeat, so that copying forms, remembered lines and
the judge. All along two things are learnt beside the answers, in the decoder's own words. Each
projected patch says what lies on it: shape, colour, size, row and column. And each token that ends
the name of something ("the red circle", "stars") says after half of the layers whether the picture
holds that, how many of it, and, if it is one, its attributes; names alone, many to a picture, fill
further rows, which go through that half alone.

Usage: train.py [--work FOLDER]. It continues from the last checkpoint in FOLDER. Data depend on
(seed, step) alone, so a continued run sees what an unbroken one would. While the file FOLDER/pause
exists, it waits.
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
import sources
import words

clip_train = world.clip_script("train")

SEED = 41
PICTURES = 30000
LAYER = -2
PATCHES = 64
LENGTH = 256
STEPS = 7000
FALL = (1500, STEPS)         # RATES hold up to the one, and fall evenly to nothing at the other
WARM = 40
# What a batch is made of, from a step on.
#   rows     of questions; and probes, rows of names alone, or of names and pairs of names
#   depth    layers that probes go through
#   shares   of the rows by kind: picture, memory, judge, repeats, lines begun
#   made_up  share of the words in remembered lines that are made up, where it is not the usual one
#   weights  of the kinds of questions about a picture
#   related  weight of the loss of how two things lie
PHASES = (
    (0, {"rows": 9, "probes": 5, "depth": decoder.NAMED, "shares": (0.0, 0.45, 0.12, 0.33, 0.1),
         "weights": {}, "related": 0.0}),
    (100, {"rows": 9, "probes": 5, "depth": decoder.NAMED,
           "shares": (0.53, 0.28, 0.05, 0.06, 0.08), "made_up": 0.4,
           "weights": {"colour": 1.0, "shape": 1.0, "size": 0.5, "count": 1.4, "presence": 1.8,
                       "place": 1.4, "relation": 2.2, "describe": 0.5}, "related": 0.0}),
    (1150, {"rows": 10, "probes": 3, "depth": decoder.RELATED,
            "shares": (0.52, 0.32, 0.05, 0.04, 0.07), "made_up": 0.4,
            "weights": {"colour": 0.9, "shape": 1.2, "size": 0.4, "count": 2.0, "presence": 1.7,
                        "place": 1.2, "relation": 3.4, "describe": 0.7}, "related": 0.5}),
    (3000, {"rows": 12, "probes": 1, "depth": decoder.RELATED,
            "shares": (0.42, 0.42, 0.06, 0.02, 0.08), "made_up": 0.5,
            "weights": {"colour": 0.9, "shape": 1.5, "size": 0.4, "count": 2.5, "presence": 1.5,
                        "place": 1.2, "relation": 2.5, "describe": 1.5}, "related": 0.3}),
)
SIDE = 0.3                   # weight of the patches' own loss
NAMES = 1.0                  # weight of the names' own loss
LOOKS = 0.3                  # weight of what each head shown what to look at loses
REPEATS_SHOWN = 40           # tokens of a row of repeats for which those heads are shown it
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
        learnt = range(words.FIRST_WORD, self.size)
        self.copied = np.array([i for i in learnt if inverse[i].startswith("\u0120")])
        self.pieces = np.array([i for i in range(words.FIRST_WORD - 256, self.size)
                                if inverse[i].isascii() and inverse[i].islower()])

    def picture(self, rng, index, weights):
        """(what stands before each question, the blank after it or not, questions, the scene)"""
        scene = clip_train.scene_of(self.objects[index])
        prefix, lead = "<s>USER: <image>\n", ""
        if rng.random() < 0.12:
            prefix += memories.block(rng, False, int(rng.integers(1, 4)))[0] + "\n"
        kinds, p = list(weights), np.array(list(weights.values())) / sum(weights.values())
        asked = []
        for kind in rng.choice(len(kinds), 26, p=p):
            found = questions.about(rng, scene, False, kinds[kind], marks=True)
            if found and found not in [a[:2] for a in asked]:
                asked.append((*found, kinds[kind]))
        if asked and rng.random() < 0.15:
            q, a, _ = asked.pop()
            prefix += f"{questions.MARKED.sub('', q)} ASSISTANT: {a} USER:"
            lead = " "
        return prefix, [(lead + q, a, kind, None) for q, a, kind in asked], scene

    def memory(self, rng, share):
        """Remembered lines and what is asked then; now and then turns of the conversation."""
        form = rng.random()
        if form < 0.14:  # turns that told something, or none at all; nothing was recalled
            facts, unknown = memories.some_facts(rng, False, int(rng.integers(1, 6)), share)
            before, lead = "<s>USER:", " "
            if form < 0.09:
                known = [(q, a, "memory", f[0]) for f in facts for q, a in f[2]]
                before += "".join(f" {f[0]} ASSISTANT: {memories.NOTED} USER:" for f in facts)
            else:
                known = [(q, memories.UNKNOWN, "does not know", None) for f in facts[:2]
                         for q, _ in f[2]]
        else:
            text, known, unknown = memories.block(rng, False, share=share)
            known = [(q, a, "memory", line) for q, a, line in known]
            before, lead = "<s>USER: " + text + "\n", ""
            if form < 0.24:  # a turn about something else before it
                said, answer = memories.told(rng, False)
                before = f"<s>USER: {said} ASSISTANT: {answer} USER: {text}\n"
        asked = known + [(q, memories.UNKNOWN, "does not know", None) for q in unknown]
        asked += [(*memories.told(rng, False), "told", None) for _ in range(2)]
        return before, [(lead + asked[i][0], *asked[i][1:]) for i in rng.permutation(len(asked))]

    def lines(self, rng, share):
        """Remembered lines, and lines begun, to be ended as they stand there."""
        text = memories.block(rng, False, share=share)[0]
        return "<s>USER: " + text + "\n", [(begin, rest, "lines", line) for begin, rest, line
                                           in memories.halves(rng, text)]

    def judge(self, rng, share):
        asked = []
        for _ in range(14):
            prompt, score, _ = memories.judged(rng, False)
            asked.append((" " + prompt, score, "judge", None))
        return "<s>USER:", asked

    def repeats(self, rng):
        """(ids, labels, period) of words that repeat: all but the first round can be foretold. Half
        of them are of few pieces, so that more than the token before has to be looked at."""
        period = int(rng.integers(6, 48))
        known = self.copied
        if rng.random() < 0.5:
            known = rng.choice(self.pieces, int(rng.integers(10, 40)), replace=False)
        once = rng.choice(known, period)
        ids = np.resize(once, LENGTH)
        labels = np.full(LENGTH, -100)
        labels[period - 1:-1] = ids[period:]
        return ids, labels, period

    def batch(self, rng, phase):
        """A dict of arrays: ids, positions, segments, labels, answer [rows + probes,LENGTH]; and
        lists: pictures (row, which), kinds of the answers, names and pairs (row, column, labels),
        finds and copies (row, column, column to look at)."""
        rows = phase["rows"]
        made = {n: np.full((rows + phase["probes"], LENGTH), v) for n, v in
                (("ids", words.PAD), ("positions", 0), ("segments", -1), ("labels", -100),
                 ("answer", -1))}
        made.update(pictures=[], kinds=[], names=[], pairs=[], finds=[], copies=[])
        for r, form in enumerate(np.sort(rng.choice(len(phase["shares"]), rows,
                                                  p=phase["shares"]))):
            if form == 3:
                made["ids"][r], made["labels"][r], period = self.repeats(rng)
                made["copies"] += [(r, int(t), int(t) + 1 - period) for t in
                                   rng.integers(period - 1, LENGTH - 1, REPEATS_SHOWN)]
                made["positions"][r] = np.arange(LENGTH) + int(rng.integers(64))
                made["segments"][r] = 0
            elif form == 0:
                index = self.pick(rng, made, r)
                while not self.fill(made, r, *self.picture(rng, index, phase["weights"])):
                    pass
            else:
                draw = {1: self.memory, 2: self.judge, 4: self.lines}[form]
                while not self.fill(made, r, *draw(rng, phase.get("made_up", memories.MADE_UP))):
                    pass
        for r in range(rows, rows + phase["probes"]):
            scene = clip_train.scene_of(self.objects[self.pick(rng, made, r)])
            asked = [(phase["related"] and i % 3 and questions.pair(rng, scene)
                      or questions.probe(rng, scene), None, None, None) for i in range(50)]
            self.fill(made, r, "<s>USER: <image>\n", asked, scene)
        return made

    def pick(self, rng, made, r):
        made["pictures"].append((r, int(rng.integers(len(self.features)))))
        return made["pictures"][-1][1]

    def fill(self, made, r, prefix, asked, scene=None):
        """Writes row r: the prefix and as many of the questions as fit, or nothing (False) where
        too few would. A question without an answer is a name alone."""
        parts = [questions.MARKED.split(q if kind in (None, "lines") else q + " ASSISTANT:")
                 for q, _, kind, _ in asked]
        texts = ([prefix] + [" " + t if a is None and not i else t
                             for ps, (_, a, _, _) in zip(parts, asked)
                             for i, t in enumerate(ps[::2])]
                 + [" " + a + "</s>" for _, a, _, _ in asked if a is not None])
        encoded = iter(self.tokenizer.encode_batch(texts, add_special_tokens=False))
        head = next(encoded)
        source = sources.Sources(prefix, head)
        head = head.ids
        if words.IMAGE in head:
            i = head.index(words.IMAGE)
            head = head[:i] + [words.IMAGE] * PATCHES + head[i + 1:]
        if len(head) > LENGTH - 40:
            return False
        prompts = [[next(encoded) for _ in ps[::2]] for ps in parts]
        answers = [next(encoded).ids if a is not None else [] for _, a, _, _ in asked]
        at = len(head)
        made["ids"][r, :at] = head
        made["positions"][r, :at] = np.arange(at)
        made["segments"][r, :at] = 0
        for segment, (marks, prompt, answer, (text, _, kind, line)) in enumerate(
                zip([ps[1::2] for ps in parts], prompts, answers, asked), 1):
            ends = at + np.cumsum([len(t) for t in prompt])
            end = ends[-1] + len(answer)
            if end > LENGTH:
                continue
            made["ids"][r, at:end] = sum((t.ids for t in prompt), []) + answer
            made["positions"][r, at:end] = len(head) + np.arange(end - at)
            made["segments"][r, at:end] = segment
            made["names"] += [(r, column - 1, named(scene, m)) for column, m in zip(ends, marks)]
            if len(marks) == 2:
                made["pairs"].append((r, ends[1] - 1, questions.related(scene, marks)))
            if line is not None:
                self.show(made, r, (at, int(ends[-1]) - 1), source, line, text, prompt[0], answer)
            if answer:
                first = ends[-1] - 1
                made["labels"][r, first:end - 1] = answer
                made["answer"][r, first:end - 1] = len(made["kinds"])
                made["kinds"].append(kind)
            at = end
        return True


    @staticmethod
    def show(made, r, where, source, line, text, prompt, answer):
        """Notes what the question, which begins at where[0], and the answer, foretold from where[1]
        on, have to look at in the line."""
        made["finds"] += [(r, where[0] + i, j) for i, j in source.keys(line, text, prompt)]
        found = source.copied(line, answer[:-1])
        if found is not None:
            left, start = found
            made["copies"] += [(r, where[1] + i, start + i - left)
                               for i in range(left, len(answer) - 1)]


def named(scene, character):
    """What a name means in a scene: there or not, how many, and of a single one shape, colour,
    size, row and column."""
    found = questions.found_by(character, scene)
    if len(found) != 1:
        return (int(len(found) > 0), len(found), *[-100] * 5)
    shape, colour, size, spot = found[0]
    return (1, 1, shape, colour, size, spot // 3, spot % 3)


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
                                    ("top", "middle", "bottom"), ("left", "centre", "right"),
                                    ("thing",), ("no", "yes"), questions.COUNTS,
                                    ("from", "to", "at"), ("above", "below", "at"))]
        # "left" and "right" would say where the second of the two lies, so other words stand there.
        self.pairs = self.words[8:]
        self.words, self.names = self.words[:6], self.words[6:8] + self.words[:5]

    def loss(self, net, projected, labels, centre, objects):
        """Cross-entropy by group, and which share of the objects' patches is right, by group.

        `labels` and `centre` are those of the CLIP's patch_labels, [N,64,3] and [N,64].
        """
        place = torch.from_numpy(place_of_patches(objects))
        held = labels[..., 0]
        total, right = 0.0, []
        values = [*labels.unbind(-1), place // 3, place % 3]
        targets = [torch.where(held < 0, -100, torch.where(held < 8, v, len(ids)))
                   for ids, v in zip(self.words, values)]
        for ids, target in zip(self.words, targets + [1 - centre.long()]):
            said = projected @ net.embed[ids].T
            said = torch.cat((said, torch.full_like(said[..., :1], self.NONE)), -1)
            weight = torch.ones(len(ids) + 1)
            weight[-1] = 0.2
            total = total + F.cross_entropy(said.flatten(0, 1), target.flatten(), weight=weight,
                                            ignore_index=-100)
            there = (held >= 0) & (held < 8)
            right.append((said.argmax(-1) == target)[there].float().mean().item())
        return total / len(self.words), right


def told(groups, logits, labels):
    """Cross-entropy of logits [N,V] by group of words, which share is right; labels [N,groups]."""
    total, right = 0.0, []
    for ids, value in zip(groups, labels.unbind(-1)):
        there = value >= 0
        said = logits[there][:, ids]
        total = total + F.cross_entropy(said, value[there])
        right.append((said.argmax(-1) == value[there]).float().mean().item())
    return total / len(groups), right


def place_of_patches(objects):
    """[N,64]: the place (0 to 8) in whose third of the picture a patch lies."""
    line = ((np.arange(8) + 0.5) / 8 * 3).astype(int)
    return np.tile((line[:, None] * 3 + line[None, :]).reshape(-1), (len(objects), 1))


class Run:
    def __init__(self, work):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(SEED)
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.steps, self.start = work, STEPS, time.time()
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
        labels, centre = clip_train.patch_labels(self.rows.objects[r], self.rows.where[r])
        return self.groups.loss(self.net, projected, labels, centre, self.rows.objects[r])

    def loss(self, rng):
        phase = [p for start, p in PHASES if start <= self.step][-1]
        rows = phase["rows"]
        made = self.rows.batch(rng, phase)
        x = self.net.embed[torch.from_numpy(made["ids"])]
        if made["pictures"]:
            at, which = zip(*made["pictures"])
            seen = torch.from_numpy(self.rows.features[list(which)].astype(np.float32))
            mark = torch.from_numpy(made["ids"] == words.IMAGE)
            x = x.masked_scatter(mark[..., None], self.net.project(seen))
        shown = [(layer, head, made[what]) for what, heads in
                 (("finds", decoder.FINDS), ("copies", decoder.COPIES)) if made[what]
                 for layer, head in heads]
        state, layers, scores = self.net(
            x, torch.from_numpy(made["positions"]), seen_by(made["segments"]), rows,
            phase["depth"], [(layer, head, *map(list, list(zip(*to))[:2]))
                             for layer, head, to in shown])
        labels = torch.from_numpy(made["labels"][:rows])
        chosen = labels >= 0
        logits = self.net.logits(state[chosen])
        target = labels[chosen]
        answer = torch.from_numpy(made["answer"][:rows])[chosen]
        each = F.cross_entropy(logits, target, reduction="none")
        # The tokens of an answer share a weight of between one and their number.
        lengths = torch.bincount(answer.clamp(min=0), minlength=1).float()
        weight = torch.where(answer >= 0, lengths[answer.clamp(min=0)] ** -0.5, 0.1)
        loss = (each * weight).sum() / weight.sum()
        self.count(logits, target, answer, made["kinds"])
        names, right = self.middle(layers[decoder.NAMED - 1], made["names"], self.groups.names)
        beside = NAMES * names
        if phase["related"] and made["pairs"]:
            pairs, also = self.middle(layers[decoder.RELATED - 1], made["pairs"],
                                      self.groups.pairs)
            beside, right = beside + phase["related"] * pairs, right + also
        for score, (layer, head, to) in zip(scores, shown):
            meant = torch.tensor([j for _, _, j in to])
            beside = beside + LOOKS * F.cross_entropy(score, meant)
            self.add(f"look {layer}.{head}", (score.argmax(-1) == meant).sum().item(), len(meant))
        return loss, beside, right

    def middle(self, state, marked, groups):
        r, column, meant = zip(*marked)
        return told(groups, self.net.names(state[list(r), list(column)]), torch.tensor(meant))

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
        rate = rate_at(self.step)
        for group in self.adam.param_groups:
            group["lr"] = group["peak"] * rate
        loss, beside, known = self.loss(rng)
        side, right = self.aligned(rng)
        self.net.zero_grad(set_to_none=True)
        (loss + SIDE * side + beside).backward()
        rest = [p for g in self.adam.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        self.muon.step(RATES["muon"] * rate)
        self.adam.step()
        self.step += 1
        if self.step % 25 == 0:
            said = " ".join(f"{k} {100 * a / n:.0f}" for k, (a, n) in sorted(self.tally.items()))
            patches, names = ("/".join(f"{100 * r:.0f}" for r in rs) for rs in (right, known))
            print(f"step {self.step}/{self.steps} loss {loss.item():.3f} patches {patches} "
                  f"names {names} | {said} | {time.time() - self.start:.0f} s", flush=True)
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


def rate_at(step):
    return min((step + 1) / WARM, float(np.interp(step, FALL, (1.0, 0.0))))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--work", type=pathlib.Path,
                           default=pathlib.Path("build/tiny-llava-train"))
    Run(arguments.parse_args().work).all()
