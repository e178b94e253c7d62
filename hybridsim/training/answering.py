"""Answers of a decoder that reads nothing twice, and their log-probabilities.

What is shown to all questions is read once, a question once for all of its answers, and an answer
token by token (:mod:`.past`). Training reads in the same way, but whole answers: gradients are
those of passes over all tokens.
"""

from dataclasses import dataclass

import torch

from hybridsim.training.llama import Llama
from hybridsim.training.past import Past


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said."""

    tokens: torch.Tensor
    """Shape (answers, tokens)."""
    counted: torch.Tensor
    """1 up to the token that ends an answer and for that one, 0 behind it, same shape."""

    def row(self, i: int) -> list[int]:
        """Return the tokens of an answer, with the one that ends it."""
        tokens: list[int] = self.tokens[i][self.counted[i] > 0].tolist()
        return tokens


def read_questions(
    model: Llama, shots: torch.Tensor, questions: torch.Tensor, group: int
) -> tuple[torch.Tensor, Past]:
    """Return what the head looks at behind each question, (answers, width), and the past there.

    Args:
        model: The decoder.
        shots: What stands before every question, shape (1, tokens).
        questions: Their tokens, shape (questions, tokens).
        group: Answers to each, so that answers = questions x group.
    """
    past = Past()
    model.read(shots, past)
    past = past.repeated(len(questions))
    last = model.read(questions, past)[:, -1]
    return last.repeat_interleave(group, dim=0), past.repeated(group)


@torch.no_grad()
def answered(
    model: Llama,
    shots: torch.Tensor,
    questions: torch.Tensor,
    group: int,
    most: int,
    ends: torch.Tensor,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Answers:
    """Return so many answers to each question, of at most ``most`` tokens.

    ``ends`` says of each token whether it ends an answer. Without a generator the likeliest token
    is taken.
    """
    vector, past = read_questions(model, shots, questions, group)
    tokens, counted, open_ = [], [], torch.ones(len(vector))
    for i in range(most):
        logits = model.logits(vector)
        if generator is None:
            chosen = logits.argmax(dim=1)
        else:
            likely = torch.softmax(logits / temperature, dim=1)
            chosen = torch.multinomial(likely, 1, generator=generator)[:, 0]
        tokens.append(chosen)
        counted.append(open_)
        open_ = open_ * ~ends[chosen]
        if i + 1 == most or not open_.any():
            break
        vector = model.read(chosen[:, None], past)[:, -1]
    return Answers(torch.stack(tokens, dim=1), torch.stack(counted, dim=1))


def log_probabilities(
    model: Llama,
    shots: torch.Tensor,
    questions: torch.Tensor,
    group: int,
    given: torch.Tensor,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Return the log-probability of every token of the answers, shape of ``given``."""
    last, past = read_questions(model, shots, questions, group)
    vectors = last[:, None]
    if given.shape[1] > 1:
        vectors = torch.cat([vectors, model.read(given[:, :-1], past)], dim=1)
    every = torch.log_softmax(model.logits(vectors) / temperature, dim=2)
    return every.gather(2, given[:, :, None])[:, :, 0]
