"""Answers of ``validate``: the models beside measurements and published figures."""

from pydantic import Field

from hybridsim.described import Described
from hybridsim.reference.answers.rows import Row


class HarpSummary(Described):
    """How far the simulator is from HARP's published results."""

    rows: int
    """Published results."""
    simulated: int
    """Those that were run."""
    unsupported: int
    """Those that cannot be run."""
    mean_absolute_error_percent: float | None
    """Mean error of the latencies [%]."""
    median_absolute_error_percent: float | None
    """Median error of the latencies [%]."""
    largest_absolute_error_percent: float | None
    """Largest error of the latencies [%]."""
    within_a_fifth: int = Field(
        alias="within_0.2_percent", description="Latencies within 0.2 % of the published ones."
    )
    within_2_percent: int
    """Latencies within 2 % of the published ones."""
    worst_row: str | None
    """The row with the largest error."""
    energies: int
    """Energies that were compared."""
    largest_energy_error_percent: float | None
    """Largest error of the energies [%]."""
    energy_within_5_percent: int
    """Energies within 5 %."""
    largest_digital_error_percent: float | None
    """Largest error of digital energies [%]."""
    digital_within_5_percent: int
    """Digital energies within 5 %."""
    largest_analog_error_percent: float | None
    """Largest error of analog energies [%]."""
    analog_within_5_percent: int
    """Analog energies within 5 %."""


class HarpKind(Row):
    """Rows of one kind; with ``--before`` the figures of another version beside them."""

    kind: str
    """Strategy, mapping objective or what else tells them apart."""
    rows: int
    """How many these are."""
    latency_median: float | None
    """Median error of their latencies [%]."""
    latency_worst: float | None
    """Largest error of their latencies [%]."""


class HarpAnswer(Described):
    """HARP's published results beside the simulator's."""

    summary: HarpSummary
    """All rows together."""
    kinds: list[HarpKind]
    """Rows by kind."""
    rows: list[Row]
    """Every row of the table, with what was simulated and the errors."""


class ErrorRow(Described):
    """Errors of the rows of one group and half."""

    group: str
    """Kind of kernel, or engine with its array."""
    half: str
    """all, fitted or held back."""
    rows: int
    """Rows of the table."""
    compared: int
    """Rows with an answer."""
    exact: int
    """Rows that are right to the cycle."""
    median_percent: float | None
    """Median of the errors without sign [%]."""
    p90_percent: float | None
    """90 % of them are within this [%]."""
    p99_percent: float | None
    """99 % of them are within this [%]."""
    worst_percent: float | None
    """The largest of them [%]."""
    bias_percent: float | None
    """Mean of the errors with their signs [%]."""


class OutcomeRow(Described):
    """Jobs of the engine that worked in RTL or did not, and whether the model knew."""

    measured: str
    """What they did in RTL."""
    works: int
    """Jobs that the model says work."""
    fails: int
    """Jobs that the model says fail."""


class ReasonRow(Described):
    """Why rows have no answer."""

    reason: str
    """The reason."""
    rows: int
    """How many have it."""


class RtlRows(Described):
    """Every measured row beside the model's answer."""

    rows: list[Row]
    """The rows as they were, with simulated_cycles, error_percent and unsupported."""
    summary: list[ErrorRow]
    """Errors by group and half."""
    outcomes: list[OutcomeRow]
    """Jobs that worked and that did not."""
    reasons: list[ReasonRow]
    """Why rows have no answer."""


class CoverageRow(Described):
    """What 90 % intervals cover of the rows of a group or a regime."""

    group: str = ""
    """Kind of kernel, or all rows; absent where rows are by regime."""
    regime: str = ""
    """Regime, or all rows; absent where rows are by kernel."""
    half: str
    """fitted or held back."""
    rows: int
    """How many rows."""
    covered_percent: float
    """Rows that lie in their interval [%]."""
    median_error_percent: float
    """Median of the errors [%]."""
    median_half_width_percent: float
    """Median of half the width of the intervals [%]."""


class RtlIntervals(Described):
    """With ``--intervals``: what intervals cover."""

    by_kernel: list[CoverageRow]
    """A row for each kind of kernel and half."""
    by_regime: list[CoverageRow]
    """A row for each regime and half."""


RtlAnswer = RtlRows | RtlIntervals


class StudyRow(Row):
    """A case of the paper's latency study; the other columns say what was set."""

    network: str
    """The network."""
    integration_time: str
    """Integration time, with its unit."""
    overhead_percent: float | None
    """Overhead of the adapters [%]."""


class AnchorRow(Row):
    """A published overhead beside ours under several readings."""

    anchor: str
    """Which of the published overheads."""
    published_percent: float
    """What the paper says [%]."""
    why: str
    """Why ours differs."""


class PaperAnswer(Described):
    """The paper's latency study."""

    study: list[StudyRow]
    """Every case."""
    anchors: list[AnchorRow]
    """Its published overheads."""
