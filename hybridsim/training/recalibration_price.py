"""The price of a study of recalibration: its events, and the sentences that run in between."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridsim.arch import load_machine
from hybridsim.errors import SpecError
from hybridsim.library import network_path
from hybridsim.measure.result import Result
from hybridsim.simulation import simulate
from hybridsim.training.maintenance import EventPrice, event_price, per_year, step_price
from hybridsim.training.recalibration_study import RecalibrationStudy
from hybridsim.workload import load_network

_PS, _AJ = 10**12, 10**18
"""Picoseconds of a second, attojoules of a joule."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an event takes, and a sentence without and with the correction."""

    event: EventPrice
    before: Result
    after: Result
    step: EventPrice
    """One step of training adapters, with the sentences of an event."""

    @property
    def equal_share(self) -> float:
        """How often all sentences can be trained on in the time of an event: epochs."""
        return self.event.most_ps / self.step.most_ps

    def of_schedule(self, events: int, years: float) -> dict[str, Any]:
        """Return the columns that a schedule of so many events in so many years has.

        Without years nothing is known of one.
        """
        yearly = per_year(self.event, events, years) if years else None
        sentence = self.after if events else self.before
        energy = sentence.energy
        return {
            "event_tiles_s": self.event.tiles_ps / _PS,
            "event_cluster_s": self.event.cluster_ps / _PS,
            "event_least_s": self.event.least_ps / _PS,
            "event_most_s": self.event.most_ps / _PS,
            "event_j": self.event.energy_aj / _AJ,
            "event_link_mb": self.event.link_bytes / 10**6,
            "year_most_s": yearly.most_ps / _PS if yearly else None,
            "year_j": yearly.energy_aj / _AJ if yearly else None,
            "sentence_us": sentence.latency_ps / 10**6,
            "sentence_uj": energy.total_pj / 10**6 if energy else None,
        }


def priced(
    study: RecalibrationStudy,
    beside: Path,
    shapes: Sequence[tuple[int, ...]],
    vectors: int,
    rank: int,
    extra: int,
    tokens: int,
) -> Price:
    """Return the price of an event of ``vectors`` vectors, and sentences of rank and rank + extra.

    A sentence has ``tokens`` tokens.

    Raises:
        SpecError: The network has other layers than the model, whose (in, out) are ``shapes``.
        UnsupportedError: The machine cannot recalibrate itself.
    """
    assert study.network is not None
    network = load_network(network_path(_placed(study.network, beside)))
    machine = load_machine(_placed(study.machine, beside))
    of_network = Counter((la.in_features, la.out_features) for la in network.static_linear_layers)
    if of_network != Counter(shapes):
        problem = f"{study.network}: other layers than the model has; its own network would do"
        raise SpecError("study", "network", problem)
    sizes = [(inputs, outputs) for inputs, outputs in shapes]
    event = event_price(sizes, vectors, study.rank, study.reads, machine)
    step = step_price(sizes, vectors, rank, machine)
    before, after = (
        simulate(network.with_adapters(rank=r, alpha=float(r)), machine, tokens=tokens)
        for r in (rank, rank + extra)
    )
    return Price(event, before, after, step)


def _placed(name: str, beside: Path) -> str:
    """Return a file beside the study, or a name as it stands."""
    return str(beside / name) if (beside / name).is_file() else name
