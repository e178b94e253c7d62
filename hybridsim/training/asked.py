"""Questions as text, and what an answer is worth: a program verifies it.

No tested question was trained on, chosen by or shown with its answer: all questions about numbers
are counted out and dealt to the parts of a task, and those of :mod:`.gym` are drawn apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from tokenizers import Tokenizer

from hybridsim.errors import SpecError
from hybridsim.training.gym import gym_questions
from hybridsim.training.questions import END, Question
from hybridsim.training.reward_study import GymTask, NumberTask


@dataclass(frozen=True, slots=True)
class Part:
    """Some questions and their tokens."""

    questions: tuple[Question, ...]
    tokens: tuple[torch.Tensor, ...]
    """Of each question, shape (tokens,)."""
    alike: tuple[tuple[int, ...], ...]
    """Questions of as many tokens, which can be read together; the most first."""

    def read(self, chosen: Sequence[int]) -> torch.Tensor:
        """Return the tokens of questions that are alike, shape (questions, tokens)."""
        return torch.stack([self.tokens[i] for i in chosen])

    def drawn(self, rng: np.random.Generator, count: int) -> list[int]:
        """Return different questions that are alike; how many are alike says how often they are
        drawn, and where fewer than ``count`` are they never are."""
        groups = [group for group in self.alike if len(group) >= count]
        group = groups[0]
        if len(groups) > 1:
            sizes = np.array([len(each) for each in groups])
            group = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
        return [group[i] for i in rng.choice(len(group), count, replace=False)]

    def rewards(self, chosen: Sequence[int], answers: Sequence[str]) -> torch.Tensor:
        """Return what answers to the chosen questions are worth, 0 to 1, shape of ``chosen``."""
        pairs = zip(chosen, answers, strict=True)
        return torch.tensor([self.questions[i].reward(said) for i, said in pairs])


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


def asked(task: NumberTask | GymTask, tokenizer: Tokenizer) -> Asked:
    """Return the questions of a task, dealt to its parts.

    Raises:
        InputError: The package that makes them is not installed.
        SpecError: There are too few, or the package knows no such task.
    """
    dealt = gym_questions(task) if isinstance(task, GymTask) else dealt_numbers(task)
    shown, *parts = dealt
    text = "".join(q.text + q.answer + END for q in shown)
    longest = max(len(_tokens(tokenizer, q.answer + END)) for each in dealt for q in each)
    test, validation, train = (_part(tokenizer, each) for each in parts)
    shots = torch.tensor([_tokens(tokenizer, text)])
    return Asked(shots, train, validation, test, longest)


def dealt_numbers(task: NumberTask) -> tuple[list[Question], ...]:
    """Return the questions that are shown, tested, chosen by and trained on: all there are.

    Raises:
        SpecError: There are too few.
    """
    every = all_questions(task)
    wanted = task.shots + task.test + task.validation + 1
    if len(every) < wanted:
        problem = f"found {len(every)} different questions; {wanted} or more would do"
        raise SpecError("task", "digits", problem)
    order = np.random.default_rng([task.seed, 37]).permutation(len(every))
    dealt = [every[i] for i in order]
    ends = np.cumsum([task.shots, task.test, task.validation])
    pairs = zip([0, *ends], [*ends, len(dealt)], strict=True)
    return tuple(dealt[first:last] for first, last in pairs)


def endings(tokenizer: Tokenizer) -> torch.Tensor:
    """Return for each token whether it ends an answer, shape (words,)."""
    words = range(tokenizer.get_vocab_size())
    return torch.tensor([END in tokenizer.decode([word]) for word in words])


def _part(tokenizer: Tokenizer, questions: Sequence[Question]) -> Part:
    tokens = tuple(torch.tensor(_tokens(tokenizer, question.text)) for question in questions)
    alike: dict[int, list[int]] = {}
    for i, each in enumerate(tokens):
        alike.setdefault(len(each), []).append(i)
    groups = sorted((tuple(group) for group in alike.values()), key=len, reverse=True)
    return Part(tuple(questions), tokens, tuple(groups))


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
