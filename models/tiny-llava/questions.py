"""Questions about drawn scenes, with their answers.

A question names an object by as much as makes it the only one in the scene and never by what is
asked. Every answer is short and has one form, so that equality is the measure. No question or
answer of the training split names a held-out object (scenes.held_out) by shape, colour and place.

Behind what a question names stands a mark, one character of Unicode's private area, that says which
attributes it names: training has the model find out there what the scene holds of it. `about`
leaves the marks out unless they are asked for.
"""
import re

import scenes

COUNTS = ("none", "one", "two", "three")
PLACE = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom",
         "bottom right")
AT = ("at the top left", "at the top", "at the top right", "on the left", "in the centre",
      "on the right", "at the bottom left", "at the bottom", "at the bottom right")
ALSO_AT = {4: ("in the middle",), 0: ("in the top left corner",), 2: ("in the top right corner",),
           6: ("in the bottom left corner",), 8: ("in the bottom right corner",)}
PLURALS = ("circles", "squares", "triangles", "stars", "hearts", "crosses", "rings", "diamonds")
DIRECTIONS = (("left of", "to the left of"), ("right of", "to the right of"), ("above", "over"),
              ("below", "under"))
KINDS = ("colour", "shape", "size", "count", "presence", "place", "relation", "describe")
SHAPE, COLOUR, SIZE, SPOT = range(4)
PROBED = ((SHAPE,), (COLOUR,), (SPOT,), (COLOUR, SHAPE), (COLOUR, SHAPE), (SIZE, SHAPE),
          (SIZE, COLOUR), (SHAPE, SPOT), (COLOUR, SPOT))


MARK = 0xE000               # the first of the marks
MARKED = re.compile("([\ue000-\uf8ff])")
ANY = (8, 8, 2, 9)          # the value of an attribute that a mark leaves open


def mark(obj, fields):
    """The character that names these attributes of the object."""
    code = 0
    for field, any_value in enumerate(ANY):
        code = code * (any_value + 1) + (obj[field] if field in fields else any_value)
    return chr(MARK + code)


def found_by(character, scene):
    """The objects that a mark names in a scene."""
    code, named = ord(character) - MARK, []
    for any_value in ANY[::-1]:
        code, value = divmod(code, any_value + 1)
        named.insert(0, value)
    return [o for o in scene if all(n in (a, v) for n, a, v in zip(named, ANY, o))]


def choose(rng, options):
    return options[int(rng.integers(len(options)))]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def random_scene(rng, held, objects=None):
    """One to three objects. More often than by chance two share a colour or a shape."""
    want = objects or int(rng.choice(3, p=(.2, .4, .4))) + 1
    found = []
    while len(found) < want:
        new = scenes.random_object(rng, held, [o[SPOT] for o in found])
        if found and rng.random() < 0.4:
            field, twin = int(rng.integers(2)), choose(rng, found)
            new = tuple(twin[field] if f == field else v for f, v in enumerate(new))
            if scenes.held_out(new) != held:
                continue
        found.append(new)
    return tuple(sorted(found, key=lambda o: o[SPOT]))


def where(rng, place):
    return choose(rng, ALSO_AT[place]) if place in ALSO_AT and rng.random() < 0.25 else AT[place]


def noun(rng, obj, fields, plain=False):
    """'small red circle at the top': only the fields asked for; plain words where `plain`."""
    words = []
    if SIZE in fields:
        words.append(scenes.SIZES[obj[SIZE]] if plain else
                     scenes.pick(rng, scenes.SIZE_WORDS[obj[SIZE]], 0.7))
    if COLOUR in fields:
        words.append(scenes.COLOURS[obj[COLOUR]] if plain else
                     scenes.pick(rng, scenes.COLOUR_WORDS[obj[COLOUR]], 0.9))
    if SHAPE in fields:
        words.append(scenes.SHAPES[obj[SHAPE]] if plain else
                     scenes.pick(rng, scenes.SHAPE_WORDS[obj[SHAPE]], 0.85))
    else:
        words.append(scenes.pick(rng, ("shape", "thing", "object"), 0.6))
    if SPOT in fields:
        words.append(AT[obj[SPOT]] if plain else where(rng, obj[SPOT]))
    return " ".join(words) + ("" if plain else mark(obj, fields))


def same(a, b, fields):
    return all(a[f] == b[f] for f in fields)


