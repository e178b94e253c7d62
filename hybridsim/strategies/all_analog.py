"""All-analog yardstick: the same network without any adapter work."""

from typing import Literal

from hybridsim.strategies._base import Draft, Job, LayerSchedule, Schedule
from hybridsim.strategies._layout import Layout
from hybridsim.units import Spec


class AllAnalog(Spec):
    """Every layer is only its MVMs, one layer after the other.

    This is what overhead is measured against. Source: Li et al. 2026, Fig. 4 (overhead per
    layer relative to a fully analog implementation).
    """

    kind: Literal["all_analog"] = "all_analog"

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of the analog work alone."""
        return self.outline(job).schedule()

    def outline(self, job: Job) -> Draft:
        """Return the same plan in outline."""
        layout = Layout(job)
        for layer in job.mapping.layers:
            layout.analog(layer)
        layers = tuple(LayerSchedule(layer, job.tokens_of(layer)) for layer in job.mapping.layers)
        return Draft(layout.builder.outline(), layers)
