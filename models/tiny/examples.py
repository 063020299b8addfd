"""Draws the example pictures and holds the example sentences against them.

  examples.py draw    writes examples/: ten held-out scenes as PNG, JPEG, WebP and GIF, and
                      sentences.txt
  examples.py check   exits 1 unless each sentence's best picture is the one that it is about,
                      ahead of the second by MARGIN
"""
import one_thread  # first
import sys

import numpy as np
from PIL import Image

import scenes
from reference import HERE, Reference

FOLDER = HERE / "examples"
MARGIN = 0.05
SEED = 64

# File, (width, height), how it is saved, objects as (size, colour, shape, place). A picture that is
# not square holds the scene in its middle, where the recipe's centre crop looks.
PICTURES = (
    ("red-circle.png", (256, 256), {}, ["large red circle centre"]),
    ("blue-star.png", (320, 240), {}, ["small blue star top"]),
    ("heart-and-ring.png", (256, 256), {},
     ["large pink heart top right", "small black ring bottom"]),
    ("green-triangle.jpg", (240, 320), {"quality": 88}, ["large green triangle left"]),
    ("cross-and-square.jpg", (400, 400), {"quality": 85},
     ["large blue cross bottom", "small yellow square top"]),
    ("three-shapes.jpg", (256, 256), {"quality": 90},
     ["large purple star centre", "small red diamond top", "small orange circle left"]),
    ("diamond.webp", (256, 256), {"lossless": True}, ["large yellow diamond bottom"]),
    ("two-stars.webp", (256, 256), {"quality": 85},
     ["large red star right", "small orange star centre"]),
    ("purple-ring.gif", (200, 200), {}, ["large purple ring right"]),
    ("hearts.gif", (256, 256), {}, ["large red heart centre", "small green heart top"]))

# Each sentence and the one picture that it means.
SENTENCES = (
    ("a red circle", "red-circle.png"),
    ("a small blue star at the top", "blue-star.png"),
    ("a large pink heart at the top right and a small black ring at the bottom",
     "heart-and-ring.png"),
    ("a small yellow square and a big blue cross", "cross-and-square.jpg"),
    ("a large red heart in the centre and a small green heart at the top", "hearts.gif"),
    ("there is a purple star in the middle, a red diamond at the top and an orange circle "
     "on the left", "three-shapes.jpg"))


def parse(text):
    size, colour, shape, place = text.split(" ", 3)
    return (scenes.SHAPES.index(shape), scenes.COLOURS.index(colour), scenes.SIZES.index(size),
            scenes.PLACES.index(place))


def draw():
    FOLDER.mkdir(exist_ok=True)
    for number, (name, (width, height), options, objects) in enumerate(PICTURES):
        rng = np.random.default_rng((SEED, number))
        scene = tuple(sorted(parse(o) for o in objects))
        side = min(width, height)
        square = scenes.draw(rng, scene, side, 4, held=True)
        picture = Image.new("RGB", (width, height), square.getpixel((0, 0)))
        picture.paste(square, ((width - side) // 2, (height - side) // 2))
        if name.endswith(".gif"):
            picture = picture.quantize(64, dither=Image.Dither.NONE)
        picture.save(FOLDER / name, **options)
    (FOLDER / "sentences.txt").write_text("".join(f"{s}\n" for s, _ in SENTENCES))


def check():
    model = Reference()
    names = [name for name, *_ in PICTURES]
    pictures = model.pictures([Image.open(FOLDER / n).convert("RGB") for n in names])
    sentences = (FOLDER / "sentences.txt").read_text().splitlines()
    assert sentences == [s for s, _ in SENTENCES]
    good = True
    for row, (sentence, meant) in zip(model.texts(sentences) @ pictures.T, SENTENCES):
        first, second = np.argsort(-row)[:2]
        right = names[first] == meant and row[first] - row[second] >= MARGIN
        good &= bool(right)
        print(f"{'ok ' if right else 'NO '} {sentence}\n      {names[first]} {row[first]:.3f}, "
              f"then {names[second]} {row[second]:.3f}")
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["draw"]:
        draw()
    elif sys.argv[1:] == ["check"]:
        raise SystemExit(check())
    else:
        raise SystemExit(__doc__)
