"""Remembered lines, questions that they answer, and questions that they do not; and texts of known
quality for the judge.

A block of lines stands before the question:

    # Relevant Context from Memory:
    [Relevance: 0.83] Anna has a red ball.
    [Relevance: 0.61] The key is in the kitchen.

    Who has the ball?

Held out: a fact whose (subject + object), counted in the lists below, is a multiple of 4 is never
in a training line. Names of people, pets, cities and files are now and then made up from
syllables, so that copying has to be learnt and not the lists.
"""
import scenes
import questions
from questions import choose, with_article

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jack", "Kate",
         "Leo", "Mia", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Tom")
ITEMS = ("key", "book", "ball", "cup", "hat", "lamp", "bag", "phone", "pen", "coat", "clock",
         "bike", "boat", "map", "letter", "camera")
ROOMS = ("kitchen", "garden", "garage", "office", "bedroom", "hall", "attic", "cellar", "car",
         "school", "library", "shop")
CITIES = ("Rome", "Paris", "London", "Berlin", "Madrid", "Oslo", "Vienna", "Prague", "Lisbon",
          "Dublin", "Athens", "Warsaw")
FOODS = ("tea", "coffee", "bread", "cheese", "soup", "rice", "cake", "pizza", "milk", "honey",
         "music", "books")
PETS = ("cat", "dog", "bird", "horse", "fish", "rabbit")
EVENTS = ("meeting", "party", "exam", "concert", "trip", "lesson")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FILES = ("beach", "park", "house", "hill", "river", "lake", "forest", "night", "summer", "winter",
         "one", "two")
ENDINGS = (".png", ".jpg")
UNKNOWN = "I do not know."
NOTED = "I will remember that."
KINDS = ("memory", "does not know")
MADE_UP = 0.2  # share of the names that are made up
HEAD = "# Relevant Context from Memory:\n"


def made_up(rng):
    parts = ("ba be bi bo da de do fa fi ga go ka ki ko la le li lo ma mi mo na ni no pa pi po ra "
             "ri ro sa si so ta ti to va vi vo za zo").split()
    return "".join(choose(rng, parts) for _ in range(int(rng.integers(2, 4))))


def word(rng, options, share, capital=False):
    """(index, word); the index is -1 for a made-up word, which `share` of them are."""
    if rng.random() < share:
        new = made_up(rng)
        return -1, new.capitalize() if capital else new
    i = int(rng.integers(len(options)))
    return i, options[i]


def holds_made_up(answer):
    """Is a name in the answer in none of the lists?"""
    listed = NAMES + CITIES + DAYS + FILES
    return any((w[0].isupper() or "." in w) and w.split(".")[0] not in listed
               for w in answer.split())


def bound(rng, held, left, right):
    """Two words whose indices are held out or not, as asked for."""
    while True:
        (i, a), (j, b) = left(), right()
        if i < 0 or j < 0 or ((i + j) % 4 == 0) == held:
            return a, b


def fact(rng, held, share=MADE_UP):
    """(line, key, [(question, answer)], [a question that the line does not answer]).

    `key` is what a question may ask about; it occurs once in a block.
    """
    def plain(options):
        def draw():
            i = int(rng.integers(len(options)))
            return i, options[i]
        return draw

    def made(options, capital=True):
        return lambda: word(rng, options, share, capital)

    form = int(rng.integers(10))
    if form == 0:
        a, b = bound(rng, held, made(NAMES), plain(ITEMS))
        paint = choose(rng, scenes.COLOURS)
        thing = with_article(f"{paint} {b}") if rng.random() < 0.5 else f"the {b}"
        return f"{a} has {thing}.", (a, b), [
            (f"Who has the {b}?", a), (f"What does {a} have?", thing)], [
            f"Where does {a} live?", f"What does {a} like?", f"Where is the {b}?"]
    if form == 1:
        a, b = bound(rng, held, plain(ITEMS), plain(ROOMS))
        return f"The {a} is in the {b}.", (a, b), [
            (f"Where is the {a}?", f"in the {b}"), (f"What is in the {b}?", f"the {a}")], [
            f"Who has the {a}?", f"What colour is the {a}?"]
    if form == 2:
        a, b = bound(rng, held, made(NAMES), made(CITIES))
        return f"{a} lives in {b}.", (a, b), [
            (f"Where does {a} live?", f"in {b}"), (f"Who lives in {b}?", a)], [
            f"What does {a} have?", f"What does {a} like?"]
    if form == 3:
        a, b = bound(rng, held, made(NAMES), plain(FOODS))
        return f"{a} likes {b}.", (a, b), [
            (f"What does {a} like?", b), (f"Who likes {b}?", a)], [
            f"Where does {a} live?", f"What does {a} have?"]
    if form == 4:
        stem = word(rng, FILES, share)[1] + choose(rng, ENDINGS)
        obj = scenes.random_object(rng, held)
        named = with_article(questions.noun(rng, obj, (questions.COLOUR, questions.SHAPE), True))
        return f"{stem} shows {named}.", (stem, named), [
            (f"Which picture shows {named}?", stem), (f"What does {stem} show?", named),
            (f"Which picture has {named}?", stem)], []
    if form == 5:
        a, b = bound(rng, held, plain(PETS), made(NAMES))
        verb = choose(rng, ("called", "named"))
        return f"My {a} is {verb} {b}.", (a, b), [
            (f"What is my {a} called?", b), (f"What is the name of my {a}?", b)], [
            f"Where is my {a}?", f"What colour is my {a}?"]
    if form == 6:
        a, b = bound(rng, held, plain(EVENTS), plain(DAYS))
        return f"The {a} is on {b}.", (a, b), [
            (f"When is the {a}?", f"on {b}"), (f"What is on {b}?", f"the {a}")], [
            f"Where is the {a}?"]
    if form == 7:
        own, ask, words = choose(rng, (
            ("My name is {}.", ("What is my name?", "Who am I?"), made(NAMES)),
            ("I live in {}.", ("Where do I live?", "In which city do I live?"), made(CITIES)),
            ("I like {}.", ("What do I like?", "What do I like?"), plain(FOODS)),
            ("My favourite colour is {}.", ("What is my favourite colour?",
                                            "Which colour do I like?"), plain(scenes.COLOURS))))
        value = words()[1]
        return own.format(value), (own, own), [
            (q, f"in {value}" if "live" in own else value) for q in ask], []
    if form == 8:
        a, b = bound(rng, held, plain(ITEMS), plain(scenes.COLOURS))
        return f"My {a} is {b}.", (a, "my " + a), [
            (f"What colour is my {a}?", b), (f"Which colour is my {a}?", b)], [
            f"Where is my {a}?"]
    a, b = bound(rng, held, plain(ITEMS), plain(ROOMS))
    return f"My {a} is in the {b}.", (a, b), [
        (f"Where is my {a}?", f"in the {b}"), (f"Where did I put my {a}?", f"in the {b}")], [
        f"What colour is my {a}?"]


