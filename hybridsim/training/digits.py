"""Questions about digits, and a program that verifies answers."""

import numpy as np
import torch
from numpy.typing import NDArray

from hybridsim.training.decoder_study import DigitTask

COPY, INSTRUCTION, EQUALS = 0, 1, 2
"""Tokens that are no digits: the base's task, the study's instruction, and where answers begin."""
FIRST_DIGIT = 3

Ids = NDArray[np.int64]


def vocabulary(task: DigitTask) -> int:
    """Return how many tokens a task has."""
    return FIRST_DIGIT + task.symbols


def length(task: DigitTask) -> int:
    """Return the tokens of a question with its answer: instruction, digits, equals, digits."""
    return 2 * task.digits + 2


def questions(task: DigitTask, count: int, rng: np.random.Generator, first: int) -> Ids:
    """Return random questions, shape (count, digits + 2); ``first`` is COPY or INSTRUCTION."""
    digits = rng.integers(0, task.symbols, (count, task.digits)) + FIRST_DIGIT
    ends = np.full((count, 1), first), np.full((count, 1), EQUALS)
    return np.concatenate([ends[0], digits, ends[1]], axis=1).astype(np.int64)


def answers(task: DigitTask, asked: Ids) -> Ids:
    """Return what is right for each question, shape (count, digits)."""
    digits = asked[:, 1:-1]
    if task.instruction == "reverse":
        made = digits[:, ::-1]
    elif task.instruction == "rotate":
        made = np.roll(digits, -1, axis=1)
    else:
        made = (digits - FIRST_DIGIT + 1) % task.symbols + FIRST_DIGIT
    copied = asked[:, :1] == COPY
    return np.where(copied, digits, made)


def rewards(task: DigitTask, asked: Ids, given: torch.Tensor) -> torch.Tensor:
    """Return the share of places of each answer that are right, 0 to 1, shape (count,)."""
    right = torch.from_numpy(answers(task, asked)).to(given.device)
    return (given == right).float().mean(dim=1)
