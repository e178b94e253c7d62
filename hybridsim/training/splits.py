"""Parts to train on, to choose by and to test on: documents whole, and no text twice.

Sentences of one review, article or author know each other. A model that has seen some of them
has an easier test with the others, so a document lies in one part as a whole.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridsim.errors import SpecError
from hybridsim.training.corpora import Example

MOST_CLASSES = 200
"""More labels than this are surely not classes."""
NEAR = 0.1
"""A rating is right within this share of the range of those trained on: 0.5 of STS-B's 0 to 5.
Assumed; the metrics of such tasks are correlations."""


@dataclass(frozen=True, slots=True)
class Split:
    """Sentences to train, choose and test on, and the classes in alphabetical order, if any."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    classes: tuple[str, ...]
    validation: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out or kept together, a sentence each."""

    def labels(self, part: Iterable[Example]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Return the index of the class of every sentence."""
        index = {name: i for i, name in enumerate(self.classes)}
        return np.array([index[example.label] for example in part], np.int64)

    def ratings(self, part: Iterable[Example]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Return the rating of every sentence."""
        return np.array([float(example.label) for example in part], np.float64)


def shuffled(examples: Sequence[Example], rng: np.random.Generator) -> list[Example]:
    """Return the sentences in a random order."""
    return [examples[i] for i in rng.permutation(len(examples))]


def without_repeats(
    examples: Iterable[Example], known: Iterable[Example] = ()
) -> tuple[list[Example], int]:
    """Return what is neither in ``known`` nor there before, and how many were dropped.

    Texts are compared without case and with single spaces.
    """
    seen, kept, dropped = {_text(example) for example in known}, [], 0
    for example in examples:
        text = _text(example)
        if text in seen:
            dropped += 1
        else:
            kept.append(example)
            seen.add(text)
    return kept, dropped


def _text(example: Example) -> tuple[str, ...]:
    return tuple(
        " ".join((part or "").casefold().split()) for part in (example.text, example.pair)
    )


def by_document(
    examples: Sequence[Example], sizes: Sequence[int], rng: np.random.Generator
) -> list[list[Example]]:
    """Return a part of each size from a random order of documents; a document is in one part.

    What is left of the last document of a part is dropped. A sentence without a group is a
    document of its own.

    Raises:
        SpecError: There are too few documents.
    """
    documents: dict[object, list[Example]] = {}
    for number, example in enumerate(examples):
        documents.setdefault(example.group or number, []).append(example)
    order = [document for _, document in sorted(documents.items(), key=lambda item: str(item[0]))]
    waiting = [order[i] for i in rng.permutation(len(order))][::-1]
    parts = []
    for size in sizes:
        part: list[Example] = []
        while len(part) < size and waiting:
            part += waiting.pop()
        if len(part) < size:
            raise SpecError(
                "data",
                "train, validation and test",
                f"found {len(examples):,} sentences in {len(order):,} documents, each of which "
                f"goes to one part; {', '.join(f'{s:,}' for s in sizes)} are asked for; fewer, or "
                "split: sentences, would do",
            )
        parts.append(shuffled(part[:size], rng))
    return parts


def shared_groups(train: Iterable[Example], test: Iterable[Example]) -> list[str]:
    """Return the documents that are in both of two given parts, in alphabetical order."""
    return sorted({e.group for e in train if e.group} & {e.group for e in test if e.group})


def check_enough(part: str, found: int, wanted: int) -> None:
    """Refuse a part that is too small.

    Raises:
        SpecError: It is.
    """
    if found < wanted:
        raise SpecError("data", part, f"found {found:,} sentences; {wanted:,} are asked for")


def classes_of(parts: dict[str, list[Example]]) -> tuple[str, ...]:
    """Return the classes of all parts.

    Raises:
        SpecError: There is one class, or far too many, or a part lacks one.
    """
    counts = {name: Counter(e.label for e in part) for name, part in parts.items()}
    classes = sorted({label for count in counts.values() for label in count})
    if not 2 <= len(classes) <= MOST_CLASSES:
        problem = f"found {len(classes)} different; 2 to {MOST_CLASSES} classes would do"
        raise SpecError("data", "label", problem)
    for part, count in counts.items():
        for name in classes:
            if not count[name]:
                problem = (
                    f"class {name[:40]!r} is empty; more sentences, or fewer classes, would do"
                )
                raise SpecError("data", part, problem)
    return tuple(classes)


def check_ratings(parts: dict[str, list[Example]]) -> None:
    """Refuse labels that are no numbers, or all the same.

    Raises:
        SpecError: They are.
    """
    found = {name: {example.label for example in part} for name, part in parts.items()}
    for name, labels in found.items():
        wrong = sorted(label for label in labels if not _is_number(label))
        if wrong:
            problem = f"found the rating {wrong[0][:40]!r}; a number would do"
            raise SpecError("data", name, problem)
    if len({float(label) for label in found["train"]}) < 2:
        raise SpecError("data", "train", "all ratings are the same; different ones would do")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