def block(rng, held, lines=None, share=MADE_UP):
    """(text of the block, [(question, answer)], [unanswerable question])."""
    lines = lines or int(rng.integers(1, 6))
    facts, taken, unknown = [], set(), []
    while len(facts) < lines:
        new = fact(rng, held, share)
        if not taken & set(new[1]):
            facts.append(new)
            taken |= set(new[1])
    while len(unknown) < 4:
        near = choose(rng, facts)[3]
        if near and rng.random() < 0.3:
            unknown.append(choose(rng, near))
            continue
        _, key, asked, _ = fact(rng, held, share)
        if not taken & set(key):
            unknown.append(choose(rng, asked)[0])
    scores = sorted((int(rng.integers(20, 99)) for _ in facts), reverse=True)
    text = "".join(f"[Relevance: 0.{s}] {f[0]}\n" for s, f in zip(scores, facts))
    asked = [(questions.people_write(rng, q), a) for f in facts for q, a in f[2]]
    return HEAD + text, asked, [questions.people_write(rng, q) for q in unknown]


# --- the judge ----------------------------------------------------------------------------------

GRADES = ("high", "middle", "low")
CRITERIA = ("quality", "clarity", "relevance", "completeness")
VAGUE = ("Someone has something.", "There is a thing.", "It is nice.", "Something is somewhere.",
         "A shape is there.", "They like it.", "It is in the picture.", "I do not know what it is.",
         "Maybe it is red.", "There are some things.", "He has it.", "It is on a day.",
         "Somebody lives there.", "She likes things.", "The thing is there.", "We see something.")


def good_text(rng, held):
    form = rng.random()
    if form < 0.35:
        scene = questions.random_scene(rng, held, int(rng.integers(1, 3)))
        _, said = questions.describe(rng, scene, held)
        return (f"{choose(rng, FILES)}{choose(rng, ENDINGS)} shows {said}." if rng.random() < 0.5
                else f"The picture shows {said}.")
    if form < 0.75:
        return fact(rng, held)[0]
    return f"{fact(rng, held)[0]} {fact(rng, held)[0]}"


def broken_text(rng, held):
    form = rng.random()
    words = good_text(rng, held).rstrip(".").split()
    if form < 0.4:
        order = rng.permutation(len(words))
        return " ".join(words[i] for i in order[:max(2, len(words) - 1)])
    if form < 0.6:
        return " ".join([choose(rng, words)] * int(rng.integers(3, 6)))
    if form < 0.8:
        letters = "abcdefghijklmnopqrstuvwxyz;#?!"
        return " ".join("".join(choose(rng, letters) for _ in range(int(rng.integers(2, 7))))
                        for _ in range(int(rng.integers(1, 4))))
    return " ".join(words[:int(rng.integers(1, 3))]) + " the of"


def judged(rng, held, grade=None):
    """(prompt, score, grade) of a text: specific and complete, vague, or broken."""
    grade = GRADES[int(rng.integers(3))] if grade is None else grade
    if grade == "high":
        text, score = good_text(rng, held), "0.9"
    elif grade == "middle":
        text, score = choose(rng, VAGUE), "0.5"
        if rng.random() < 0.3:
            text += " " + choose(rng, VAGUE)
    else:
        text, score = broken_text(rng, held), "0.1"
    what = choose(rng, CRITERIA)
    return f"Rate the {what} of this text from 0.0 to 1.0, only a decimal: {text}", score, grade
