"""Remembered lines, questions that they answer, and questions that they do not; and texts of known
quality for the judge.

A block of lines stands before the question:

    # Relevant Context from Memory:
    [Relevance: 0.83] Anna has a red ball.
    [Relevance: 0.61] The key is in the kitchen.

    Who has the ball?

A line holds a fact as it was told, or a turn of an earlier conversation ("User: My dog is called
Rex. Assistant: I will remember that."). Other turns and names of pictures stand between them.

Held out: a fact whose (subject + object), counted in the lists below, is a multiple of 4 is never
in a training line. Names, things, places and files are now and then made up from syllables or
letters, so that copying has to be learnt and not the lists.
"""
import scenes
import questions
from questions import choose, with_article

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jack", "Kate",
         "Leo", "Mia", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Tom")
# Names that are no tokens: they are spelled, as most names that people tell will be.
SPELLED = ("Rex", "Bruno", "Luna", "Bella", "Max", "Rocky", "Milo", "Buddy", "Nala", "Oscar",
           "Maria", "Peter", "Julia", "Simon", "Laura", "Martin", "Nina", "Robert", "Sofia",
           "Thomas", "Eva", "Karl", "Lucy", "Henry", "Alice", "George", "Sarah", "Daniel", "Helen",
           "Victor", "Zoe", "Walter", "Irene", "Oliver", "Sandra", "Hamburg", "Milan", "Boston",
           "Geneva", "Munich", "Seattle", "Cairo", "Tokyo", "Sydney", "Zurich", "Porto", "Ghent")
ITEMS = ("key", "book", "ball", "cup", "hat", "lamp", "bag", "phone", "pen", "coat", "clock",
         "bike", "boat", "map", "letter", "camera", "bicycle", "car", "guitar", "umbrella",
         "jacket", "house", "door", "sofa")
SPELLED_THINGS = ("wallet", "ticket", "laptop", "passport", "scarf", "mug", "piano", "ladder",
                  "drill", "helmet", "basket", "mirror", "violin", "tent", "spoon", "hammer")
ROOMS = ("kitchen", "garden", "garage", "office", "bedroom", "hall", "attic", "cellar", "car",
         "school", "library", "shop")
CITIES = ("Rome", "Paris", "London", "Berlin", "Madrid", "Oslo", "Vienna", "Prague", "Lisbon",
          "Dublin", "Athens", "Warsaw")
FOODS = ("tea", "coffee", "bread", "cheese", "soup", "rice", "cake", "pizza", "milk", "honey",
         "music", "books")
PETS = ("cat", "dog", "bird", "horse", "fish", "rabbit")
KIN = ("sister", "brother", "mother", "father", "friend", "wife", "husband", "daughter", "son",
       "aunt", "uncle", "neighbour")
EVENTS = ("meeting", "party", "exam", "concert", "trip", "lesson", "birthday", "dentist")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FILES = ("beach", "park", "house", "hill", "river", "lake", "forest", "night", "summer", "winter",
         "one", "two")
ENDINGS = (".png", ".jpg")
UNKNOWN = "I do not know."
NOTED = "I will remember that."
KINDS = ("memory", "does not know")
MADE_UP = 0.3  # share of the words that are made up
HEAD = "# Relevant Context from Memory:\n"
SYLLABLES = tuple((a + b) for a in "bdfgklmnprstvz" for b in "aeiou")


def made_up(rng, spelled=()):
    """A word that is no token."""
    form = rng.random()
    if spelled and form < 0.3:
        return choose(rng, spelled)
    parts = "".join(choose(rng, SYLLABLES) for _ in range(int(rng.integers(1 + (form < 0.7), 4))))
    return parts + (choose(rng, "nrstlxk") if form > 0.7 or rng.random() < 0.2 else "")


def word(rng, options, share, capital=False):
    """(index, word); the index is -1 for a made-up word, which `share` of them are."""
    if rng.random() < share:
        new = made_up(rng, SPELLED if capital else SPELLED_THINGS)
        return -1, new.capitalize() if capital else new
    i = int(rng.integers(len(options)))
    return i, options[i]


def holds_made_up(answer):
    """Is a word in the answer in none of the lists?"""
    return any(w.split(".")[0] not in LISTED for w in answer.split())


