"""What the builders of all Hugging Face model families share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hybridsim.errors import SpecError
from hybridsim.workload.op_list import OpList
from hybridsim.workload.ops import OpBase

Head = Literal["none", "question_answering", "pooler", "lm_head", "classifier"]
"""What follows the last block: nothing, start and end scores of a span, the pooled token, scores
of the next word, or scores of the classes of a whole sequence."""
HEADS: tuple[Head, ...] = get_args(Head)

ActivationName = Literal[
    "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu", "silu", "swish",
    "tanh",
]  # fmt: skip
"""Names of activations in a config.json; the variants of GELU differ in their approximation."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a builder makes of a config.json."""

    ops: tuple[OpBase, ...]
    """All ops, head included, in the order in which they run."""
    max_sequence_length: int | None
    """The most tokens per sequence; None where no position table limits it."""


def activation_function(name: ActivationName) -> str:
    """Return our name of an activation."""
    if name.startswith("gelu"):
        return "gelu"
    return "silu" if name == "swish" else name


def check_head(head: Head, known: Sequence[Head], model_type: str, file: str) -> None:
    """Refuse a head that the models of a family do not have.

    Raises:
        SpecError: ``head`` is not among ``known``.
    """
    if head not in known:
        problem = f"found {head!r}; one of {', '.join(known)} would do for a {model_type}"
        raise SpecError(file, "head", problem)


def head_dim(size: int, heads: int, file: str, key: str = "num_attention_heads") -> int:
    """Return the elements of one head; ``key`` is where the config says how many heads.

    Raises:
        SpecError: ``size`` is no multiple of ``heads``.
    """
    if size % heads:
        problem = f"found {heads}; a number that divides {size} would do"
        raise SpecError(file, key, problem)
    return size // heads


def add_head(ops: OpList, head: Head, hidden: str, size: int, *, dense_pooler: bool) -> None:
    """Append a head: ``qa_outputs``, or the pooler with or without its linear layer."""
    if head == "question_answering":
        ops.linear("qa_outputs", hidden, size, 2)  # a start and an end score per token
    elif head == "pooler":
        first = ops.first_token("pooler.first_token", hidden, size)
        if dense_pooler:
            ops.activation(
                "pooler.activation", ops.linear("pooler", first, size, size), "tanh", size
            )
