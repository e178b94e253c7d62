"""Questions about passages: windows to read them in, and answers judged by their words.

A passage that is longer than what the encoder reads is read in windows that overlap. A window
without a whole answer is trained to point at its first token. The answer to a question is the
likeliest span over its windows; where some questions have none, it is that first token's score
in the window that likes it least that has to be beaten. Source: Devlin et al., BERT, NAACL 2019,
section 4.2 and 4.3, and the program that comes with it.

Marks are those of SQuAD: exact match and F1 of words, without case, punctuation and articles, the
best over the given answers. Source: Rajpurkar et al., EMNLP 2016, section 6.1, and ACL 2018.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from hybridsim.errors import SpecError
from hybridsim.training.corpora import Example
from hybridsim.training.marks import Marks, Sentences
from hybridsim.training.tokens import TokenizedText, tokenizer_of

MOST_OF_QUESTION = 64
"""Tokens of a question at most. Source: BERT's own run on SQuAD."""
MOST_OF_ANSWER = 30
"""Tokens of an answer at most. Source: as above."""
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """Some tokens of a passage behind its question."""

    question: int
    """Index of the question."""
    ids: Places
    segments: Places
    passage: tuple[int, int]
    """Its first token of the passage and the one after the last."""
    characters: Places
    """Places of characters in the passage that its tokens stand for, shape (tokens, 2)."""

    def label(self, spans: Iterable[tuple[int, int]]) -> tuple[int, int]:
        """Return first and last token of the first answer that is here as a whole, else 0, 0."""
        first, stop = self.passage
        begins, ends = self.characters[first:stop].T
        for begin, end in spans:
            tokens = np.flatnonzero((begins < end) & (ends > begin) & (ends > begins))
            if tokens.size and begins[tokens[0]] <= begin and ends[tokens[-1]] >= end:
                return int(first + tokens[0]), int(first + tokens[-1])
        return 0, 0

    def characters_of(self, begin: int, end: int) -> slice:
        """Return the characters of the passage from a token to another."""
        first, stop = self.passage
        if not first <= begin <= end < stop:
            return slice(0, 0)
        return slice(int(self.characters[begin, 0]), int(self.characters[end, 1]))


@dataclass(frozen=True, slots=True)
class Questions(Sentences):
    """Questions in windows; labels are those of windows, marks those of questions."""

    examples: tuple[Example, ...] = ()
    windows: tuple[Window, ...] = ()
    may_be_unanswered: bool = False
    """Whether there may be no answer."""

    def marked(self, found: NDArray[np.float64]) -> Marks:
        """Return which answers match exactly, and F1 of their words.

        Args:
            found: Of each window first and last token of the best span, its score, and the score
                of there being none, shape (windows, 4).
        """
        answers = self.answers(found)
        pairs = [
            (normal(answer), [normal(text) for text in _given(example)])
            for answer, example in zip(answers, self.examples, strict=True)
        ]
        right = [answer in given for answer, given in pairs]
        shared = [max(word_f1(answer, text) for text in given) for answer, given in pairs]
        return Marks(np.array(right, np.bool_), np.array(shared, np.float32))

    def answers(self, found: NDArray[np.float64]) -> list[str]:
        """Return the words that answer each question; none for no answer."""
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(self.examples)
        least = np.full(len(self.examples), np.inf)
        for window, (begin, end, score, none) in zip(self.windows, found.tolist(), strict=True):
            asked = window.question
            least[asked] = min(least[asked], none)
            if score > best[asked][0]:
                passage = self.examples[asked].pair or ""
                best[asked] = score, passage[window.characters_of(int(begin), int(end))]
        return [
            "" if self.may_be_unanswered and none > score else text
            for (score, text), none in zip(best, least, strict=True)
        ]


def questions(
    folder: Path,
    examples: Sequence[Example],
    most: int,
    overlap: int | None,
    may_be_unanswered: bool,
) -> Questions:
    """Return questions in windows of ``most`` tokens that share ``overlap`` of the passage.

    Raises:
        SpecError: There is no room for a passage, or windows share all of it; or the tokenizer
            cannot be read.
    """
    encoded = tokenizer_of(folder).encode_batch([(e.text, e.pair or "") for e in examples])
    windows = tuple(
        window
        for number, each in enumerate(encoded)
        for window in _windows(number, each, most, overlap)
    )
    text = TokenizedText(
        tuple(w.ids for w in windows),
        tuple(w.segments for w in windows),
        tuple(w.passage for w in windows),
    )
    labels = np.array([w.label(examples[w.question].spans) for w in windows], np.int64)
    return Questions(text, labels.reshape(-1, 2), tuple(examples), windows, may_be_unanswered)


def _windows(number: int, encoded: Encoding, most: int, overlap: int | None) -> Iterable[Window]:
    """Yield the windows of a question; one that is empty where its passage is."""
    part = encoded.sequence_ids
    asked = [place for place, of in enumerate(part) if of == 0]
    passage = [place for place, of in enumerate(part) if of == 1]
    left_out = {*asked[MOST_OF_QUESTION:], *passage}
    around = [place for place in range(len(part)) if place not in left_out]
    first = passage[0] if passage else len(part) - 1
    before = [place for place in around if place < first]
    after = around[len(before) :]
    room = most - len(around)
    shared = room // 3 if overlap is None else overlap
    if room < 1 or shared >= room:
        key, found = ("tokens", most) if room < 1 else ("source.overlap", shared)
        would = f"more than {len(around)}" if room < 1 else f"less than {room}"
        problem = f"found {found}, with a question of {len(around)} tokens; {would} would do"
        raise SpecError("data", key, problem)
    ids, segments = (np.array(x, np.int64) for x in (encoded.ids, encoded.type_ids))
    characters = np.array(encoded.offsets, np.int64).reshape(-1, 2)
    starts = takewhile(lambda at: at == 0 or at + shared < len(passage), count(0, room - shared))
    for start in starts:
        inside = passage[start : start + room]
        places = np.array([*before, *inside, *after], np.int64)
        bounds = len(before), len(before) + len(inside)
        yield Window(number, ids[places], segments[places], bounds, characters[places])


def _given(example: Example) -> list[str]:
    """Return the words of the given answers; no words where there is no answer."""
    passage = example.pair or ""
    found = [passage[begin:end] for begin, end in example.spans]
    return [text for text in found if normal(text)] or [""]


def normal(text: str) -> str:
    """Return an answer without case, punctuation, articles and wide spaces."""
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def word_f1(found: str, given: str) -> float:
    """Return the harmonic mean of the shares of words that two answers have in common."""
    ours, theirs = found.split(), given.split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))