LISTED = {*NAMES, *ITEMS, *ROOMS, *CITIES, *FOODS, *PETS, *KIN, *EVENTS, *DAYS, *FILES,
          *scenes.SHAPES, *scenes.COLOURS, *"a an the in on my".split()}


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

    form = int(rng.integers(13))
    if form == 0:
        a, b = bound(rng, held, made(NAMES), made(ITEMS, False))
        paint = choose(rng, scenes.COLOURS)
        thing = with_article(f"{paint} {b}") if rng.random() < 0.5 else f"the {b}"
        return f"{a} has {thing}.", (a, b), [
            (f"Who has the {b}?", a), (f"What does {a} have?", thing)], [
            f"Where does {a} live?", f"What does {a} like?", f"Where is the {b}?"]
    if form == 1:
        a, b = bound(rng, held, made(ITEMS, False), made(ROOMS, False))
        return f"The {a} is in the {b}.", (a, b), [
            (f"Where is the {a}?", f"in the {b}"), (f"What is in the {b}?", f"the {a}")], [
            f"Who has the {a}?", f"What colour is the {a}?"]
    if form == 2:
        a, b = bound(rng, held, made(NAMES), made(CITIES))
        verb = choose(rng, ("lives", "lives", "works"))
        return f"{a} {verb} in {b}.", (a, b), [
            (f"Where does {a} {verb[:-1]}?", f"in {b}"), (f"Who {verb} in {b}?", a)], [
            f"What does {a} have?", f"What does {a} like?"]
    if form == 3:
        a, b = bound(rng, held, made(NAMES), made(FOODS, False))
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
        a, b = bound(rng, held, plain(PETS + KIN), made(NAMES))
        verb = choose(rng, ("called", "named"))
        line = (f"My {a} is {verb} {b}.", f"The name of my {a} is {b}.")[int(rng.random() < 0.3)]
        return line, (a, b), [
            (f"What is my {a} called?", b), (f"What is the name of my {a}?", b)], [
            f"Where is my {a}?", f"What does my {a} like?"]
    if form == 6:
        a, b = bound(rng, held, plain(EVENTS), plain(DAYS))
        return f"The {a} is on {b}.", (a, b), [
            (f"When is the {a}?", f"on {b}"), (f"What is on {b}?", f"the {a}")], [
            f"Where is the {a}?"]
    if form == 7:
        own, ask, words = choose(rng, (
            ("My name is {}.", ("What is my name?", "Who am I?"), made(NAMES)),
            ("I live in {}.", ("Where do I live?", "In which city do I live?"), made(CITIES)),
            ("I like {}.", ("What do I like?", "What do I like?"), made(FOODS, False)),
            ("My favourite colour is {}.", ("What is my favourite colour?",
                                            "Which colour do I like?"), plain(scenes.COLOURS))))
        value = words()[1]
        return own.format(value), (own, own), [
            (q, f"in {value}" if "live" in own else value) for q in ask], []
    if form == 8:
        a, b = bound(rng, held, made(ITEMS, False), plain(scenes.COLOURS))
        return f"My {a} is {b}.", (a, "my " + a), [
            (f"What colour is my {a}?", b), (f"Which colour is my {a}?", b)], [
            f"Where is my {a}?"]
    if form == 9:
        a, b = bound(rng, held, made(ITEMS, False), made(ROOMS, False))
        return f"My {a} is in the {b}.", (a, b), [
            (f"Where is my {a}?", f"in the {b}"), (f"Where did I put my {a}?", f"in the {b}")], [
            f"What colour is my {a}?"]
    if form == 10:
        a, b = bound(rng, held, made(NAMES), made(ITEMS, False))
        kin, paint = choose(rng, KIN), choose(rng, scenes.COLOURS)
        thing = with_article(f"{paint} {b}" if rng.random() < 0.7 else b)
        return f"My {kin} {a} has {thing}.", (a, b, kin), [
            (f"Who has the {b}?", a), (f"What does {a} have?", thing),
            (f"What does my {kin} have?", thing), (f"What is my {kin} called?", a)], [
            f"Where does {a} live?", f"Where is the {b}?"]
    if form == 11:
        a, b = bound(rng, held, plain(KIN + PETS), made(FOODS, False))
        return f"My {a} likes {b}.", (a, b), [
            (f"What does my {a} like?", b)], [f"What is my {a} called?"]
    a = word(rng, ROOMS + ITEMS, share)[1]
    code = "".join(str(int(d)) for d in rng.integers(10, size=int(rng.integers(2, 5))))
    return f"The code of the {a} is {code}.", (a, code), [
        (f"What is the code of the {a}?", code)], [f"What colour is the {a}?"]


