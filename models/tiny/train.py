"""Trains the built-in picture model on one CPU thread, from nothing, in two stages.

  1. Both towers alone, with dense labels: each patch says which shape, colour and size covers it
     and whether it holds a centre; the class token and the end-of-text token each say what lies
     at each of the nine places.
  2. Both together, contrastive, the dense labels kept with less weight. A batch is 32 scenes and
     three one-edit neighbours of each, so every picture and every sentence meets hard negatives.
     Where a short sentence is also true of another picture of the batch, that pair is left out of
     the loss.

Usage: train.py [--work FOLDER]. It continues from the last checkpoint in FOLDER. Data depend on
(seed, stage, step) alone, so a continued run sees what an unbroken one would.
"""
import argparse
import itertools
import math
import os
import pathlib
import sys
import time

# One thread; large blocks stay in the heap instead of going back to the system at every step.
SETTINGS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
            "MALLOC_TOP_PAD_": str(1 << 27)}
if __name__ == "__main__" and any(os.environ.get(k) != v for k, v in SETTINGS.items()):
    os.environ.update(SETTINGS)
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPConfig, CLIPModel

import scenes
import tokenizer

SEED = 20
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SIDE, PATCH, GROUP = 64, 8, 4
GROUPS = 15000               # of one scene and three neighbours: 60,000 pictures
STEPS = {1: 1300, 2: 1000}
BATCH = {1: 64, 2: 128}
# How a picture is drawn: side in pixels, times larger before it is reduced to that side. All are
# then brought to 64 by the model's own recipe, Pillow's bicubic.
RENDERS = ((64, 4), (64, 2), (96, 2), (128, 2), (200, 1), (224, 1), (256, 1), (256, 2), (320, 1))
NONE = (8, 8, 2)             # the class "nothing here" of shape, colour, size
CLASSES = 9 + 9 + 3


def config(vocabulary):
    tower = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=4,
                 num_attention_heads=4, hidden_act="quick_gelu", layer_norm_eps=1e-5,
                 attention_dropout=0.0, projection_dim=128, initializer_factor=1.0,
                 initializer_range=0.02)
    return CLIPConfig(
        text_config=dict(tower, vocab_size=vocabulary, max_position_embeddings=tokenizer.POSITIONS,
                         bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1,
                         pad_token_id=vocabulary - 1),
        vision_config=dict(tower, image_size=SIDE, patch_size=PATCH, num_channels=3),
        projection_dim=128, logit_scale_init_value=math.log(1 / 0.07))


# --- data ---------------------------------------------------------------------------------------

def make_pool(path):
    """Pictures, scenes and layouts of all groups; drawn once, kept in a file."""
    if path.exists():
        with np.load(path) as kept:
            return kept["pictures"], kept["objects"], kept["where"]
    rng = np.random.default_rng(SEED)
    n = GROUPS * GROUP
    pictures = np.zeros((n, SIDE, SIDE, 3), np.uint8)
    objects = np.full((n, 3, 4), 99, np.int64)
    where = np.full((n, 3, 3), 99.0, np.float32)
    for g in range(GROUPS):
        first = scenes.random_scene(rng, held=False)
        group = [first]
        while len(group) < GROUP:
            other = scenes.edit_scene(rng, first, held=False)
            if other not in group:
                group.append(other)
        for i, scene in enumerate(group, g * GROUP):
            place = scenes.layout(rng, scene)
            side, times = RENDERS[int(rng.integers(len(RENDERS)))]
            picture = scenes.draw(rng, scene, side, times, held=False, where=place)
            if side != SIDE:
                picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            pictures[i] = np.asarray(picture)
            objects[i, :len(scene)] = scene
            where[i, :len(scene)] = place
    np.savez(path, pictures=pictures, objects=objects, where=where)
    return pictures, objects, where


