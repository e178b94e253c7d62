"""A question, and what an answer to it is worth."""

from collections.abc import Callable
from dataclasses import dataclass

END = "\n"
"""What an answer ends with."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, an answer that is right, and what another one is worth."""

    text: str
    answer: str
    worth: Callable[[str], float] | None = None
    """The reward of an answer without its end and the blanks around it; None where ``answer`` is
    the only one that is right."""

    def reward(self, said: str) -> float:
        """Return what an answer is worth, 0 to 1, as it was said: with its end."""
        if self.worth is None:
            return float(self.answer + END == said)
        return self.worth(said.strip())