def line(rng, new):
    """(a fact as a memory holds it, what can be asked then): alone, as a turn that told it, or as a
    turn that asked for it."""
    form = rng.random()
    if form < 0.55:
        return new[0], new[2]
    if form < 0.88:
        return f"User: {new[0]} Assistant: {NOTED}", new[2]
    q, a = choose(rng, new[2])
    return f"User: {q} Assistant: {a}", [(q, a)]


def beside(rng, facts, share):
    """A line that answers nothing."""
    form = rng.random()
    if form < 0.4:
        return f"Picture: {word(rng, FILES, share)[1]}{choose(rng, ENDINGS)}"
    return f"User: {choose(rng, choose(rng, facts)[2])[0]} Assistant: {UNKNOWN}"


def some_facts(rng, held, number, share=MADE_UP):
    """(facts that share no key, questions that they do not answer)"""
    facts, taken, unknown = [], set(), []
    while len(facts) < number:
        new = fact(rng, held, share)
        if not taken & set(new[1]):
            facts.append(new)
            taken |= set(new[1])
    while len(unknown) < 4:
        near = choose(rng, facts)[3]
        if near and rng.random() < 0.3:
            unknown.append(choose(rng, near))
            continue
        other = fact(rng, held, share)
        if not taken & set(other[1]):
            unknown.append(choose(rng, other[2])[0])
    return facts, [questions.people_write(rng, q) for q in unknown]


def block(rng, held, lines=None, share=MADE_UP):
    """(text of the block, [(question, answer, the line that tells)], [unanswerable question])."""
    lines = lines or (int(rng.integers(1, 6)) if rng.random() < 0.8 else int(rng.integers(6, 9)))
    facts, unknown = some_facts(rng, held, lines, share)
    told_by = [line(rng, new) for new in facts]
    said = [text for text, _ in told_by]
    if rng.random() < 0.2:
        said.insert(int(rng.integers(lines + 1)), beside(rng, facts, share))
    known = [(questions.people_write(rng, q), a, text) for text, some in told_by for q, a in some]
    return HEAD + relevant(rng, said), known, unknown


def halves(rng, text):
    """[(begin of a line of a block, the rest, the line)]: each begin is that of one line alone."""
    said = [line.split("] ", 1)[1].split(" ") for line in text.splitlines()[1:]]
    found = []
    for words in said:
        alone = [k for k in range(1, len(words))
                 if sum(other[:k] == words[:k] for other in said) == 1]
        for k in sorted({choose(rng, alone) for _ in range(2)} if alone else ()):
            found.append((" " + " ".join(words[:k]), " ".join(words[k:]), " ".join(words)))
    return [found[i] for i in rng.permutation(len(found))]


def relevant(rng, said):
    """Lines with how relevant each is; mostly the higher first."""
    scores = sorted((int(rng.integers(20, 101)) for _ in said), reverse=True)
    if rng.random() < 0.2:
        scores = [scores[i] for i in rng.permutation(len(scores))]
    return "".join(f"[Relevance: {s // 100}.{s % 100:02}] {text}\n"
                   for s, text in zip(scores, said))


POLITE = (("Hello.", "Hello."), ("Hi.", "Hello."), ("Thank you.", "You are welcome."),
          ("Thanks.", "You are welcome."), ("Who are you?", "I am a very small model."))


def told(rng, held, share=MADE_UP):
    """Something that a user says without asking, and what is answered."""
    if rng.random() < 0.12:
        return choose(rng, POLITE)
    text = fact(rng, held, share)[0]
    if rng.random() < 0.2:
        text = choose(rng, ("Remember: ", "Please remember: ", "Note that ")) + text
    return (text[:-1] if rng.random() < 0.15 else text), NOTED


# --- the judge ----------------------------------------------------------------------------------

# The prompt of the judge stands alone in the turn of the user; the answer a decimal alone.
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
    if form < 0.7:
        return fact(rng, held)[0]
    if form < 0.85:
        return line(rng, fact(rng, held))[0]
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
