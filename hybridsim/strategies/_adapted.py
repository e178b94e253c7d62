"""What the strategies with adapters have in common: how an adapter is computed."""

from abc import ABC, abstractmethod
from typing import Literal

from hybridsim.programs import BALANCED, CHOICES, LoraChoice
from hybridsim.strategies._base import Draft, Job, Schedule
from hybridsim.units import Count, Spec

UNITS = {
    "either": ("matrix_engine", "cores"),
    "best": ("matrix_engine", "cores", "both", "balanced"),
}
"""Values of ``unit`` that leave a choice."""


class AdaptedStrategy(Spec, ABC):
    """A strategy that adapts layer after layer, each in batches of tokens."""

    batch: Count | None = None
    """Tokens per batch; None takes, for each layer, the batch with the least estimated latency."""
    unit: Literal["matrix_engine", "cores", "both", "balanced", "either", "best"] = "matrix_engine"
    """Which part of the cluster multiplies. ``both`` splits the rows of a batch, ``balanced``
    those of each product. ``either`` takes the faster of engine and cores for each layer,
    ``best`` the fastest of all. Source of the default: Li et al. 2026 use RedMulE."""
    order: Literal["direct", "swapped", "best"] = "direct"
    """Operand order on the matrix engine: X A, or A^T X^T."""
    buffers: Count = 2
    """Batches that a cluster holds at once, where they fit; 2 is double buffering."""

    @property
    def choices(self) -> tuple[LoraChoice, ...]:
        """The ways to compute an adapter that the options leave open."""
        units = UNITS.get(self.unit, (self.unit,))
        return tuple(
            choice
            for choice in (*CHOICES, BALANCED)
            if choice.unit in units
            and (self.order in (choice.order, "best") or choice.unit != "matrix_engine")
        )

    @abstractmethod
    def outline(self, job: Job) -> Draft:
        """Return the plan of all layers in outline; its size does not grow with tokens."""

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of all layers."""
        return self.outline(job).schedule()
