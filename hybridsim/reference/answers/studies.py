"""Answers of ``sweep``, ``search``, ``design`` and ``codesign``: what studies of many runs say."""

from pydantic import JsonValue

from hybridsim.described import Described
from hybridsim.reference.answers.rows import Row


class Miss(Described):
    """A constraint that a point does not meet."""

    constraint: str
    """The constraint, as the study has it."""
    column: str
    """The column that it is about."""
    value: float | None
    """What the point has, in the unit of the column; null for nothing."""
    bound: float
    """What the constraint asks for."""
    by: float | None
    """How far the value is from the bound."""


class Nearest(Described):
    """The point that comes closest, where none meets all constraints."""

    point: Row
    """Its columns: axes, latencies, what else the study asks for."""
    misses: list[Miss]
    """What it does not meet."""


class Audit(Described):
    """Points that were computed again on SimPy."""

    points: int
    """How many."""
    differences: list[str]
    """What was not the same, a line each."""


class SearchAnswer(Described):
    """What the points of a study say."""

    study: str
    """The study's name."""
    question: str
    """The study's question."""
    model_version: str
    """Version of the models; points of another one are not taken over."""
    points: int
    """Points of the study, or those that a search evaluated."""
    with_result: int
    """Points that could be run."""
    feasible: int
    """Points that meet all constraints."""
    objectives: dict[str, str]
    """Column -> minimise or maximise."""
    constraints: list[str]
    """The study's constraints."""
    constraints_met: dict[str, int]
    """Constraint -> points that meet it."""
    nearest: Nearest | None
    """The point that comes closest, where none meets all constraints."""
    per: list[str]
    """Axes that are given: each of their values has a front of its own."""
    pareto: list[Row]
    """The points of the front: axes, columns and objectives, with units in the names."""
    best: dict[str, list[Row]]
    """Objective -> the points that are best by it, one for each case."""
    variance_share: dict[str, dict[str, float]]
    """Objective -> axis -> share of its variance that the axis explains alone [0..1]."""
    total_effect_share: dict[str, dict[str, float]]
    """The same, with what it explains together with others."""
    audit: Audit | None
    """Points that were computed again on SimPy; null where none were asked for."""
    seconds: float
    """How long it took [s]."""
    recorded_before: int
    """Points that lay in the folder already."""


class SweepAnswer(SearchAnswer):
    """What a sweep, or shards put together, say."""


class SampleRows(Described):
    """How much of a study a sample looked at."""

    rows: int
    """Rows of the sample: each is a point of two samples, and one more for each axis."""
    complete: int
    """Those of which all points have a result, from which the shares are."""
    grid: int
    """Points of the whole study."""


class SampleAnswer(SearchAnswer):
    """With ``--sample``: what matters in a study of any size, and how sure that is."""

    variance_share_error: dict[str, dict[str, float]]
    """Objective -> axis -> half of the width of the 90 % interval of the variance share."""
    total_effect_share_error: dict[str, dict[str, float]]
    """The same of the share with others."""
    sample: SampleRows
    """What was looked at."""


class ShardAnswer(Described):
    """With ``--shard``: what was recorded of a share of the points."""

    study: str
    """The study's name."""
    number: int
    """Which share."""
    shards: int
    """Of how many."""
    points: int
    """Its points."""
    recorded_before: int
    """Points that lay in the folder already."""
    seconds: float
    """How long it took [s]."""


class SweepForecast(Described):
    """With ``--dry-run``: what a sweep is expected to take."""

    study: str
    """The study's name."""
    points: int
    """Points of the study."""
    sampled: int
    """Points that were run to find out."""
    workers: int
    """Processes that evaluate points."""
    seconds: float
    """Time for all points [s]."""
    result_bytes: int
    """Memory for the results [bytes]."""
    worker_bytes: int
    """Memory of a worker [bytes]; 0 where the system does not say."""


class Measured(Described):
    """What the run of a design says."""

    latency_ps: int
    """Latency [ps]."""
    latency_low_ps: float = 0
    """Lower end of its 90 % interval [ps]."""
    latency_high_ps: float = 0
    """Upper end of its 90 % interval [ps]."""
    tcdm_bytes: int
    """The most that a scratchpad holds at a time [bytes]."""
    tiles: int
    """Tiles in use."""
    bound: str
    """The kind of part with the largest elasticity."""
    covers: str | None
    """What the latency covers, in words."""
    energy_pj: float = 0.0
    """Energy [pJ], where the machine says something of it."""
    area_mm2: float = 0.0
    """Area [mm2], where the machine says something of it."""


class NowAndThen(Described):
    """The best value of an objective, now and with a wider limit."""

    now: float
    """Under the limit as it is."""
    then: float
    """Under the wider one."""


class LimitPrice(Described):
    """What a wider limit would buy."""

    relaxed_to: float
    """The wider limit, in the unit of its column."""
    best: dict[str, NowAndThen]
    """Objective -> its best value now and then."""


