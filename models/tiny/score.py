"""The held-out score: 500 scenes whose every object was kept out of training, each with a sentence
that names size, colour, shape and place of all its objects; scenes and sentences all differ.

For each way of drawing, prints how often a sentence finds its own picture first among the 500
(text->picture R@1), how often a picture finds its own sentence, and how often a freer sentence,
which may leave things out, finds a picture that it is true of. Exits 1 when text->picture
is under 95 of 100 at 64 or at 256 pixels.

Random scenes differ in much, so a harder test follows: a sentence against its own
picture and three that are one edit away (an attribute changed, or swapped between two objects).
Held-out neighbours can only differ by the steps that keep them held out; so the same is done with
new pictures of training combinations, which can differ by any one step.

Usage: score.py [--model FOLDER] [--count 500] [--seed 1000]
"""
import one_thread  # first
import argparse
import io
import pathlib

import numpy as np
from PIL import Image

import scenes
from reference import HERE, Reference

# Name, side in pixels, times larger when drawn, file format, its options. 160, 512 and the lossy
# formats never occur in training.
WAYS = (("64 px PNG", 64, 4, "PNG", {}), ("160 px PNG", 160, 2, "PNG", {}),
        ("256 px PNG", 256, 2, "PNG", {}), ("512 px PNG", 512, 2, "PNG", {}),
        ("256 px JPEG, quality 80", 256, 2, "JPEG", {"quality": 80}),
        ("256 px WebP, quality 80", 256, 2, "WEBP", {"quality": 80}),
        ("256 px GIF, 64 colours", 256, 2, "GIF", {}))


def held_out_scenes(rng, count):
    found, sentences = [], []
    while len(found) < count:
        scene = scenes.random_scene(rng, held=True)
        sentence, _ = scenes.caption(rng, scene, full=True)
        if scene not in found and sentence.lower() not in sentences:
            found.append(scene)
            sentences.append(sentence.lower())
    return found, sentences


def through_file(picture, form, options):
    """The picture as a reader of its file sees it."""
    held = io.BytesIO()
    if form == "GIF":
        picture = picture.quantize(64)
    picture.save(held, form, **options)
    held.seek(0)
    return Image.open(held).convert("RGB")


def neighbours(model, rng, count, held):
    """How often, in 100, a full sentence prefers its picture to those of three neighbours."""
    families, sentences, drawn = [], [], []
    for _ in range(count):
        scene = scenes.random_scene(rng, held)
        family = [scene]
        while len(family) < 4:
            other = scenes.edit_scene(rng, scene, held)
            if other not in family:
                family.append(other)
        families.append(family)
        sentences.append(scenes.caption(rng, scene, full=True)[0])
        drawn += [scenes.draw(rng, s, 128, 2, held) for s in family]
    pictures = model.pictures(drawn).reshape(count, 4, -1)
    table = np.einsum("nkd,nd->nk", pictures, model.texts(sentences))
    return (table.argmax(1) == 0).mean() * 100


def main(folder, count, seed):
    model = Reference(folder)
    rng = np.random.default_rng(seed)
    found, sentences = held_out_scenes(rng, count)
    rows = np.full((count, 3, 4), 99)
    for i, scene in enumerate(found):
        rows[i, :len(scene)] = scene
    free, says = zip(*(scenes.caption(rng, scene) for scene in found))
    true = scenes.true_of(says, rows)
    texts, freer = model.texts(sentences), model.texts(free)
    own, good = np.arange(count), True
    print(f"{count} held-out scenes, {sum(len(s) == 1 for s in found)} of one object, "
          f"{sum(len(s) == 2 for s in found)} of two, {sum(len(s) == 3 for s in found)} of three")
    for name, side, times, form, options in WAYS:
        drawn = [through_file(scenes.draw(rng, s, side, times, held=True), form, options)
                 for s in found]
        pictures = model.pictures(drawn)
        table = texts @ pictures.T
        to_picture = (table.argmax(1) == own).mean() * 100
        to_text = (table.argmax(0) == own).mean() * 100
        in_five = ((table > table[own, own][:, None]).sum(1) < 5).mean() * 100
        loose = true[own, (freer @ pictures.T).argmax(1)].mean() * 100
        print(f"{name:24} text->picture R@1 {to_picture:5.1f} (R@5 {in_five:5.1f})   "
              f"picture->text R@1 {to_text:5.1f}   freer sentences {loose:5.1f}", flush=True)
        good &= to_picture >= 95 or name not in ("64 px PNG", "256 px PNG")
    for held, which in ((True, "held-out"), (False, "training combinations, new pictures")):
        print(f"own picture among three one-edit neighbours, {which}: "
              f"{neighbours(model, rng, count, held):.1f}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--model", type=pathlib.Path, default=HERE)
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1000)
    given = arguments.parse_args()
    raise SystemExit(main(given.model, given.count, given.seed))
