"""The ops that hold weights on tiles: linear layers, convolutions, routers and experts."""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hybridsim.specs import PlacedError
from hybridsim.units import ceil_div
from hybridsim.workload.op_base import Features, Flag, Name, OpBase


class Linear(OpBase):
    """A static linear layer: ``y = W x + b``, its weights written once and then left alone."""

    kind: Literal["linear"] = "linear"
    in_features: Features
    """Length of the input vector [elements]."""
    out_features: Features
    """Length of the output vector [elements]."""
    bias: Flag = True
    """Whether a bias is added; the default is that of PyTorch's Linear."""
    tied: Flag = False
    """Whether its weights are those of an embedding of the network, which counts them."""
    shared: Name | None = None
    """The earlier layer whose weights, bias and adapter it uses, as the blocks of ALBERT do; that
    one counts them."""
    turned: Flag = False
    """Whether it uses the shared weights the other way round, from their outputs to their inputs,
    with a bias of its own (assumed: tiles that take inputs at either side)."""
    all_linear: Annotated[int, Field(strict=True, ge=0, le=8)] = 1
    """What an adapter on ``*``, all linear layers, gives it, in ranks; 0: none."""

    @model_serializer(mode="wrap")
    def _without_what_is_rare(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what hardly any layer is, so that the text of the others is as it was."""
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if value or key != "turned"}

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.in_features,)

    @property
    def matrices(self) -> tuple[int, int, int]:
        """How many matrices it has, and rows (inputs) and columns (outputs) of each."""
        return 1, self.in_features, self.out_features

    def loads(self, vectors: int) -> tuple[int, ...]:
        """Return how many of some vectors meet each of its matrices, and the adapter of that."""
        return (vectors,) * self.matrices[0]

    @property
    def weights(self) -> int:
        """Elements of all its weight matrices."""
        count, rows, columns = self.matrices
        return 0 if self.shared else count * rows * columns

    @property
    def biases(self) -> int:
        """Elements of the bias, if it is its own."""
        return self.out_features if self.bias and (not self.shared or self.turned) else 0

    @property
    def parameters(self) -> int:
        """Weights, unless they are tied, and biases."""
        return self.biases + (0 if self.tied else self.weights)


class Router(Linear):
    """The scores of a token for each expert: a static matrix that is no linear layer by name.

    It gives the scores as they are; a :class:`~hybridsim.workload.ops.Select` chooses.
    """

    kind: Literal["router"] = "router"  # type: ignore[assignment]
    all_linear: Annotated[int, Field(strict=True, ge=0, le=8)] = 0
    """What an adapter on all linear layers gives it, in ranks."""


class Convolution(Linear):
    """The matrix of a convolution: (kernel x channels) by outputs, one MVM per position.

    What it reads has all inputs of a position in one vector: pixels of a patch, or a
    :class:`~hybridsim.workload.ops.Window` of a sequence. With groups the matrix is
    block-diagonal: each group of inputs has a matrix of its own.
    """

    kind: Literal["convolution"] = "convolution"  # type: ignore[assignment]
    groups: Features = 1
    """Matrices, each for its share of inputs and outputs."""
    all_linear: Annotated[int, Field(strict=True, ge=0, le=8)] = 0
    """What an adapter on all linear layers gives it, in ranks."""

    @model_validator(mode="after")
    def _check(self) -> "Convolution":
        for size in (self.in_features, self.out_features):
            if size % self.groups:
                problem = f"found {self.groups}; a number that divides {size} would do"
                raise PlacedError("groups", problem)
        return self

    @property
    def matrices(self) -> tuple[int, int, int]:
        """One matrix per group."""
        groups = self.groups
        return groups, self.in_features // groups, self.out_features // groups


class Experts(Linear):
    """One matrix for each of several experts, all resident; a token passes through some of them.

    It reads tokens and their scores, and has ``active`` vectors for each of them from here on,
    until a :class:`~hybridsim.workload.ops.Combine`; or it reads such vectors alone. How many of
    these each expert gets is decided by its share of the load.
    """

    kind: Literal["experts"] = "experts"  # type: ignore[assignment]
    experts: Features
    """Experts, each with a matrix of its own."""
    active: Features
    """Experts that a token passes through."""
    load: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Share of the tokens of each expert, in any unit; all alike if left out."""
    all_linear: Annotated[int, Field(strict=True, ge=0, le=8)] = 0
    """What an adapter on all linear layers gives each expert, in ranks."""

    @model_validator(mode="after")
    def _check(self) -> "Experts":
        if self.active > self.experts:
            problem = f"found {self.active}; at most the {self.experts} experts would do"
            raise PlacedError("active", problem)
        if self.load and (len(self.load) != self.experts or not any(self.load)):
            problem = f"found {len(self.load)} shares; one for each of {self.experts} would do"
            raise PlacedError("load", problem)
        if self.load and sum(share > 0 for share in self.load) < self.active:
            problem = f"a token passes through {self.active} experts; as many above 0 would do"
            raise PlacedError("load", problem)
        return self

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]: a vector, and the scores of a token."""
        return (self.in_features, self.experts)[: max(1, len(self.inputs))]

    @property
    def matrices(self) -> tuple[int, int, int]:
        """One matrix per expert."""
        return self.experts, self.in_features, self.out_features

    @property
    def biases(self) -> int:
        """Elements of all biases."""
        return self.experts * super().biases

    def loads(self, vectors: int) -> tuple[int, ...]:
        """Return how many of some vectors each expert gets, at most one of each token.

        In proportion to the shares, whole ones first and the rest to the largest remainders
        (assumed: a router that meets its shares in every batch).
        """
        most = ceil_div(vectors, self.active)
        shares = [Fraction(share) for share in self.load] or [Fraction(1)] * self.experts
        found, left = [0] * self.experts, vectors
        open_ = [expert for expert, share in enumerate(shares) if share]
        while True:
            total = sum(shares[expert] for expert in open_)
            quotas = {expert: left * shares[expert] / total for expert in open_}
            full = [expert for expert in open_ if quotas[expert] > most]
            if not full:
                break
            for expert in full:
                found[expert] = most
            left -= most * len(full)
            open_ = [expert for expert in open_ if expert not in full]
        extra = left - sum(int(quota) for quota in quotas.values())
        by_rest = sorted(open_, key=lambda expert: int(quotas[expert]) - quotas[expert])
        for place, expert in enumerate(by_rest):
            found[expert] = int(quotas[expert]) + (place < extra)
        return tuple(found)
