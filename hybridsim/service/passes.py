"""How long the passes of continuous batching take: simulated, or between simulated ones.

A pass is one run of the network, and there are two kinds. One gives each of S sequences its next
token; it is timed as one of S sequences that all have the mean of their contexts, rounded up, so
that S equal sequences take what :func:`hybridsim.generate` says. The other takes in a chunk of
each of some equal prompts, after what came before of them.

Few requests have few passes, and each is simulated. Many requests have millions; then those at
*knots* are simulated, and the time of any other lies on the straight lines between them: numbers
with few leading binary digits and then zeros. What that costs is measured, not guessed: a random
sample of the passes that were asked for is simulated at the end, and its errors are part of the
answer.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybridsim.generation import GenerationTimes
from hybridsim.units import Ints

_CHECKED = 12
"""Passes of each kind that are simulated besides."""


class Passes(Protocol):
    """The times of passes."""

    def token_ps(self, sequences: int, context: int, count: int) -> Ints:
        """Return the times of passes that give each sequence a token, one after the other [ps].

        ``context`` is the mean of the tokens before the first of them, rounded up. Of ``count``
        passes at least one is told.
        """

    def prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        """Return the time of a pass over a chunk of each of some prompts [ps]."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """Each pass as it was simulated."""

    times: GenerationTimes

    def token_ps(self, sequences: int, context: int, count: int) -> Ints:
        """Return the time of the first of the passes [ps]."""
        return np.array([self.times.token_ps(context, sequences)])

    def prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        """Return the time of a pass over a chunk of each of some prompts [ps]."""
        return self.times.prompt_ps(tokens, past, sequences)


def knots(most: int, digits: int) -> list[int]:
    """Return the numbers from 1 to ``most`` that are ``digits`` binary digits, then zeros.

    Numbers up to 8, and ``most``, are knots whatever the digits.
    """
    found, value = [], 1
    while value < most:
        found.append(value)
        value += 1 << max(0, value.bit_length() - digits) if value >= 8 else 1
    return [*found, most]


class Line:
    """Where a number lies between its knots."""

    def __init__(self, most: int, digits: int) -> None:
        self.knots = np.array(knots(most, digits))

    def ends(self, value: int) -> list[tuple[int, float]]:
        """Return the one or two knots around a number, and the weight of each."""
        place = int(np.searchsorted(self.knots, value))
        high = int(self.knots[place])
        if high == value:
            return [(value, 1.0)]
        low = int(self.knots[place - 1])
        return [(low, (high - value) / (high - low)), (high, (value - low) / (high - low))]


@dataclass
class Sample:
    """A random sample of what was asked for, all of it alike; the same for equal questions."""

    asked: list[tuple[int, ...]] = field(default_factory=list)
    _seen: int = 0
    _random: Random = field(default_factory=lambda: Random(0))

    def add(self, question: tuple[int, ...]) -> None:
        """Take a question into account."""
        self._seen += 1
        if len(self.asked) < _CHECKED:
            self.asked.append(question)
        elif (place := self._random.randrange(self._seen)) < _CHECKED:
            self.asked[place] = question


class Interpolated:
    """Passes at knots as they were simulated, others between them.

    ``longest`` is the longest context, ``most`` the most sequences, ``chunk`` the most prompt
    tokens of a pass.
    """

    def __init__(self, times: GenerationTimes, longest: int, most: int, chunk: int) -> None:
        self._times = times
        # digits by what follows how smoothly: every number of sequences to 32 is simulated
        self._sequences, self._longest = Line(most, 5), longest
        self._chunks, self._pasts, self._alike = Line(chunk, 2), Line(longest, 3), Line(most, 2)
        self._by_sequences: dict[int, tuple[Ints, Ints]] = {}
        """Sequences -> contexts at knots, and the time of a pass at each, 0 if unknown."""
        self._single: dict[tuple[int, int], Ints] = {}
        self._prompts: dict[tuple[int, int, int], int] = {}
        self._tokens_asked, self._prompts_asked = Sample(), Sample()

    def token_ps(self, sequences: int, context: int, count: int) -> Ints:
        """Return the times of ``count`` passes that give each sequence a token [ps]."""
        self._tokens_asked.add((sequences, context))
        return self._tokens(sequences, context, count)

    def prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        """Return the time of a pass over a chunk of each of some prompts [ps]."""
        self._prompts_asked.add((tokens, past, sequences))
        return self._prompt(tokens, past, sequences)

    def checked(self) -> list[tuple[int, int]]:
        """Return the times of a sample of the passes that were asked for, and the right ones."""
        found = [
            (int(self._tokens(together, past, 1)[0]), self._times.token_ps(past, together))
            for together, past in self._tokens_asked.asked
        ]
        asked = self._prompts_asked.asked
        return found + [(self._prompt(*each), self._times.prompt_ps(*each)) for each in asked]

    def _tokens(self, sequences: int, context: int, count: int) -> Ints:
        asked = (sequences, context)
        if count == 1 and asked in self._single:
            return self._single[asked]
        total = np.zeros(count)
        for own, weight in self._sequences.ends(sequences):
            total += weight * self._along(own, context, count)
        found: Ints = np.rint(total).astype(np.int64)
        if count == 1:
            self._single[asked] = found
        return found

    def _prompt(self, tokens: int, past: int, sequences: int) -> int:
        asked = (tokens, past, sequences)
        if asked not in self._prompts:
            pasts = self._pasts.ends(past) if past else [(0, 1.0)]
            self._prompts[asked] = round(
                sum(
                    a * b * c * self._times.prompt_ps(own, before, together)
                    for own, a in self._chunks.ends(tokens)
                    for before, b in pasts
                    for together, c in self._alike.ends(sequences)
                )
            )
        return self._prompts[asked]

    def _along(self, sequences: int, context: int, count: int) -> NDArray[np.float64]:
        """Return the times of ``count`` passes from a context on, at a knot of sequences [ps]."""
        if sequences not in self._by_sequences:
            contexts = np.array(knots(self._times.longest(sequences, self._longest), 4))
            self._by_sequences[sequences] = contexts, np.zeros(len(contexts), np.int64)
        all_knots, known = self._by_sequences[sequences]
        first = max(0, int(np.searchsorted(all_knots, context, "right")) - 1)
        last = int(np.searchsorted(all_knots, context + count - 1)) + 1
        for place in range(first, min(last, len(all_knots))):
            if not known[place]:
                known[place] = self._times.token_ps(int(all_knots[place]), sequences)
        wanted = np.arange(context, context + count)
        return np.interp(wanted, all_knots[first:last], known[first:last])
