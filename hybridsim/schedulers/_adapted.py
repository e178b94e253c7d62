"""What the strategies with adapters have in common: their options, and the walk over layers."""

from abc import ABC, abstractmethod
from typing import Literal

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Outline
from hybridsim.programs import CHOICES, LoraChoice
from hybridsim.schedulers._base import Job, LayerSchedule, Schedule
from hybridsim.schedulers._batching import Batching, choose_batching
from hybridsim.schedulers._layout import Layout
from hybridsim.units import Count, Spec


class AdaptedStrategy(Spec, ABC):
    """A strategy that adapts layer after layer, each in batches of tokens."""

    batch: Count | None = None
    """Tokens per batch; None takes, for each layer, the batch with the least estimated latency."""
    unit: Literal["matrix_engine", "cores", "both", "best"] = "matrix_engine"
    """Which part of the cluster multiplies; ``best`` takes the fastest for each layer.
    Source of the default: Li et al. 2026 run the adapters on RedMulE."""
    order: Literal["direct", "swapped", "best"] = "direct"
    """Operand order on the matrix engine: X A, or A^T X^T."""
    buffers: Count = 2
    """Batches that the cluster holds at once, where they fit; 2 is double buffering."""

    @property
    def choices(self) -> tuple[LoraChoice, ...]:
        """The ways to compute an adapter that the options leave open."""
        return tuple(
            choice
            for choice in CHOICES
            if self.unit in (choice.unit, "best")
            and (self.order in (choice.order, "best") or choice.unit != "matrix_engine")
        )

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of all layers, one after the other."""
        outline, layers = self.outline(job)
        return Schedule(outline.expand(), layers)

    def outline(self, job: Job) -> tuple[Outline, tuple[LayerSchedule, ...]]:
        """Return the plan before its iterations are laid out, and what was decided."""
        layout = Layout(job)
        decided: dict[tuple[int, ...], Batching] = {}
        layers = []
        for layer in job.mapping.layers:
            tokens = job.tokens_of(layer)
            if layer.adapter is None:
                layout.analog(layer)
                layers.append(LayerSchedule(layer, tokens))
                continue
            shape = (layer.op.in_features, layer.op.out_features, layer.adapter.rank, tokens)
            if shape not in decided:
                decided[shape] = choose_batching(
                    job.machine, layer, tokens, self.batch, self.choices, self.buffers
                )
            batching = decided[shape]
            self._lay_out(layout, layer, batching)
            layers.append(
                LayerSchedule(
                    layer,
                    batching.batch,
                    batching.program.choice,
                    batching.buffers,
                    batching.tcdm_bytes,
                )
            )
        return layout.builder.outline(), tuple(layers)

    @abstractmethod
    def _lay_out(self, layout: Layout, layer: PlacedLayer, batching: Batching) -> None:
        """Append one adapted layer to the plan."""
