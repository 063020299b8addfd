"""The drawn world of the built-in picture model: scenes, pictures of them, sentences about them.

A scene is a sorted tuple of one to three objects; an object is (shape, colour, size, place), four
small integers. No two objects share a place. Everything random takes a numpy Generator, so a seed
fixes a scene, its picture and its sentence.

Held out. An object is held out when (shape + colour + place) is a multiple of 4: 144 of the 576
triples of shape, colour and place, in both sizes. Each shape-colour pair, shape-place pair and
colour-place pair is still seen. A training scene has no held-out object, a held-out scene has
nothing else; `draw` refuses a picture whose scene is not of the split that the caller names.
"""
import itertools
import math

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
SIZES = ("small", "large")
PLACES = ("top left", "top", "top right", "left", "centre", "right",
          "bottom left", "bottom", "bottom right")

# Two anchors a colour, muted and pure; a drawn colour lies between them, with a little noise.
PAINT = (((205, 50, 50), (255, 0, 0)), ((235, 140, 40), (255, 140, 0)),
         ((238, 208, 60), (255, 230, 0)), ((50, 150, 75), (0, 200, 0)),
         ((50, 95, 205), (0, 0, 255)), ((130, 65, 170), (140, 0, 180)),
         ((240, 150, 190), (255, 105, 180)), ((48, 48, 48), (0, 0, 0)))

# The usual word first; the others are drawn now and then.
SHAPE_WORDS = (("circle", "disc", "dot"), ("square", "box"), ("triangle",), ("star",), ("heart",),
               ("cross", "plus"), ("ring",), ("diamond", "rhombus"))
COLOUR_WORDS = (("red",), ("orange",), ("yellow",), ("green",), ("blue",), ("purple", "violet"),
                ("pink",), ("black",))
SIZE_WORDS = (("small", "little", "tiny"), ("large", "big", "huge"))
PLACE_WORDS = (
    ("at the top left", "in the top left corner", "in the upper left", "top left"),
    ("at the top", "at the top centre", "at the top in the middle", "top centre", "top"),
    ("at the top right", "in the top right corner", "in the upper right", "top right"),
    ("on the left", "at the left", "on the left side", "in the middle left", "left"),
    ("in the centre", "in the middle", "in the center", "at the centre", "centre"),
    ("on the right", "at the right", "on the right side", "in the middle right", "right"),
    ("at the bottom left", "in the bottom left corner", "in the lower left", "bottom left"),
    ("at the bottom", "at the bottom centre", "at the bottom in the middle", "bottom centre",
     "bottom"),
    ("at the bottom right", "in the bottom right corner", "in the lower right", "bottom right"))
OPENINGS = ("a picture of ", "an image of ", "a photo of ", "a drawing of ", "there is ",
            "this is ", "it shows ", "we see ")
ANY = -1  # an attribute that a sentence leaves out


def held_out(obj):
    return (obj[0] + obj[1] + obj[3]) % 4 == 0


def of_split(scene, held):
    return all(held_out(o) == held for o in scene)


def random_object(rng, held, taken=()):
    while True:
        obj = (int(rng.integers(8)), int(rng.integers(8)), int(rng.integers(2)),
               int(rng.integers(9)))
        if held_out(obj) == held and obj[3] not in taken:
            return obj


def random_scene(rng, held):
    objects = []
    for _ in range(int(rng.integers(1, 4))):
        objects.append(random_object(rng, held, [o[3] for o in objects]))
    return tuple(sorted(objects))


def edit_scene(rng, scene, held):
    """A scene one edit away: an attribute changed, or one swapped between two objects."""
    while True:
        objects = [list(o) for o in scene]
        if len(objects) > 1 and rng.random() < 0.4:
            a, b = rng.choice(len(objects), 2, replace=False)
            field = int(rng.integers(4))
            objects[a][field], objects[b][field] = objects[b][field], objects[a][field]
        else:
            a, field = int(rng.integers(len(objects))), int(rng.integers(4))
            objects[a][field] = int(rng.integers((8, 8, 2, 9)[field]))
        other = tuple(sorted(tuple(o) for o in objects))
        if (other != scene and of_split(other, held)
                and len({o[3] for o in other}) == len(other)):
            return other


# --- pictures -----------------------------------------------------------------------------------

def outlines():
    def around(n, radius, start=0.0):
        t = start + np.arange(n) * (2 * math.pi / n)
        return np.stack([radius * np.sin(t), -radius * np.cos(t)], 1)

    star = around(10, 1.1)
    star[1::2] *= 0.42
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    heart = np.stack([16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t)
                                             - 2 * np.cos(3 * t) - np.cos(4 * t))], 1) / 16.5
    w = 0.34
    cross = np.array([(-w, -1), (w, -1), (w, -w), (1, -w), (1, w), (w, w), (w, 1), (-w, 1),
                      (-w, w), (-1, w), (-1, -w), (-w, -w)], float)
    # One outline there and back: the even-odd rule leaves the hole open.
    ring = np.concatenate([around(40, 1.0), around(40, 1.0)[:1], around(40, 0.55)[:1],
                           around(40, 0.55)[::-1]])
    return (around(40, 0.95), np.array([(-.84, -.84), (.84, -.84), (.84, .84), (-.84, .84)]),
            np.array([(0, -1.0), (1.0, .78), (-1.0, .78)]), star, heart, cross, ring,
            np.array([(0, -1.12), (.74, 0), (0, 1.12), (-.74, 0)]))


OUTLINES = outlines()


