"""Answers of ``adapt``, ``recalibrate`` and ``sensitivity``."""

from pydantic import JsonValue

from hybridsim.described import Described
from hybridsim.reference.answers.rows import Row


class AccuracyRow(Row):
    """The accuracy of an arm at a time; the other columns are intervals and counts."""

    arm: str
    """The arm."""
    time: str
    """Time after programming, or digital."""
    accuracy_percent: float
    """Mean over training seeds, chips and sentences [%]."""
    ci95_low: float
    """Lower end of its 95 % t-interval [%]."""
    ci95_high: float
    """Upper end of its 95 % t-interval [%]."""


class DifferenceRow(Row):
    """An arm beside another one, on the same chips at the same time or in digital arithmetic."""

    arm: str
    """The arm."""
    time: str
    """Time after programming, or digital."""
    against: str
    """What it is compared with."""
    difference_points: float
    """Difference of the accuracies [points]."""
    significant: bool
    """Whether its 95 % t-interval excludes zero."""


class TrainingRow(Row):
    """What training an arm took."""

    arm: str
    """The arm."""
    seed: int
    """Its seed."""


class MetricRow(Row):
    """GLUE's own metric of a task for an arm at a time."""

    arm: str
    """The arm."""
    time: str
    """Time after programming, or digital."""
    metric: str
    """f1, matthews, pearson, spearman, or word_f1 of SQuAD."""
    percent: float
    """Its mean over training seeds and chips [%]."""


class AdaptTables(Described):
    """Arms trained and tested on programmed chips over time."""

    accuracy: list[AccuracyRow]
    """A row for each arm and time."""
    differences: list[DifferenceRow]
    """A row for each arm, control and time."""
    training: list[TrainingRow]
    """A row for each arm and seed."""
    metrics: list[MetricRow]
    """A row for each arm and time where the task has a metric of its own; else none."""


class RewardRow(Row):
    """The reward of a decoder's answers at a stage of its training."""

    stage: str
    """base, tuned or grpo."""
    time: str
    """Time after programming, or digital."""
    reward: float
    """Mean reward of the likeliest answers [0..1]."""


class DecoderRewards(Described):
    """The answer to the study of a decoder."""

    rewards: list[RewardRow]
    """A row for each stage, seed, chip and time."""


class ReinforcedRow(Row):
    """The reward of a pretrained decoder's answers at a time; other columns are intervals."""

    adapter: str
    """The adapter; - for none, before it learned from rewards."""
    time: str
    """Time after programming, or digital."""
    reward_percent: float
    """Right answers, over chips and questions [%]."""
    gain_points: float | None
    """What the adapter added on the same chips and questions [points]; null without one."""


class ReinforcedTraining(Row):
    """What reinforcing an adapter took."""

    adapter: str
    """The adapter."""
    first_reward: float
    """Mean reward of the answers sampled in the first steps [0..1]."""
    last_reward: float
    """The same of the last steps [0..1]."""
    cpu_seconds_per_step: float
    """Processor time [s]."""
    peak_memory_bytes: int
    """The most memory that the process had held by then [B]."""


class ReinforcedTables(Described):
    """The answer to the study of a pretrained decoder's rewards."""

    rewards: list[ReinforcedRow]
    """A row for each adapter and time."""
    training: list[ReinforcedTraining]
    """A row for each adapter."""


class AdaptForecast(Described):
    """With ``--dry-run``: how long a study is expected to take."""

    seconds: dict[str, float]
    """Part of the study -> its time [s]."""
    total_seconds: float
    """All of it [s]."""


class CutRow(Row):
    """What cutting weights costs layers, in shares of the variance of their products [0..]."""

    clip_sigmas: float | None
    """Where weights are cut, in standard deviations of their layer; null for nowhere."""
    clipped: float
    """What cutting costs alone."""
    left: float
    """With the best adapter of the study's rank."""
    tiles: float
    """What the tiles cost at the study's last time."""
    together: float
    """The last two."""


class Cuts(Described):
    """With ``--clipping``: where to cut weights."""

    clipping: list[CutRow]
    """A row for each place, means over the layers."""


AdaptAnswer = AdaptTables | DecoderRewards | ReinforcedTables | AdaptForecast | Cuts


class CorrectedRow(Row):
    """A chip at a time, corrected at an earlier one or never; the other columns are intervals."""

    arm: str
    """The arm."""
    time: str
    """Time after programming."""
    corrected_at: str
    """When it was corrected last, or never."""
    flips_percent: float
    """Answers that differ from digital arithmetic [%]."""
    accuracy_percent: float
    """Accuracy [%]."""


class CorrectedDifferenceRow(DifferenceRow):
    """A chip at a time beside a control that computes digitally."""

    corrected_at: str
    """When it was corrected last, or never."""


