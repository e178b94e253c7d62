"""Every point of a study: an adapter on a machine, and how long and how much energy it takes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridsim.arch import Machine, load_machine
from hybridsim.codesign.results import Candidate
from hybridsim.codesign.study import CodesignStudy
from hybridsim.errors import CapacityError, InputError, SpecError, UnsupportedError
from hybridsim.library import network_path
from hybridsim.measure.result import Result
from hybridsim.simulation import simulate
from hybridsim.strategies import Strategy, make_strategy
from hybridsim.units import format_ps
from hybridsim.workload import Network, load_network

TOLERANCE = 0.02
"""Relative difference of output noises that count as the same."""

Watch = Callable[[int, int], None]
"""Called with (points done, all points)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One adapter on one machine."""

    candidate: Candidate
    machine: str
    integration_ps: int
    batch: int | None
    output_noise: float
    """Noise that the integration time leads to."""

    @property
    def stands_in(self) -> bool:
        """Whether its accuracy was measured at more noise than it would have."""
        return self.candidate.output_noise > self.output_noise * (1 + TOLERANCE)


def points_of(study: CodesignStudy, candidates: Sequence[Candidate]) -> list[Point]:
    """Return all points.

    Raises:
        SpecError: No result was tested at the noise of an integration time, and none stands in.
    """
    points = []
    for place, time in enumerate(study.integration_times):
        noise = study.noise.at(time)
        for candidate in _tested_at(study, candidates, noise, f"integration_times[{place}]"):
            points += [
                Point(candidate, machine, time, batch, noise)
                for machine in study.machines
                for batch in study.batches or (None,)
            ]
    return points


def _tested_at(
    study: CodesignStudy, candidates: Sequence[Candidate], noise: float, place: str
) -> Iterator[Candidate]:
    """Yield, of each kind of candidate, the one whose test had that noise, or stands in for it."""
    found = 0
    for kind in dict.fromkeys(c.kind for c in candidates):
        own = [c for c in candidates if c.kind == kind]
        enough = [c for c in own if c.output_noise >= noise * (1 - TOLERANCE)]
        nearest = min(enough, key=lambda c: c.output_noise, default=None)
        if nearest is None:
            continue
        if study.untested_noise == "noisier" or nearest.output_noise <= noise * (1 + TOLERANCE):
            found += 1
            yield nearest
    if not found:
        tested = ", ".join(f"{n:.4g}" for n in sorted({c.output_noise for c in candidates}))
        hint = "" if study.untested_noise == "noisier" else ", or untested_noise: noisier,"
        raise SpecError(
            "study", place,
            f"leads to an output noise of {noise:.4g}, and results were tested at {tested}; "
            f"results with analog.converters.output_noise: {noise:.4g}{hint} would do",
        )  # fmt: skip


@dataclass
class Simulator:
    """Simulates points; what several points share is computed once."""

    study: CodesignStudy
    beside: Path
    _networks: dict[Any, Network] = field(default_factory=dict)
    _machines: dict[Any, Machine] = field(default_factory=dict)
    _results: dict[Any, Result | str] = field(default_factory=dict)

    def result(self, point: Point) -> Result | str:
        """Return the simulated run of a point, or why there is none.

        Raises:
            InputError: Machine, network or strategy cannot be read.
        """
        bits, least = point.candidate.adc_bits, self.study.noise.least_ps(point.candidate.dac_bits)
        if point.integration_ps < least:
            return (
                f"inputs of {point.candidate.dac_bits} bits take {format_ps(least)} as pulses; "
                f"{format_ps(point.integration_ps)} is too short"
            )
        by_bits = self.study.set_by_bits.get(bits or 0, {})
        key = (
            point.candidate.rank, point.candidate.targets, point.machine, point.integration_ps,
            point.batch, repr(by_bits),
        )  # fmt: skip
        if key not in self._results:
            self._results[key] = self._simulated(point, by_bits)
        return self._results[key]

    def _simulated(self, point: Point, by_bits: dict[str, Any]) -> Result | str:
        network, machine = self.network(point.candidate), self._machine(point, by_bits)
        strategy = self._strategy(point.batch)
        try:
            return simulate(network, machine, strategy, self.study.tokens)
        except (CapacityError, UnsupportedError) as error:
            return str(error)

    def _strategy(self, batch: int | None) -> Strategy:
        options = {} if batch is None else {"batch": batch}
        try:
            return make_strategy(self.study.strategy, options)
        except InputError as error:
            raise SpecError("study", "strategy", str(error)) from None

    def network(self, candidate: Candidate) -> Network:
        """Return the network with the candidate's adapters.

        Raises:
            SpecError: A target of the adapters is no layer of the network.
        """
        key = (candidate.rank, candidate.targets)
        if key not in self._networks:
            base = load_network(network_path(placed(self.study.network, self.beside)))
            targets = tuple(self.pattern(target) for target in candidate.targets)
            alpha = max(1, round(candidate.alpha))  # no influence on time
            self._networks[key] = base.without_adapters().with_adapters(
                rank=candidate.rank, alpha=alpha, targets=targets
            )
        return self._networks[key]

    def pattern(self, target: str) -> str:
        """Return the pattern of layers that a target of adapters stands for."""
        return self.study.layers.get(target, f"*.{target.removesuffix('.dense')}")

    def _machine(self, point: Point, by_bits: dict[str, Any]) -> Machine:
        key = (point.machine, point.integration_ps, repr(by_bits))
        if key not in self._machines:
            choice = self.study.machines[point.machine]
            time = {"tile.integration_time": format_exact(point.integration_ps)}
            changes = {**choice.set, **by_bits, **time}
            self._machines[key] = load_machine(placed(choice.machine, self.beside), changes)
        return self._machines[key]


def placed(name: str, beside: Path) -> str:
    """Return the path of a machine or network that lies beside the study; other names stay."""
    base, colon, variant = name.partition(":")
    own = beside / base
    here = own.exists() and ("/" in base or "." in base)
    return f"{own}{colon}{variant}" if here else name


def format_exact(ps: int) -> str:
    """Return a time as text that reads back to the same picoseconds."""
    return f"{ps // 1000} ns" if ps % 1000 == 0 else f"{ps} ps"
