"""What is known of accuracy on tiles after years, and which points of a design it speaks for.

Two kinds of evidence are read. Folders of ``hybridsim adapt`` hold accuracies of adapters that
were tested on chips (:mod:`hybridsim.codesign.results`). ``sensitivity.json`` holds what each
layer costs alone and how a sum of such costs becomes accuracy, so that a placement that never ran
has an estimate: :mod:`hybridsim.designs.sensitivity`. Where both speak for a point, what was
tested wins.

An accuracy counts for an integration time if it was tested at the output noise that the time leads
to, or at more: then it is a lower bound, which assumes that less noise does no harm.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridsim.analog.times import format_time
from hybridsim.boundary.reading import is_file, is_folder
from hybridsim.codesign.points import TOLERANCE
from hybridsim.codesign.results import Candidate, candidates_of
from hybridsim.codesign.study import IntegrationNoise
from hybridsim.designs.accuracy import Known, Placement, Predictor
from hybridsim.designs.sensitivity import SENSITIVITY, Sensitivity, read_sensitivity
from hybridsim.errors import SpecError
from hybridsim.workload import Network

NOISE = IntegrationNoise(
    output_noise=0.04,
    integration_time="256 ns",
    source="assumed: the paper's 4 % of output noise at its middle integration time, all white",
)
"""How an integration time becomes output noise where nobody says it."""
ADAPTER = "adapter"
"""Name of the axis that chooses adapters."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of accuracy at one time after programming."""

    after: float
    """Time after programming [s]."""
    known: tuple[Known, ...] = ()
    """What was tested, with all layers on tiles."""
    predictors: tuple[Predictor, ...] = ()
    bits: int | None = 8
    """Of the converters that count. Source: the paper's DAC and ADC of 8 bits."""
    noise: IntegrationNoise = NOISE

    def __bool__(self) -> bool:
        return bool(self.known or self.predictors)

    @property
    def digital_percent(self) -> float | None:
        """The best accuracy in digital arithmetic, against which points are counted [%]."""
        tested = [own.digital_percent for own in self.known if own.digital_percent is not None]
        predicted = [own.base_percent or own.digital_percent for own in self.predictors]
        return max((*tested, *predicted), default=None)

    @property
    def adapters(self) -> dict[str, dict[str, Any]]:
        """Name of each adapter -> what it sets, by rank."""
        every: list[Known | Predictor] = [*self.known, *self.predictors]
        every.sort(key=lambda own: (own.rank, own.name))
        return {own.name: own.settings for own in every}

    def of(self, adapter: str, placement: Placement) -> Known | None:
        """Return what is known of an adapter on a placement; None for nothing.

        What was tested wins where all layers are on tiles, and elsewhere where nothing is
        predicted: fewer layers on tiles do no harm. Of tests the next noisier one counts.

        Raises:
            SpecError: A prediction lacks a layer, or its curve ends before the placement.
        """
        times = [time for time in placement.values() if time is not None]
        noise = max((self.noise.at(time) for time in times), default=0.0)
        own = [k for k in self.known if k.name == adapter and k.adc_bits == self.bits]
        enough = [k for k in own if k.output_noise >= noise * (1 - TOLERANCE)]
        tested = min(enough, key=lambda k: k.output_noise, default=None)
        split = len(times) < len(placement)
        if tested is not None and not split:
            return replace(tested, stands_in=tested.output_noise > noise * (1 + TOLERANCE))
        for predictor in self.predictors:
            if predictor.name == adapter:
                found = predictor.of(placement, self.noise, self.bits)
                if found is not None:
                    return found
        return None if tested is None else replace(tested, stands_in=True)

    def table(self, placements: Mapping[str, Placement]) -> dict[str, Known]:
        """Return ``adapter, placement`` -> what is known; the adapter alone for the label ""."""
        found = {}
        for adapter in self.adapters:
            for label, placement in placements.items():
                if (known := self.of(adapter, placement)) is not None:
                    found[f"{adapter}, {label}" if label else adapter] = known
        return found


