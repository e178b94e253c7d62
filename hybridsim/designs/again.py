"""A design from the folder that it left: the same answer, from runs that are recorded there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from hybridsim.designs.answer import Design, SearchStory
from hybridsim.designs.asking import Question, asked
from hybridsim.designs.proof import DESIGN
from hybridsim.designs.run import JOURNAL, answer
from hybridsim.designs.seen import Seen
from hybridsim.errors import SpecError
from hybridsim.specs import read_json_mapping, validate
from hybridsim.sweeps.audits import Audit
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.known import Known
from hybridsim.units import Spec

ANEW = "the same command of hybridsim design would write it anew"


class Asking(Spec):
    """What was asked, as ``design.json`` keeps it; files by their way from the folder."""

    network: str
    base: str
    limits: tuple[str, ...] = ()
    minimise: tuple[str, ...] = ()
    maximise: tuple[str, ...] = ()
    space: str | None = None
    evidence: tuple[str, ...] = ()
    settings: dict[str, Any] = Field(default={})
    tokens: int | None = None
    layers_only: bool = False


class _Proof(Spec):
    model_config = ConfigDict(extra="ignore")

    points: int
    differences: tuple[str, ...]


class _Written(Spec):
    """What is read of ``design.json``; the rest follows from the runs."""

    model_config = ConfigDict(extra="ignore")

    asked: Asking
    search: dict[str, Any]
    limits: Annotated[tuple[dict[str, Any], ...], Field(max_length=1000)]
    proof: _Proof


def design_of_folder(folder: Path) -> tuple[Design, Audit]:
    """Return the design whose files lie in a folder, and what its proof found; nothing is run.

    Raises:
        SpecError: The files are not of one design, or their runs are of another version.
        InputError: Something that was asked cannot be read any more.
    """
    file = str(folder / DESIGN)
    document = read_json_mapping(folder / DESIGN)
    if "asked" not in document:
        problem = f"key 'asked' is missing, as earlier versions wrote it; {ANEW}"
        raise SpecError(file, "", problem)
    written = validate(_Written, document, file)
    given = asked(_question(written.asked, folder))
    with Journal(folder / JOURNAL) as journal:
        known = Known(given.inputs, journal)
        if len(known.rows) < written.search.get("runs", 1):
            problem = f"its runs are not those of this version and of what it asks; {ANEW}"
            raise SpecError(str(folder / JOURNAL), "", problem)
        seen = Seen(known, given.objectives, given.columns)
        seen.know(known.rows)
        priced = [i for i, own in enumerate(written.limits) if "price" in own]
        story = SearchStory(**_story(written.search, file))
        found = answer(given, seen, story, priced)
    return found, Audit(written.proof.points, written.proof.differences)


def _story(given: Mapping[str, Any], file: str) -> dict[str, Any]:
    names = SearchStory.__dataclass_fields__
    if set(given) != set(names):
        raise SpecError(file, "search", f"found other keys than {', '.join(names)}; {ANEW}")
    return dict(given)


def _question(own: Asking, folder: Path) -> Question:
    def beside(name: str) -> str:
        base, colon, variant = name.partition(":")
        there = folder / base
        return f"{there}{colon}{variant}" if there.exists() else name

    return Question(
        beside(own.network), beside(own.base), own.limits, own.minimise, own.maximise,
        None if own.space is None else Path(beside(own.space)),
        tuple(Path(beside(name)) for name in own.evidence), own.settings or None, own.tokens,
        own.layers_only,
    )  # fmt: skip
