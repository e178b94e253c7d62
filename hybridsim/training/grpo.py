"""Group-relative policy optimisation of adapters; a toy's digits, which a program verifies.

Source: Shao et al., DeepSeekMath, arXiv 2402.03300, Eq. 3 (objective), Eq. 4 (distance from the
reference) and Sec. 4.1.2 (advantages under supervision of outcomes).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from hybridsim.training.decoder import Decoder
from hybridsim.training.decoder_study import DigitTask, Grpo
from hybridsim.training.linear import DecoderOnTiles

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


LEAST_SPREAD = 1e-4
"""Added to the deviation of a group's rewards: a group of equal rewards teaches nothing."""


def advantages(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Return (reward - mean) / deviation within each group, (questions x group,) to the same."""
    grouped = rewards.view(-1, group)
    middle, spread = grouped.mean(dim=1, keepdim=True), grouped.std(dim=1, keepdim=True)
    return ((grouped - middle) / (spread + LEAST_SPREAD)).flatten()


def objective(
    new: torch.Tensor,
    old: torch.Tensor,
    reference: torch.Tensor,
    advantage: torch.Tensor,
    how: Grpo,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return what is maximised, from log-probabilities of tokens, shape (answers, tokens).

    The mean over tokens of min(q A, clip(q) A) - beta (p - log p - 1), with q = new / old and
    p = reference / new. ``counted`` is 1 for the tokens of answers of different lengths and 0
    behind them; each answer then has the same weight, as in Eq. 3.
    """
    ratio = torch.exp(new - old)
    clipped = ratio.clamp(1 - how.clip, 1 + how.clip)
    gain = torch.minimum(ratio * advantage[:, None], clipped * advantage[:, None])
    apart = reference - new
    distance = torch.exp(apart) - apart - 1
    each = gain - how.kl_weight * distance
    if counted is None:
        return each.mean()
    return ((each * counted).sum(dim=1) / counted.sum(dim=1)).mean()


def sample(
    model: Decoder,
    asked: torch.Tensor,
    tokens: int,
    temperature: float,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Return answers of so many tokens, (questions, length) to (questions, tokens).

    Without a generator the likeliest token is taken.
    """
    ids = asked
    with torch.no_grad():
        for _ in range(tokens):
            logits = model(ids)[:, -1]
            if generator is None:
                chosen = logits.argmax(dim=1, keepdim=True)
            else:
                likely = torch.softmax(logits.cpu() / temperature, dim=1)
                chosen = torch.multinomial(likely, 1, generator=generator).to(ids.device)
            ids = torch.cat([ids, chosen], dim=1)
    return ids[:, asked.shape[1] :]


def log_probabilities(
    model: Decoder, asked: torch.Tensor, given: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Return the log-probability of every token of the answers, shape of ``given``."""
    logits = model(torch.cat([asked, given], dim=1))[:, asked.shape[1] - 1 : -1]
    every = torch.log_softmax(logits / temperature, dim=2)
    return every.gather(2, given[:, :, None])[:, :, 0]


@contextmanager
def other_adapters(model: DecoderOnTiles, values: dict[str, torch.Tensor]) -> Iterator[None]:
    """Compute with other adapters for a while: on tiles no second base is needed for that."""
    own = adapter_values(model)
    _set(model, values)
    try:
        yield
    finally:
        _set(model, own)


def adapter_values(model: DecoderOnTiles) -> dict[str, torch.Tensor]:
    """Return a copy of all adapters."""
    return {
        f"{name}.{key}": getattr(adapter, key).detach().clone()
        for name, adapter in model.adapters()
        for key in ("lora_A", "lora_B")
    }


def _set(model: DecoderOnTiles, values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, adapter in model.adapters():
            for key in ("lora_A", "lora_B"):
                getattr(adapter, key).copy_(values[f"{name}.{key}"])