def naming(rng, scene, obj, without):
    """A noun that only this object of the scene answers to, or None; never says `without`."""
    ways = [w for w in ((SHAPE,), (COLOUR,), (SPOT,), (SIZE,), (COLOUR, SHAPE), (SIZE, SHAPE),
                        (SIZE, COLOUR), (SHAPE, SPOT), (COLOUR, SPOT))
            if without not in w and sum(same(obj, o, w) for o in scene) == 1]
    if len(scene) == 1:
        ways.append(())
    if not ways:
        return None
    short = [w for w in ways if len(w) == 1 and w != (SIZE,)]
    return noun(rng, obj, choose(rng, short if short and rng.random() < 0.6 else ways))


def one(rng, scene, without):
    obj = choose(rng, scene)
    return obj, naming(rng, scene, obj, without)


def colour(rng, scene, held):
    obj, named = one(rng, scene, COLOUR)
    if named is None:
        return None
    text = choose(rng, (f"What colour is the {named}?", f"Which colour is the {named}?",
                        f"What is the colour of the {named}?", f"What color is the {named}?",
                        f"Which colour does the {named} have?"))
    return text, scenes.COLOURS[obj[COLOUR]]


def shape(rng, scene, held):
    obj, named = one(rng, scene, SHAPE)
    if named is None:
        return None
    text = choose(rng, (f"What shape is the {named}?", f"Which shape is the {named}?",
                        f"What is the shape of the {named}?",
                        f"Which shape does the {named} have?"))
    if rng.random() < 0.4 and sum(o[COLOUR] == obj[COLOUR] for o in scene) == 1:
        text = choose(rng, ("What shape is {}?", "Which shape is {}?")).format(
            scenes.COLOURS[obj[COLOUR]] + mark(obj, (COLOUR,)))
    return text, scenes.SHAPES[obj[SHAPE]]


def size(rng, scene, held):
    obj, named = one(rng, scene, SIZE)
    if named is None:
        return None
    text = choose(rng, (f"What size is the {named}?", f"How big is the {named}?",
                        f"How large is the {named}?", f"Is the {named} small or large?",
                        f"Is the {named} large or small?"))
    return text, scenes.SIZES[obj[SIZE]]


def count(rng, scene, held):
    form = rng.random()
    if form < 0.2:
        things, number = choose(rng, ("shapes", "things", "objects")) + mark((), ()), len(scene)
    else:
        field = SHAPE if form < 0.6 else COLOUR
        several = [o for o in scene if sum(o[field] == other[field] for other in scene) > 1]
        obj = choose(rng, several if several and rng.random() < 0.5 else scene)
        if rng.random() < 0.3:
            obj = tuple(int(rng.integers(8)) if f == field else v for f, v in enumerate(obj))
        number = sum(o[field] == obj[field] for o in scene)
        things = plural(rng, obj, field)
    text = choose(rng, (f"How many {things} are there?", f"How many {things} do you see?",
                        f"How many {things} are in the picture?",
                        f"Count the {things}."))
    return text, COUNTS[number]


def plural(rng, obj, field):
    return (PLURALS[obj[SHAPE]] if field == SHAPE else
            f"{scenes.COLOURS[obj[COLOUR]]} {choose(rng, ('shapes', 'things', 'objects'))}"
            ) + mark(obj, (field,))


def probe(rng, scene):
    """Words that name something of the scene, or nothing of it, with its mark."""
    fields = choose(rng, PROBED)
    obj = choose(rng, scene)
    if rng.random() < 0.45:
        obj = absent(rng, scene, obj, fields)
    if len(fields) == 1 and fields[0] in (SHAPE, COLOUR) and rng.random() < 0.4:
        return plural(rng, obj, fields[0])
    return noun(rng, obj, fields)


def absent(rng, scene, obj, fields):
    """The object with one of these attributes changed, so that the scene most likely lacks it."""
    for _ in range(20):
        change = choose(rng, fields)
        other = choose(rng, scene)
        value = (other[change] if other != obj and rng.random() < 0.5
                 else int(rng.integers(ANY[change])))
        new = tuple(value if f == change else v for f, v in enumerate(obj))
        if not any(same(new, o, fields) for o in scene):
            return new
    return obj


def presence(rng, scene, held):
    fields = choose(rng, ((SHAPE,), (COLOUR,), (COLOUR, SHAPE), (COLOUR, SHAPE), (SIZE, SHAPE),
                          (SIZE, COLOUR), (SHAPE, SPOT), (COLOUR, SPOT), (SPOT,)))
    obj = choose(rng, scene)
    if rng.random() < 0.5:
        obj = absent(rng, scene, obj, fields)
    there = any(same(obj, o, fields) for o in scene)
    named = with_article(noun(rng, obj, fields))
    if fields == (COLOUR,) and rng.random() < 0.5:
        named = f"anything {scenes.COLOURS[obj[COLOUR]]}" + mark(obj, fields)
    text = choose(rng, (f"Is there {named}?", f"Do you see {named}?", f"Can you see {named}?",
                        f"Is there {named} in the picture?", f"Does the picture show {named}?"))
    return text, "yes" if there else "no"