class ScheduleRow(Row):
    """A schedule of corrections; the other columns are what it takes, where that is known."""

    arm: str
    """The arm."""
    schedule: str
    """The schedule's name."""
    events: str
    """When chips are corrected."""


class Recalibrated(Described):
    """Chips corrected without labels, and what that costs."""

    study: dict[str, JsonValue]
    """The study's text."""
    judged_by: str
    """test or validation sentences."""
    recalibration: list[CorrectedRow]
    """A row for each arm, time and last correction."""
    differences: list[CorrectedDifferenceRow]
    """A row for each arm, time, last correction and control that was tested digitally."""
    maintenance: list[ScheduleRow]
    """A row for each arm and schedule."""
    retraining: list[CorrectedRow]
    """A row for each arm and event where chips were also trained on; else none."""
    notes: list[str]
    """How the sentences were split."""


class PerplexityRow(Row):
    """How well a pretrained decoder predicts text at a time; the other columns are intervals."""

    tiles: str
    """Name of the tiles, or digital."""
    adapter: str
    """Name of the adapter; - for none."""
    time: str
    """Time after programming, or weights alone."""
    corrected: bool
    """Whether its layers were corrected at that time."""
    perplexity: float
    """exp of the mean loss per token."""
    times_digital: float
    """That over the perplexity of digital arithmetic without an adapter, same documents."""
    accuracy_percent: float
    """Next tokens that are the likeliest ones [%]."""


class SidePathRow(Row):
    """What side paths of a kind of layers take; the other columns are times and energies."""

    tiles: str
    """Name of the tiles."""
    layers: str
    """End of the layers' names, or all."""
    streams: bool
    """Whether cores have indirection streams."""
    kept_percent: float
    """Weights that are digital [%]."""


class LanguageTables(Described):
    """The answer to the study of a pretrained decoder."""

    perplexity: list[PerplexityRow]
    """A row for each kind of tiles, time and whether corrected."""
    side_path: list[SidePathRow]
    """A row for each kind of tiles, streams or not, and kind of layers; none without a machine."""


RecalibrateAnswer = Recalibrated | LanguageTables


class SensitivityAdapter(Described):
    """The adapters with which layers were measured."""

    rank: int
    """Their rank."""
    alpha: float
    """Their alpha."""
    targets: list[str]
    """Patterns of the layers that have one."""


class CurvePoint(Described):
    """What a divergence makes of answers."""

    kl: float
    """Kullback-Leibler divergence from digital answers [nat]."""
    flips_percent: float
    """Answers that turn over [%]."""
    drop_points: float
    """Accuracy lost [points]."""
    low_points: float
    """Lower end of its interval [points]."""
    high_points: float
    """Upper end of its interval [points]."""


class AllOnTiles(Described):
    """All layers on tiles at the same time."""

    kl: float
    """Kullback-Leibler divergence from digital answers [nat]."""
    kl_of_the_pass: float
    """The same, predicted from the pass alone [nat]."""
    flips_percent: float
    """Answers that turn over [%]."""
    drop_points: float
    """Accuracy lost [points]."""


class Condition(Described):
    """Layers on tiles of one kind at one time."""

    time: str
    """Time after programming."""
    dac_bits: int | None
    """Bits of the converters of inputs; null for exact ones."""
    adc_bits: int | None
    """Bits of the converters of outputs; null for exact ones."""
    output_noise: float
    """Noise of the outputs, in full inputs times full weights."""
    kl: dict[str, float]
    """Layer -> the divergence that it adds [nat]."""
    curve: list[CurvePoint]
    """How a sum of divergences becomes flips and accuracy."""
    error_points: float
    """How wrong predictions of untested placements were on average [points]."""
    error_flips: float
    """The same for flips [%]."""
    checked_on: int
    """How many placements were tested for that."""
    all_on_tiles: AllOnTiles
    """All layers at the same time."""


class SensitivityAnswer(Described):
    """What each layer costs on tiles; the document ``sensitivity.json``."""

    kind: str
    """sensitivity."""
    format_version: int
    """Version of the format."""
    hybridsim: str
    """The version that wrote it."""
    network: str
    """The network."""
    task: str
    """The task."""
    model_sha256: str
    """Checksum of the base model."""
    sentences_sha256: str
    """Checksum of the sentences."""
    judged_by: str
    """test or validation sentences."""
    sentences: int
    """How many sentences."""
    chips: int
    """How many chips."""
    adapter: SensitivityAdapter
    """The adapters."""
    digital_accuracy_percent: float
    """Accuracy in digital arithmetic [%]."""
    conditions: list[Condition]
    """One for each kind of tile and time."""
