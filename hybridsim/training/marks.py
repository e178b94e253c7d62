"""Sentences with what is to be found in them, and how answers are marked.

An answer is right or wrong, whatever the task; where a task has more to say of it, a number
stands beside: the words it shares with a given answer, or the rating itself.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridsim.training.corpora import Example
from hybridsim.training.splits import NEAR, Split

if TYPE_CHECKING:  # torch is not needed for marks
    from hybridsim.training.tokens import TokenizedText


@dataclass(frozen=True, slots=True)
class Marks:
    """How answers were marked, shape (sentences,) each."""

    right: NDArray[np.bool_]
    """Which are right."""
    numbers: NDArray[np.float32] | None = None
    """F1 of words of each answer, or the ratings given; None for classes."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """Tokenized sentences and what is to be found in each."""

    text: "TokenizedText"
    labels: NDArray[np.int64] | NDArray[np.float64]
    """Class or rating of every sentence, or first and last token of an answer, (windows, 2)."""

    def marked(self, found: NDArray[np.float64]) -> Marks:
        """Return which answers are right.

        Args:
            found: What :func:`~hybridsim.training.training.predictions` returns.
        """
        return Marks(found == self.labels)


@dataclass(frozen=True, slots=True)
class RatedSentences(Sentences):
    """Sentences with ratings."""

    near: float = 0.0
    """An answer so near to the rating is right."""

    def marked(self, found: NDArray[np.float64]) -> Marks:
        """Return which ratings are near enough, and the ratings."""
        return Marks(np.abs(found - self.labels) <= self.near, found.astype(np.float32))


def rated(split: Split, part: tuple[Example, ...], text: "TokenizedText") -> RatedSentences:
    """Return the sentences of a part with their ratings."""
    trained_on = split.ratings(split.train)
    near = NEAR * float(trained_on.max() - trained_on.min())
    return RatedSentences(text, split.ratings(part), near)