def normalised(pictures, rng=None):
    """u8 [N,64,64,3] to f32 [N,3,64,64]; with a generator, light and a little noise vary."""
    x = pictures.astype(np.float32) / 255
    if rng is not None:
        n = len(x)
        x *= rng.uniform(0.93, 1.05, (n, 1, 1, 1)).astype(np.float32)
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        x += noise * rng.uniform(0, 0.02, (n, 1, 1, 1)).astype(np.float32)
        np.clip(x, 0, 1, out=x)
    x = (x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def patch_labels(objects, where):
    """Per patch: shape, colour, size of what covers it (-100 where it is only touched), centre."""
    n, grid = len(objects), SIDE // PATCH
    middle = (np.arange(grid) + 0.5) * PATCH
    x, y, r = (where[:, :, i] * SIDE for i in range(3))
    away = np.hypot(middle[None, None, None, :] - x[:, :, None, None],
                    middle[None, None, :, None] - y[:, :, None, None])  # [n,3,grid,grid]
    nearest = away.argmin(1)
    distance = np.take_along_axis(away, nearest[:, None], 1)[:, 0]
    radius = r[np.arange(n)[:, None, None], nearest]
    labels = objects[np.arange(n)[:, None, None], nearest][..., :3].copy()
    labels[distance > radius] = -100
    labels[distance > radius + 7] = NONE
    centre = np.zeros((n, grid, grid), np.float32)
    for k in range(3):
        there = np.flatnonzero(objects[:, k, 0] < 9)
        column, row = (x[there, k] // PATCH).astype(int), (y[there, k] // PATCH).astype(int)
        centre[there, row, column] = 1
        labels[there, row, column] = objects[there, k, :3]
    return (torch.from_numpy(labels.reshape(n, grid * grid, 3)),
            torch.from_numpy(centre.reshape(n, grid * grid)))


def place_labels(objects):
    """Per place: shape, colour and size of what lies there, or NONE. [N,9,3]"""
    n = len(objects)
    labels = np.tile(np.array(NONE), (n, 9, 1))
    for k in range(3):
        there = np.flatnonzero(objects[:, k, 0] < 9)
        labels[there, objects[there, k, 3]] = objects[there, k, :3]
    return torch.from_numpy(labels)


def scene_of(rows):
    return tuple(tuple(int(v) for v in o) for o in rows if o[0] < 9)


class Words:
    def __init__(self, folder):
        self.tokenizer = tokenizer.save(folder)
        self.end = self.tokenizer.token_to_id(tokenizer.END)

    def ids(self, texts):
        rows = [e.ids for e in self.tokenizer.encode_batch(texts)]
        width = -(-max(len(r) for r in rows) // 4) * 4
        return torch.tensor([r + [self.end] * (width - len(r)) for r in rows])


# --- learning -----------------------------------------------------------------------------------

class Learner(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.clip = CLIPModel(config(vocabulary))
        width = 128
        self.patch_head = torch.nn.Linear(width, CLASSES + 1)
        self.picture_head = torch.nn.Linear(width, 9 * CLASSES)
        self.text_head = torch.nn.Linear(width, 9 * CLASSES)

    def see(self, pixels):
        out = self.clip.vision_model(pixel_values=pixels)
        return out.last_hidden_state[:, 1:], out.pooler_output

    def read(self, ids):
        return self.clip.text_model(input_ids=ids).pooler_output


def attribute_loss(logits, labels):
    """Mean over shape, colour and size; rare against the many NONE, so real objects weigh more."""
    logits, labels = logits.reshape(-1, CLASSES), labels.reshape(-1, 3)
    total, start = 0.0, 0
    for field, none in enumerate(NONE):
        weight = torch.ones(none + 1)
        weight[none] = 0.3
        total = total + F.cross_entropy(logits[:, start:start + none + 1], labels[:, field],
                                        weight=weight, ignore_index=-100)
        start += none + 1
    return total / 3


def places_right(logits, labels):
    """Share of occupied places whose shape, colour and size are all right."""
    logits, labels = logits.reshape(-1, CLASSES), labels.reshape(-1, 3)
    said = torch.stack([p.argmax(1) for p in logits.split([9, 9, 3], 1)], 1)
    occupied = labels[:, 0] != NONE[0]
    return (said == labels).all(1)[occupied].float().mean().item()


def dense_step(learner, words, pool, rng):
    pictures, objects, where = pool
    rows = rng.integers(len(pictures), size=BATCH[1])
    patches, token = learner.see(normalised(pictures[rows], rng))
    labels, centre = patch_labels(objects[rows], where[rows])
    said = learner.patch_head(patches)
    places = place_labels(objects[rows])
    loss = attribute_loss(said[..., :CLASSES], labels)
    loss = loss + F.binary_cross_entropy_with_logits(said[..., CLASSES], centre)
    named = learner.picture_head(token)
    loss = loss + attribute_loss(named, places)
    told = rng.integers(len(pictures), size=BATCH[1])
    texts = [scenes.caption(rng, scene_of(objects[i]), full=True)[0] for i in told]
    heard = learner.text_head(learner.read(words.ids(texts)))
    meant = place_labels(objects[told])
    loss = loss + attribute_loss(heard, meant)
    return loss, lambda: (f"picture {places_right(named, places):.3f} "
                          f"text {places_right(heard, meant):.3f}")


def contrast_step(learner, words, pool, rng):
    pictures, objects, where = pool
    groups = rng.choice(GROUPS, BATCH[2] // GROUP, replace=False)
    rows = (groups[:, None] * GROUP + np.arange(GROUP)).ravel()
    texts, says = zip(*(scenes.caption(rng, scene_of(objects[i])) for i in rows))
    patches, token = learner.see(normalised(pictures[rows], rng))
    heard = learner.read(words.ids(list(texts)))
    image = F.normalize(learner.clip.visual_projection(token), dim=-1)
    text = F.normalize(learner.clip.text_projection(heard), dim=-1)
    logits = text @ image.T * learner.clip.logit_scale.exp()
    also = scenes.true_of(says, objects[rows])
    np.fill_diagonal(also, False)
    logits = logits.masked_fill(torch.from_numpy(also), -1e4)
    target = torch.arange(len(rows))
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    full = torch.tensor([scenes.ANY not in itertools.chain(*s) for s in says])
    places = place_labels(objects[rows])
    labels, _ = patch_labels(objects[rows], where[rows])
    loss = loss + 0.5 * attribute_loss(learner.patch_head(patches)[..., :CLASSES], labels)
    loss = loss + 0.5 * attribute_loss(learner.picture_head(token), places)
    loss = loss + 0.2 * attribute_loss(learner.text_head(heard)[full], places[full])
    return loss, lambda: (f"batch text->picture {(logits.argmax(1) == target).float().mean():.3f} "
                          f"scale {learner.clip.logit_scale.exp().item():.1f}")


def optimiser(learner, stage):
    tower = 1.2e-3 if stage == 1 else 6e-4
    groups = {}
    for name, p in learner.named_parameters():
        rate = tower if name.startswith("clip.vision_model") else 1.2e-3 if stage == 1 else 1e-3
        decay = 0.05 if p.ndim > 1 and "embedding" not in name else 0.0
        groups.setdefault((rate, decay), []).append(p)
    return torch.optim.AdamW([dict(params=p, lr=r, peak=r, weight_decay=d)
                              for (r, d), p in groups.items()], betas=(0.9, 0.98), eps=1e-8)


def rate_at(step, steps, warm=60):
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def run(work):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(SEED)
    work.mkdir(parents=True, exist_ok=True)
    words = Words(work)
    learner = Learner(words.end + 1)
    start = time.time()
    pool = make_pool(work / "pool.npz")
    print(f"pool ready, {time.time() - start:.0f} s", flush=True)
    checkpoint = work / "checkpoint.pt"
    stage, step, kept = 1, 0, None
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        learner.load_state_dict(kept["learner"])
        stage, step = kept["stage"], kept["step"]
    while stage in STEPS:
        opt = optimiser(learner, stage)
        if kept:
            opt.load_state_dict(kept["optimiser"])
            kept = None
        work_step = dense_step if stage == 1 else contrast_step
        while step < STEPS[stage]:
            rng = np.random.default_rng((SEED, stage, step))
            for group in opt.param_groups:
                group["lr"] = group["peak"] * rate_at(step, STEPS[stage])
            loss, describe = work_step(learner, words, pool, rng)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            opt.step()
            with torch.no_grad():
                learner.clip.logit_scale.clamp_(0, math.log(100))
            step += 1
            if step % 20 == 0 or step == 1:
                print(f"stage {stage} step {step}/{STEPS[stage]} loss {loss.item():.3f} "
                      f"{describe()} {time.time() - start:.0f} s", flush=True)
            if step % 100 == 0 or step == STEPS[stage]:
                torch.save({"learner": learner.state_dict(), "optimiser": opt.state_dict(),
                            "stage": stage, "step": step}, checkpoint.with_suffix(".new"))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)
        stage, step = stage + 1, 0
    print("done", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/tiny-train"),
                           help="folder for the pool of pictures and the checkpoint")
    run(arguments.parse_args().work)
