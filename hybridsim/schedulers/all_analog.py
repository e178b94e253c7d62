"""All-analog yardstick: the same network without any adapter work."""

from typing import Literal

from hybridsim.plan import Outline
from hybridsim.schedulers._base import Job, LayerSchedule, Schedule
from hybridsim.schedulers._layout import Layout
from hybridsim.units import Spec


class AllAnalog(Spec):
    """Every layer is only its MVMs, one layer after the other.

    This is what overhead is measured against. Source: Li et al. 2026, Fig. 4 (overhead per
    layer relative to a fully analog implementation).
    """

    kind: Literal["all_analog"] = "all_analog"

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of the analog work alone."""
        outline, layers = self.outline(job)
        return Schedule(outline.expand(), layers)

    def outline(self, job: Job) -> tuple[Outline, tuple[LayerSchedule, ...]]:
        """Return the plan before its iterations are laid out, and what was decided."""
        layout = Layout(job)
        for layer in job.mapping.layers:
            layout.analog(layer)
        layers = tuple(LayerSchedule(layer, job.tokens_of(layer)) for layer in job.mapping.layers)
        return layout.builder.outline(), layers
