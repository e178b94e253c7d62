"""How a cluster may compute an adapter: unit, operand order, and how Y is added.

The order of the operands asks for a layout of X: X A for rows of tokens, A^T X^T for rows of
features. Where X arrives in the other one, the cores turn it first (:mod:`.lora_kernels`).
"""

from collections.abc import Iterable
from typing import Literal

from hybridsim.arch import Cluster, Machine, XLayout
from hybridsim.units import Spec

Unit = Literal["matrix_engine", "cores", "both", "balanced"]
Order = Literal["direct", "swapped"]
OrderOption = Literal["natural", "direct", "swapped", "best"]
"""What a strategy may be asked for; ``natural`` takes X as it arrives, without a transposition."""
Add = Literal["fused", "separate"]


class LoraChoice(Spec):
    """How a cluster computes an adapter; the choices are independent of each other."""

    unit: Unit
    """Which part multiplies: the matrix engine, the cores, both with the rows split, or both with
    the rows of each product split on their own (``balanced``)."""
    order: Order
    """``direct``: U = X A. ``swapped``: U^T = A^T X^T, so that the rank fills the array's rows;
    the cores turn U^T."""
    add: Add = "fused"
    """``fused``: the product is added onto Y where Y lies. ``separate``: V = U B goes into a
    buffer of its own, so it needs no Y, and the cores add Y to it."""
    x_layout: XLayout = "token_major"
    """How X lies in the scratchpad when the program begins."""

    def on(self, cluster: Cluster) -> "LoraChoice":
        """Return the choice with X as it arrives on a cluster."""
        if self.x_layout == cluster.x_layout:
            return self
        return self.model_copy(update={"x_layout": cluster.x_layout})

    @property
    def turns_x(self) -> bool:
        """Whether the cores turn X first: the swapped order needs it by features, the direct one
        by tokens."""
        return (self.order == "swapped") == (self.x_layout == "token_major")

    def ordered(self, wanted: OrderOption) -> bool:
        """Return whether it has an order that is wanted.

        Rows of tokens are multiplied on the cores in the direct order alone: swapped, they would
        turn X and gain nothing by it.
        """
        if wanted == "natural":
            return not self.turns_x
        alone = self.unit != "matrix_engine" and self.x_layout == "token_major"
        return alone or wanted in (self.order, "best")

    def __str__(self) -> str:
        plain = self.unit != "matrix_engine" and self.order == "direct"
        name = self.unit if plain else f"{self.unit} {self.order}"
        return name if self.add == "fused" else f"{name}, separate add"


CHOICES = (
    LoraChoice(unit="matrix_engine", order="direct"),
    LoraChoice(unit="matrix_engine", order="swapped"),
    LoraChoice(unit="cores", order="direct"),
    LoraChoice(unit="both", order="direct"),
)
"""The ways to compute an adapter, in the order in which ties are broken."""
BALANCED = LoraChoice(unit="balanced", order="direct")
"""Both units, each product split on its own: U = X A may run where U B does not."""


def on_machine(choices: Iterable[LoraChoice], machine: Machine) -> tuple[LoraChoice, ...]:
    """Return choices with X as it arrives on a machine.

    Where it arrives by features, all units have a choice of two orders.
    """
    cluster = machine.cluster
    if cluster is None or cluster.x_layout == "token_major":
        return tuple(choices)
    found = [choice.on(cluster) for choice in choices]
    swapped = [choice.model_copy(update={"order": "swapped"}) for choice in found]
    return (*found, *(choice for choice in swapped if choice not in found))
