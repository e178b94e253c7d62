"""Questions about numbers as text, and whether an answer is right: a program verifies it.

All questions of a task are counted out and dealt to its parts, so that no tested question was
trained on, chosen by or shown with its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from tokenizers import Tokenizer

from hybridsim.errors import SpecError
from hybridsim.training.reward_study import NumberTask

END = "\n"
"""What an answer ends with."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and its only right answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some questions and their tokens."""

    questions: tuple[Question, ...]
    tokens: torch.Tensor
    """Shape (questions, tokens): all questions of a task have as many."""

    def rewards(self, chosen: Sequence[int], answers: Sequence[str]) -> torch.Tensor:
        """Return 1 for each right answer to the chosen questions and 0 for others, shape of
        ``chosen``: right is the answer with its end behind it."""
        pairs = zip(chosen, answers, strict=True)
        return torch.tensor([float(self.questions[i].answer + END == said) for i, said in pairs])


@dataclass(frozen=True, slots=True)
class Asked:
    """All of a task in the tokens of a model."""

    shots: torch.Tensor
    """Tokens of the questions that are shown with their answers, shape (1, tokens)."""
    train: Part
    validation: Part
    test: Part
    most: int
    """Tokens of the longest right answer with its end."""


def all_questions(task: NumberTask) -> list[Question]:
    """Return every question of a task, in order."""
    ranges = [range(10 ** (d - 1), 10**d) for d in task.digits]
    found = []
    for numbers in product(*ranges):
        if task.kind == "sum":
            found.append(Question(f"{numbers[0]} + {numbers[1]} = ", str(sum(numbers))))
        elif task.kind == "next":
            found.append(Question(f"{numbers[0]} -> ", str(numbers[0] + 1)))
        elif numbers[0] != numbers[1]:
            found.append(Question(f"{numbers[0]} , {numbers[1]} -> ", str(max(numbers))))
    return found


def asked(task: NumberTask, tokenizer: Tokenizer) -> Asked:
    """Return the questions of a task, dealt to its parts.

    Raises:
        SpecError: There are too few, or the tokenizer cuts them into different numbers of tokens.
    """
    every = all_questions(task)
    wanted = task.shots + task.test + task.validation + 1
    if len(every) < wanted:
        problem = f"found {len(every)} different questions; {wanted} or more would do"
        raise SpecError("task", "digits", problem)
    order = np.random.default_rng([task.seed, 37]).permutation(len(every))
    dealt = [every[i] for i in order]
    ends = np.cumsum([task.shots, task.test, task.validation])
    shown, test, validation, train = (
        dealt[first:last] for first, last in zip([0, *ends], [*ends, len(dealt)], strict=True)
    )
    text = "".join(q.text + q.answer + END for q in shown)
    longest = max(len(_tokens(tokenizer, q.answer + END)) for q in every)
    learned, chosen, tested = (_part(tokenizer, each) for each in (train, validation, test))
    shots = torch.tensor([_tokens(tokenizer, text)])
    return Asked(shots, learned, chosen, tested, longest)


def endings(tokenizer: Tokenizer) -> torch.Tensor:
    """Return for each token whether it ends an answer, shape (words,)."""
    words = range(tokenizer.get_vocab_size())
    return torch.tensor([END in tokenizer.decode([word]) for word in words])


def _part(tokenizer: Tokenizer, questions: Sequence[Question]) -> Part:
    tokens = [_tokens(tokenizer, question.text) for question in questions]
    lengths = sorted({len(each) for each in tokens})
    if len(lengths) > 1:
        problem = f"found questions of {lengths} tokens; a tokenizer of single digits would do"
        raise SpecError("language", "", problem)
    return Part(tuple(questions), torch.tensor(tokens))


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