def layout(rng, scene):
    """Where each object lies on the unit square: rows of centre x, centre y, radius."""
    rows = []
    for _, _, size, place in scene:
        row, column = divmod(place, 3)
        centre = (np.array([column, row]) + 0.5) / 3 + rng.uniform(-2.2, 2.2, 2) / 64
        radius = rng.uniform(7.8, 9.4) if size else rng.uniform(4.2, 5.4)
        rows.append((*centre, radius / 64))
    return np.array(rows)


def background(rng):
    base = rng.uniform(205, 255) if rng.random() < 0.8 else 255.0
    return np.clip(base + rng.normal(0, 5, 3), 0, 255) if base < 255 else np.full(3, 255.0)


def draw(rng, scene, side, oversample, held, where=None):
    """An RGB picture of side x side pixels, drawn `oversample` times larger and reduced."""
    if not of_split(scene, held):
        raise ValueError(f"scene {scene} is not of the {'held-out' if held else 'training'} split")
    where = layout(rng, scene) if where is None else where
    canvas = side * oversample
    image = Image.new("RGB", (canvas, canvas), tuple(int(v) for v in background(rng)))
    pen = ImageDraw.Draw(image)
    for (shape, colour, _, _), (x, y, radius) in zip(scene, where):
        dull, pure = (np.array(c, float) for c in PAINT[colour])
        paint = dull + (pure - dull) * rng.random() + rng.normal(0, 7, 3)
        turn = rng.uniform(-0.13, 0.13)
        stretch = rng.uniform(0.95, 1.05)
        points = OUTLINES[shape] * (stretch, 1 / stretch)
        c, s = math.cos(turn), math.sin(turn)
        points = points @ np.array([(c, s), (-s, c)]) * radius + (x, y)
        pen.polygon([tuple(p) for p in points * canvas],
                    fill=tuple(int(v) for v in np.clip(paint, 0, 255)))
    if oversample > 1:
        image = image.resize((side, side), Image.Resampling.BOX)
    return image


# --- sentences ----------------------------------------------------------------------------------

def pick(rng, words, usual):
    return words[0] if len(words) == 1 or rng.random() < usual else words[int(rng.integers(
        len(words)))]


def phrase(rng, obj, keep, place_first, article):
    """One object in words; `keep` says which of its four attributes are named."""
    shape, colour, size, place = obj
    words = []
    if keep[2]:
        words.append(pick(rng, SIZE_WORDS[size], 0.6))
    if keep[1]:
        words.append(pick(rng, COLOUR_WORDS[colour], 0.85))
    words.append(pick(rng, SHAPE_WORDS[shape], 0.8) if keep[0]
                 else ("shape", "thing", "object")[int(rng.integers(3))])
    if article:
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    noun = " ".join(words)
    if not keep[3]:
        return noun
    spot = pick(rng, PLACE_WORDS[place], 0.4)
    return f"{spot} {noun}" if place_first else f"{noun} {spot}"


def caption(rng, scene, full=False):
    """A sentence about every object of the scene, and what it says: (text, objects with ANY)."""
    keep = np.ones((len(scene), 4), bool)
    form = rng.random()
    if not full and form > 0.55:
        if form < 0.65:
            keep[:, 3] = False
        elif form < 0.77:
            keep[:, 2] = False
        elif form < 0.88:
            keep[:, 2:] = False
        elif form < 0.93:
            keep[:] = rng.random(keep.shape) < 0.6
        elif form < 0.96:
            keep[:, 0] = False
        elif form < 0.98:
            keep[:, 1] = False
        else:
            keep[:, :2] = rng.random((len(scene), 2)) < 0.5
            keep[:, 2:] = False
        blank = ~keep.any(1)
        keep[blank, 1] = True
    order = rng.permutation(len(scene))
    place_first, article = rng.random() < 0.15, rng.random() < 0.85
    parts = [phrase(rng, scene[i], keep[i], place_first, article) for i in order]
    if len(parts) == 1:
        text = parts[0]
    elif len(parts) == 2:
        text = parts[0] + (" and ", ", ", " with ")[int(rng.choice(3, p=(.7, .2, .1)))] + parts[1]
    else:
        text = (f"{parts[0]}, {parts[1]} and {parts[2]}" if rng.random() < 0.6 else
                ", ".join(parts) if rng.random() < 0.5 else " and ".join(parts))
    if article and not place_first and rng.random() < 0.3:
        text = OPENINGS[int(rng.integers(len(OPENINGS)))] + text
    if rng.random() < 0.2:
        text = text[0].upper() + text[1:] + "."
    says = [tuple(v if k else ANY for v, k in zip(o, kept)) for o, kept in zip(scene, keep)]
    return text, says


def true_of(says, objects):
    """[captions, pictures]: is each caption true of each picture, under some pairing of objects?"""
    n = len(says)
    said = np.full((n, 3, 4), 99, np.int64)
    for i, rows in enumerate(says):
        said[i, :len(rows)] = rows
    fits = ((said[:, None, :, None] == objects[None, :, None, :])
            | (said[:, None, :, None] == ANY)).all(-1)
    # "Nothing" (99) must meet "nothing", an object said must meet an object drawn.
    fits &= (said[:, None, :, None, 0] == 99) == (objects[None, :, None, :, 0] == 99)
    return np.any([fits[:, :, 0, p[0]] & fits[:, :, 1, p[1]] & fits[:, :, 2, p[2]]
                   for p in itertools.permutations(range(3))], 0)
