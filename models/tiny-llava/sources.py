"""Where in remembered lines stands what a question names and what its answer repeats: what training
shows the heads that look things up."""
import collections
import re

import numpy as np

WORD = re.compile(r"\w+")


class Sources:
    """A text that stands before questions, with its tokens."""
    def __init__(self, text, encoding):
        self.text = text
        self.ids = encoding.ids
        self.ends = np.array([end for _, end in encoding.offsets])
        self.words = collections.Counter(WORD.findall(text))

    def token(self, end):
        """Index of the token that holds the character before `end`."""
        return int(np.searchsorted(self.ends, end))

    def copied(self, line, answer):
        """(how many of the answer's tokens stand nowhere, where the first of the others stands), or
        None: all but at most one of the tokens follow each other within the line."""
        start = self.text.rindex(line)
        first, last = self.token(start + 1), self.token(start + len(line))
        for left in range(min(2, len(answer))):
            wanted = answer[left:]
            for i in range(first, last + 2 - len(wanted)):
                if self.ids[i:i + len(wanted)] == wanted:
                    return left, i
        return None

    def keys(self, line, asked, encoding):
        """[(token of the question, token here)]: the ends of words that of all lines this one alone
        shares with the question."""
        start, ends = self.text.rindex(line), np.array([end for _, end in encoding.offsets])
        here, counts = {}, collections.Counter()
        for found in WORD.finditer(line):
            here.setdefault(found.group(), start + found.end())
            counts[found.group()] += 1
        return [(int(np.searchsorted(ends, word.end())), self.token(here[word.group()]))
                for word in WORD.finditer(asked)
                if word.group() in here and counts[word.group()] == self.words[word.group()]]