def place(rng, scene, held):
    if rng.random() < 0.25:
        spot = choose(rng, scene)[SPOT] if rng.random() < 0.8 else int(rng.integers(9))
        found = [o for o in scene if o[SPOT] == spot]
        text = choose(rng, ("What is {}?", "What do you see {}?")).format(
            where(rng, spot) + mark((0, 0, 0, spot), (SPOT,)))
        return text, (with_article(noun(rng, found[0], (COLOUR, SHAPE), True)) if found
                      else "nothing")
    obj, named = one(rng, scene, SPOT)
    if named is None:
        return None
    text = choose(rng, (f"Where is the {named}?", f"Where is the {named} in the picture?",
                        f"In which place is the {named}?", f"Where do you see the {named}?"))
    return text, PLACE[obj[SPOT]]


def lies(a, b, direction):
    (row, column), (other_row, other_column) = divmod(a[SPOT], 3), divmod(b[SPOT], 3)
    return (column < other_column, column > other_column, row < other_row,
            row > other_row)[direction]


def relation(rng, scene, held):
    if len(scene) < 2:
        return None
    a, b = (scene[int(i)] for i in rng.permutation(len(scene))[:2])
    first, second = naming(rng, scene, a, SPOT), naming(rng, scene, b, SPOT)
    form = rng.random()
    if second is None or (form < 0.7 and first is None):
        return None
    if form < 0.45:
        direction = int(rng.integers(4))
        if rng.random() < 0.3 and not any(lies(a, b, d) for d in (direction, direction ^ 1)):
            direction ^= 2
        words = scenes.pick(rng, DIRECTIONS[direction], 0.7)
        return (f"Is the {first} {words} the {second}?",
                "yes" if lies(a, b, direction) else "no")
    if form < 0.7:
        pair = [(d, w) for d, w in enumerate(("left", "right", "above", "below"))
                if lies(a, b, d)]
        direction, answer = choose(rng, pair)
        words = (("left or right of", "right or left of") if direction < 2 else
                 ("above or below", "below or above"))
        return f"Is the {first} {choose(rng, words)} the {second}?", answer
    direction = int(rng.integers(4))
    found = [o for o in scene if o != b and lies(o, b, direction)]
    if len(found) > 1 or (not found and rng.random() < 0.6):
        return None
    words = scenes.pick(rng, DIRECTIONS[direction], 0.7)
    return (f"What is {words} the {second}?",
            with_article(noun(rng, found[0], (COLOUR, SHAPE), True)) if found else "nothing")


def pair(rng, scene):
    """Words that name two objects of the scene and ask how they lie, up to the second's mark; or
    None where none were found."""
    for _ in range(10):
        found = relation(rng, scene, False)
        parts = MARKED.split(found[0]) if found else ()
        if len(parts) == 5:
            return "".join(parts[:4])
    return None


def related(scene, marks):
    """How the first of two objects that marks name lies to the second, sideways and up or down:
    0 left of or above, 1 right of or below, 2 neither."""
    (a,), (b,) = (found_by(m, scene) for m in marks)
    return tuple(0 if lies(a, b, d) else 1 if lies(a, b, d + 1) else 2 for d in (0, 2))


def describe(rng, scene, held):
    text = choose(rng, ("Describe the picture.", "What do you see?", "What is in the picture?",
                        "Describe this image.", "What does the picture show?",
                        "What is in this image?", "Describe what you see."))
    parts = [with_article(noun(rng, o, (SIZE, COLOUR, SHAPE, SPOT), True)) for o in scene]
    return text, (parts[0] if len(parts) == 1 else
                  ", ".join(parts[:-1]) + " and " + parts[-1])


ASK = dict(zip(KINDS, (colour, shape, size, count, presence, place, relation, describe)))


def people_write(rng, text):
    """Now and then without the capital, or without the mark at the end."""
    if rng.random() < 0.12:
        text = text[0].lower() + text[1:]
    if text[-1] == "?" and rng.random() < 0.08:
        text = text[:-1]
    return text


def about(rng, scene, held, kind, marks=False):
    """A question of this kind and its answer, or None where the scene gives none."""
    found = ASK[kind](rng, scene, held)
    if found is None:
        return None
    text = people_write(rng, found[0])
    return (text if marks else MARKED.sub("", text)), found[1]