class Limit(Described):
    """How a design stands to a limit."""

    limit: str
    """The limit, as it was asked for."""
    column: str
    """The column that it is about."""
    bound: float | None
    """What it asks for, in the unit of the column; null for accuracy without evidence."""
    value: float | None
    """What the design has; null where nothing is known."""
    slack: float | None
    """How far inside of the limit that is; below 0 it misses."""
    met: bool | None
    """Whether it is met; null where nothing is known."""
    binds: bool
    """Whether a wider limit would buy something."""
    price: LimitPrice | None = None
    """What it would buy."""


class Accuracy(Described):
    """What is known of a design's accuracy."""

    adapter: str
    """What the adapter is called."""
    accuracy_percent: float
    """Accuracy after the asked time [%]."""
    low_percent: float
    """Lower end of its 95 % interval [%]."""
    high_percent: float
    """Upper end of its 95 % interval [%]."""
    digital_percent: float | None
    """The same adapter in digital arithmetic [%]."""
    adc_bits: int | None
    """Bits of the converters that it was tested with."""
    output_noise: float
    """Noise of the outputs that it was tested at, in full inputs times full weights."""
    tested: bool
    """Whether it was tested on chips; predicted from single layers otherwise."""
    stands_in: bool
    """Whether it was tested at more noise than the design has: a lower bound."""
    source: str
    """The folder or the file that says it."""


class Neighbour(Described):
    """A point close to limits that exclude each other."""

    choice: dict[str, str]
    """Axis -> value."""
    values: dict[str, float | None]
    """Column -> what the point has."""


class Conflict(Described):
    """Limits that no point meets together."""

    limits: list[str]
    """The limits."""
    nearest: dict[str, Neighbour]
    """Limit -> the point that comes closest where it is given up."""


class Alternative(Described):
    """Another value of an axis, all else kept."""

    value: str
    """The value."""
    changes_percent: dict[str, float]
    """Column -> how it changes [%]."""
    misses: list[str]
    """Limits that it does not meet."""


class Decision(Described):
    """What was chosen on an axis, and what another choice costs."""

    axis: str
    """The axis."""
    chosen: str
    """The value of the design."""
    alternatives: list[Alternative]
    """Its other values."""


class Sharing(Described):
    """From which batch it pays to share tiles in time rather than to leave layers to clusters."""

    objective: str
    """The column."""
    digital: float
    """Its value with layers on clusters."""
    one: float
    """Its value with tiles written for each sequence."""
    most: float
    """Its value with tiles written once for the largest batch."""
    largest: int
    """That batch."""
    pays_from: int | None
    """Least batch at which sharing is better; null where none is."""


class DesignSearch(Described):
    """How the front was found."""

    points: int
    """Points of the space."""
    runs: int
    """Points that were run."""
    left_out: int
    """Points that bounds excluded."""
    complete: bool
    """Whether every point was run or excluded."""
    why: str
    """Why the search ended."""
    seed: int
    """Its seed."""
    checked: int
    """Excluded points that were run at the end."""
    wrong: int
    """Those of them that would have been on the front."""
    interrupted: bool
    """Whether Ctrl-C ended it."""
    seconds: float
    """How long it took [s]."""


class DesignAnswer(Described):
    """What to build for a network under limits."""

    hybridsim_version: str
    """The version that found it."""
    model_version: str
    """Version of the models."""
    network: str
    """The network."""
    base: str
    """The machine that it began with."""
    tokens: int | None
    """Tokens per sequence; null for the network's own."""
    feasible: bool | None
    """Whether all limits are met; null where evidence is missing."""
    choice: dict[str, str]
    """Axis -> the value that was chosen."""
    settings: dict[str, JsonValue]
    """Dotted path -> value of all that the design sets."""
    objectives: dict[str, float]
    """Objective -> its value."""
    measured: Measured
    """What its run says."""
    limits: list[Limit]
    """How it stands to each limit."""
    accuracy: Accuracy | None
    """What is known of its accuracy."""
    study_needed: JsonValue
    """The study that would bring missing evidence; null where nothing is missing."""
    conflicts: list[Conflict]
    """Limits that exclude each other."""
    front: list[Row]
    """The points of the front, as a sweep has them."""
    decisions: list[Decision]
    """What each choice is worth."""
    sharing: list[Sharing]
    """From which batch it pays to share tiles in time; empty where all fits the chip."""
    search: DesignSearch
    """How it was found."""
    notes: list[str]
    """What to know before believing it."""


class CodesignRow(Row):
    """An adapter on a machine, with accuracy, time and energy."""

    arm: str
    """Arm of ``hybridsim adapt``."""
    machine: str
    """Machine of the study."""
    rank: int
    """Rank of the adapter."""
    integration_time_ps: int
    """Integration time [ps]."""
    accuracy_percent: float
    """Accuracy on chips after the study's time [%]."""
    latency_ps: int | None
    """Latency [ps]; null where the point cannot be run."""


class CodesignAnswer(Described):
    """Accuracy over time beside latency and energy, and the adapter to ship."""

    hybridsim_version: str
    """The version that found it."""
    study: dict[str, JsonValue]
    """The study's text."""
    points: int
    """Points of the study."""
    feasible: int
    """Points that meet all constraints."""
    pareto: list[CodesignRow]
    """The points of the front."""
    ship: CodesignRow | None
    """The adapter to ship; null where no point meets all constraints."""
    command: str | None
    """The command that simulates it."""
    notes: list[str]
    """What to know before believing it."""