def read_evidence(paths: Sequence[Path], after: float, network: Network) -> Evidence:
    """Return what files and folders say of accuracy at a time.

    Raises:
        SpecError: A path leads to no evidence, has none at the time, or what it says is of other
            layers than those of the network.
    """
    folders, known, predictors = list[Path](), list[Known](), list[Predictor]()
    for path in paths:
        if is_folder(path) and not is_file(path / SENSITIVITY):
            folders.append(path)
        else:
            file = path / SENSITIVITY if is_folder(path) else path
            predictors.append(_predictor(read_sensitivity(file), after, network, str(file)))
    if folders:
        known += [_tested(own, after) for own in candidates_of(folders, after, "--evidence", "")]
    every: list[Known | Predictor] = [*known, *predictors]
    for own in every:
        _check_layers(own, network)
    return Evidence(after, *_named_apart(known, [_from_tests(own, known) for own in predictors]))


def _tested(own: Candidate, after: float) -> Known:
    return Known(
        own.arm, own.rank, max(1, round(own.alpha)), _patterns(own.targets), own.adc_bits,
        own.output_noise, own.accuracy_percent, own.ci95_low, own.ci95_high, own.digital_percent,
        True, f"{own.folder}: {own.seeds} seeds, {own.chips} chips, {own.sentences:,} sentences, "
        f"{format_time(after)}",
    )  # fmt: skip


def _from_tests(own: Predictor, known: Sequence[Known]) -> Predictor:
    """Return a predictor whose losses count from what was tested, if anything was.

    Single layers are measured on other sentences than adapters are tested on, where digital
    arithmetic is another percentage; what they predict is the loss.
    """
    told = [k for k in known if k.digital_percent is not None]
    alike = [k for k in told if k.settings == own.settings] or told
    if not alike:
        return own
    return replace(own, base_percent=max(k.digital_percent or 0.0 for k in alike))


def _named_apart(
    known: Sequence[Known], predictors: Sequence[Predictor]
) -> tuple[tuple[Known, ...], tuple[Predictor, ...]]:
    """Give adapters that are not the same names that are not the same either."""
    settings: dict[str, dict[str, Any]] = {}

    def name_of(own: Known | Predictor) -> str:
        name, number = own.name, 2
        while settings.setdefault(name, own.settings) != own.settings:
            name, number = f"{own.name}_{number}", number + 1
        return name

    return (
        tuple(replace(own, name=name_of(own)) for own in known),
        tuple(replace(own, name=name_of(own)) for own in predictors),
    )


def _patterns(targets: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of layers that targets of adapters stand for."""
    return tuple(f"*.{target.removesuffix('.dense')}" for target in targets)


def _predictor(found: Sensitivity, after: float, network: Network, file: str) -> Predictor:
    """Return what predicts placements of a network at a time."""
    adapter = found.adapter
    if adapter is None:
        problem = "has no adapter; one measured with the adapters of the design would do"
        raise SpecError(file, "adapter", problem)
    conditions = tuple(found.at(after, file))
    for condition in conditions:
        for layer in network.static_linear_layers:
            condition.kl_of(layer.name, file)
    return Predictor(
        f"rank{adapter.rank}", adapter.rank, max(1, round(adapter.alpha or adapter.rank)),
        _patterns(adapter.targets), conditions, found.digital_percent, file,
    )  # fmt: skip


def _check_layers(own: Known | Predictor, network: Network) -> None:
    try:
        network.without_adapters().with_adapters(rank=own.rank, targets=own.patterns)
    except SpecError as error:
        told = own.source if isinstance(own, Known) else own.file
        problem = f"{told}: its adapters are of other layers than {network.name}'s"
        raise SpecError("--evidence", own.name, f"{problem}: {error}") from None
