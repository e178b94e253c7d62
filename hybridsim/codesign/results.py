"""What ``hybridsim adapt`` found: adapters with their accuracy on chips after years."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.analog.times import format_time
from hybridsim.boundary.reading import read_own, verify
from hybridsim.codesign.study import CodesignStudy
from hybridsim.errors import SpecError, UnknownNameError
from hybridsim.specs import read_json_mapping, validate
from hybridsim.training.study import AdaptStudy

COLUMNS = (
    "arm", "time", "accuracy_percent", "ci95_low", "ci95_high", "seeds", "chips", "sentences",
)  # fmt: skip
"""What a row of accuracy.csv must say."""
DIGITAL = "digital"
"""In place of a time: digital arithmetic."""
ALIKE = ("model_sha256", "sentences_sha256")
"""What must be the same for accuracies to be compared."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The adapters of one arm, tested on tiles of one kind."""

    folder: Path
    """The results folder."""
    arm: str
    rank: int
    alpha: float
    targets: tuple[str, ...]
    dac_bits: int | None
    adc_bits: int | None
    output_noise: float
    """Of the tiles that it was tested on, in full inputs times full weights."""
    accuracy_percent: float
    """Mean over training seeds, chips and test sentences [%]."""
    ci95_low: float
    ci95_high: float
    seeds: int
    chips: int
    sentences: int
    adapter: Path
    """The folder of the first training seed's adapter, in PEFT's format."""
    digital_percent: float | None = None
    """Accuracy of the same adapters in digital arithmetic [%], where it was tested."""

    @property
    def kind(self) -> tuple[str, int | None, int | None]:
        """What it is but for the noise it was tested at."""
        return self.arm, self.dac_bits, self.adc_bits


def read_candidates(study: CodesignStudy, beside: Path) -> tuple[Candidate, ...]:
    """Return the adapters of all results folders, in their order.

    Raises:
        SpecError: A folder lacks a file, a file is broken, no row has the study's time, or the
            folders were tested with different models or sentences.
        UnknownNameError: No folder has one of the study's arms.
    """
    folders = []
    for i, name in enumerate(study.results):
        folder = next((p for p in (beside / name, Path(name)) if p.is_dir()), None)
        if folder is None:
            problem = f"{name} is no folder here or in {beside}; hybridsim adapt --out writes one"
            raise SpecError("study", f"results[{i}]", problem)
        folders.append(folder)
    found = candidates_of(folders, study.after, "study", "results")
    arms = {candidate.arm for candidate in found}
    for arm in study.arms:
        if arm not in arms:
            raise UnknownNameError("study: arms: arm with adapters", arm, arms)
    chosen = tuple(c for c in found if not study.arms or c.arm in study.arms)
    if not chosen:
        raise SpecError("study", "results", "hold no arm that trained adapters (train: lora)")
    return chosen


def candidates_of(folders: Sequence[Path], after: float, file: str, place: str) -> list[Candidate]:
    """Return the adapters of results folders that were tested after some time [s].

    ``file`` and ``place`` are where somebody named the folders.

    Raises:
        SpecError: As :func:`read_candidates`.
    """
    found: list[Candidate] = []
    first: dict[str, Any] = {}
    for i, folder in enumerate(folders):
        about = _about(folder / "study.json")
        for key in ALIKE:
            if first and about.get(key) != first.get(key):
                what = "base model" if key == "model_sha256" else "sentences"
                raise SpecError(
                    file, f"{place}[{i}]",
                    f"{folder} and {folders[0]} were tested with different {what}, so their "
                    "accuracies cannot be compared; results of one task would do",
                )  # fmt: skip
        first = first or about
        found += _candidates(folder, about, format_time(after))
    return found


def _candidates(folder: Path, about: dict[str, Any], time: str) -> list[Candidate]:
    adapted = validate(AdaptStudy, about.get("study"), str(folder / "study.json"), "study")
    how, table = adapted.analog.converters, folder / "accuracy.csv"
    digital = {str(row["arm"]): row for row in _rows(table, DIGITAL, there=False)}
    found = []
    for row in _rows(table, time):
        arm = str(row["arm"])
        if arm not in adapted.arms:
            problem = f"found the arm {arm!r}, which study.json beside it does not have"
            raise SpecError(str(folder / "accuracy.csv"), "arm", problem)
        if adapted.arms[arm].train != "lora":
            continue  # trained weights are no adapter: each task would program its own tiles
        lora = adapted.lora_of(arm)
        found.append(
            Candidate(
                folder, arm, lora.rank, lora.alpha, lora.targets, how.dac_bits, how.adc_bits,
                how.output_noise, float(row["accuracy_percent"]), float(row["ci95_low"]),
                float(row["ci95_high"]), int(row["seeds"]), int(row["chips"]),
                int(row["sentences"]), _adapter(folder, adapted, arm),
                float(digital[arm]["accuracy_percent"]) if arm in digital else None,
            )
        )  # fmt: skip
    return found


def _about(file: Path) -> dict[str, Any]:
    """Return what a results folder says of its study."""
    verify(file)
    return read_json_mapping(file)


def _adapter(folder: Path, adapted: AdaptStudy, arm: str) -> Path:
    """Return where the adapter of the first seed lies: here, or where it was taken from."""
    source, name, earlier = folder, arm, adapted.earlier_adapters_of(arm)
    if earlier is not None:
        results, name = earlier
        places = (folder.parent / results, Path(results))
        source = next((place for place in places if place.is_dir()), places[0])
    return source / "runs" / name / f"seed{adapted.seeds[0]}" / "adapter"


def _rows(file: Path, time: str, there: bool = True) -> Sequence[dict[str, Any]]:
    """Return the rows of a time; ``there`` says that some must be there."""
    try:
        table = pd.read_csv(io.BytesIO(read_own(file)), dtype={"arm": str, "time": str})
    except ValueError as error:
        raise SpecError(str(file), "", f"cannot be read as a table: {error}") from None
    for column in COLUMNS:
        if column not in table.columns:
            raise SpecError(str(file), "", f"has no column {column!r}; hybridsim adapt writes it")
    numbers = table[[c for c in COLUMNS if c not in ("arm", "time")]]
    known = numbers.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    broken = known.isna().any(axis=1)
    if broken.any():
        line = int(broken.to_numpy().argmax()) + 2
        raise SpecError(str(file), f"line {line}", "holds no number where one should be")
    rows = table[table["time"] == time]
    if rows.empty and there:
        known = ", ".join(dict.fromkeys(t for t in table["time"] if t != "digital"))
        problem = f"has no row for {time} after programming; it has {known or 'no time on chips'}"
        raise SpecError(str(file), "time", problem)
    return rows.to_dict("records")  # type: ignore[return-value]
