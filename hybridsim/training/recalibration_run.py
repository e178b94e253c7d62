"""A study of recalibration from its file to its tables; every finished evaluation is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.analog.times import format_time
from hybridsim.errors import InputError, SpecError
from hybridsim.training.answers import cube_of as digital_of
from hybridsim.training.built_upon import (
    adapters_of,
    divergence,
    known_arm,
    lines_of,
    logits_of,
)
from hybridsim.training.checking import CHECKING, Checks, checked, checks_of
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.files import Journal, Lines, packed, unpacked, write_file
from hybridsim.training.identity import Part, identity
from hybridsim.training.intervals import Cube
from hybridsim.training.linear import program_chip, put_on_chip
from hybridsim.training.maintenance import YEAR_S
from hybridsim.training.marks import Sentences
from hybridsim.training.peft_files import write_trained
from hybridsim.training.recalibrating import (
    Corrections,
    Reference,
    adapter_of,
    carried,
    measure,
    put_adapters,
    reference_of,
)
from hybridsim.training.recalibration_price import Price, priced
from hybridsim.training.recalibration_study import RecalibrationStudy, read_recalibration_study
from hybridsim.training.recalibration_tables import (
    Known,
    Row,
    compared,
    difference_table,
    schedule_rows,
    table_of,
)
from hybridsim.training.retraining import retrained
from hybridsim.training.run import Watch
from hybridsim.training.tokens import TokenizedText

_ROW = ("arm", "seed", "chip", "event", "seconds", "sentences", "correct", "flipped", "kl")
_MEASURING = 2**40
"""Where the output noise of measurements lies in its stream, apart from that of tests."""
GROWING = (
    "events", "schedules", "question", "network", "machine", "results", "retrain",
    "written",
)  # fmt: skip
"""What may change between two runs of a study: no evaluation depends on it."""


@dataclass(frozen=True, slots=True)
class RecalibrationResult:
    """The answer of a study."""

    study: RecalibrationStudy
    table: pd.DataFrame
    """One row per arm, time and last event: flips, KL, accuracy, and flips against doing
    nothing."""
    maintenance: pd.DataFrame
    """One row per arm and schedule: accuracy and flips, at the end and on average, and price."""
    retraining: pd.DataFrame
    """One row per arm and event: trained on for as long, beside corrected at once; no rows
    without."""
    differences: pd.DataFrame
    """One row per arm, time, last event and control of the study of adapters that was tested in
    digital arithmetic there: how many points of accuracy lie between them."""
    chips: int
    on: Part
    """The sentences that corrections were judged by."""
    notes: tuple[str, ...]
    """How the sentences were split, a line each."""

    def document(self) -> dict[str, Any]:
        """Return all of it as one JSON document; it repeats the study's text."""
        return {
            "study": self.study.to_text(),
            "judged_by": self.on,
            "recalibration": self.table.to_dict("records"),
            "maintenance": self.maintenance.to_dict("records"),
            "retraining": self.retraining.to_dict("records"),
            "differences": self.differences.to_dict("records"),
            "notes": list(self.notes),
        }


class RecalibrationRun:
    """A study with its adapters, its model and its results folder."""

    def __init__(
        self, file: Path, out: Path, watch: Watch | None = None, on: Part = "test"
    ) -> None:
        self.study, file = read_recalibration_study(file)
        self.out, self.watch, self.folder = out, watch or (lambda *_: None), file.parent
        self.adapt = adapters_of(file, self.study.adapters, self.study.results, out, watch, on)
        self.times = tuple(sorted(self.adapt.study.times))
        for event in self.study.events:
            if event not in self.times:
                problem = f"found {format_time(event)}; a time of {self.study.adapters} would do"
                raise SpecError(str(file), "events", problem)
        self.arms = self.study.arms or tuple(
            name for name, arm in self.adapt.study.arms.items() if arm.train == "lora"
        )
        for place, arm in enumerate(self.arms):
            known_arm(file, f"arms.{place}", arm, self.adapt)

    def run(self) -> RecalibrationResult:
        """Measure, correct and test what is not done yet, and write the tables.

        Raises:
            CapacityError: The machine has no room for adapters of the corrected rank.
            InputError: The folder belongs to another study, or a file cannot be used.
            KeyboardInterrupt: Someone stopped it; the tables of what is known are written.
        """
        prices = {arm: self._price(arm) for arm in self.arms}  # a machine too small is told first
        lines, known = self._open(self.out, {})
        trained = Known({})
        try:
            for place in self._places():
                self._evaluate(*place, self._wanted(), known, lines)
            if self.study.retrain is not None:
                steps, own = self.steps_of_retraining(prices), self.study.retrain.to_text()
                kept, trained = self._open(self.out / "retraining", {"retrain": own | steps})
                events = [(event, event) for event in self.study.events]
                for place in self._places():
                    self._evaluate(*place, events, trained, kept, steps)
        except KeyboardInterrupt:
            self._result(known, trained, prices)
            raise
        return self._result(known, trained, prices)

    def _places(self) -> Iterator[tuple[str, int, int]]:
        """Yield (arm, seed, chip) of all evaluations."""
        for chip in self.adapt.study.chips:
            for seed in self.adapt.study.seeds:
                for arm in self.arms:
                    yield arm, seed, chip

    def parts_of_training(self) -> tuple[range, range]:
        """Return the sentences that corrections are fitted to, and those that check them.

        Raises:
            SpecError: There are not enough.
        """
        count, held = len(self.adapt.train.text.ids), self.study.checked
        fitted = min(self.study.sentences, count - held)
        if fitted < 1:
            problem = f"found {held} of {count} sentences of training; fewer would do"
            raise SpecError("study", "checked", problem)
        return range(fitted), range(fitted, fitted + held)

    def steps_of_retraining(self, prices: Mapping[str, Price | None]) -> dict[str, int]:
        """Return arm -> steps: as given, or as many as fit into the time of a correction.

        Args:
            prices: Arm -> what a correction takes.

        Raises:
            InputError: Neither steps nor a network are given.
        """
        how = self.study.retrain
        assert how is not None
        if how.steps is not None:
            return dict.fromkeys(self.arms, how.steps)
        found = {}
        for arm in self.arms:
            price = prices[arm]
            if price is None:
                raise InputError("retrain.steps: found none and no network; either would do")
            found[arm] = max(1, int(price.equal_share * self.study.sentences / how.batch))
        return found

    def _open(self, out: Path, more: dict[str, Any]) -> tuple[Lines, Known]:
        """Return a journal and what it holds; its folder is told what it belongs to."""
        own = self.study.to_text()
        for key in GROWING:
            own.pop(key, None)
        if own["checked"] == RecalibrationStudy.model_fields["checked"].default:
            del own["checked"]  # folders from before there were checks go on
        lines, known = lines_of(out, own | more, self.adapt), Known({})
        for number, row in lines.rows(_ROW):
            try:
                count, event = row["sentences"], row["event"]
                bits = [unpacked(row[name], count) for name in ("correct", "flipped")]
                place = (row["arm"], row["seed"], row["chip"], event, float(row["seconds"]))
                known.rows[place] = Row(bits[0], bits[1], float(row["kl"]))
            except (ValueError, TypeError):
                raise lines.broken(number) from None
        return lines, known

    def _wanted(self) -> list[tuple[float | None, float]]:
        """Return (last event, time) of all tests; doing nothing first, then the freshest."""
        wanted: list[tuple[float | None, float]] = [(None, t) for t in self.times]
        pairs = [(e, t) for t in self.times for e in self.study.events if e <= t]
        return wanted + sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair[1]))

    def _evaluate(
        self,
        arm: str,
        seed: int,
        chip: int,
        wanted: Sequence[tuple[float | None, float]],
        known: Known,
        lines: Lines,
        steps: Mapping[str, int] | None = None,
    ) -> None:
        """Test what is not known yet: corrected, or with ``steps`` trained on."""
        keys = [(arm, seed, chip, e, t) for e, t in wanted]
        keys = [key for key in keys if key not in known.rows]
        unwritten = [] if steps is not None else self._unwritten(arm, seed, chip)
        if not keys and not unwritten:
            return
        state = _Corrected(self, arm, seed, chip)
        for done, key in enumerate(keys):
            self.watch(f"{arm}, seed {seed}, chip {chip}", done, len(keys), "")
            row = (
                state.tested(key[3], key[4])
                if steps is None or key[3] is None
                else state.trained_on(key[3], steps[arm])
            )
            lines.add(
                dict(zip(_ROW[:5], key, strict=True))
                | {"sentences": len(row.correct), "correct": packed(row.correct)}
                | {"flipped": packed(row.flipped), "kl": row.kl}
            )
            known.rows[key] = row
        for event, place in unwritten:
            state.write(event, place)

    def _unwritten(self, arm: str, seed: int, chip: int) -> list[tuple[float, Path]]:
        """Return events whose corrected adapters are to be written yet, and where."""
        place = self.out / "corrected" / arm / f"seed{seed}" / f"chip{chip}"
        places = [(event, place / format_time(event)) for event in self.study.written]
        return [(event, folder) for event, folder in places if not folder.is_dir()]

    def _result(
        self, known: Known, trained: Known, prices: Mapping[str, Price | None]
    ) -> RecalibrationResult:
        adapt = self.adapt
        seeds, chips = adapt.study.seeds, adapt.study.chips  # a folder may know of more
        known, trained = (
            Known({k: v for k, v in each.rows.items() if k[1] in seeds and k[2] in chips})
            for each in (known, trained)
        )
        table = table_of(known, self.arms, self.times)
        rows: list[dict[str, Any]] = []
        for arm in self.arms:
            priced = schedule_rows(self.study, known, arm, self.times)
            rows += [{"arm": arm, **row, **self._cost(row, prices[arm])} for row in priced]
        maintenance = pd.DataFrame(rows)
        beside = compared(known, trained, self.arms, self.study.events)
        differences = difference_table(known, self.arms, self.times, self._controls())
        for name, each, wanted in (
            ("recalibration", table, True), ("maintenance", maintenance, True),
            ("retraining", beside, len(beside)), ("differences", differences, len(differences)),
        ):  # fmt: skip
            if wanted:
                write_file(self.out / f"{name}.csv", each.to_csv(index=False).encode())
        return RecalibrationResult(
            self.study, table, maintenance, beside, differences, len(chips), adapt.on,
            adapt.split.notes,
        )  # fmt: skip

    def _controls(self) -> dict[str, Cube]:
        """Return the digital answers of the controls that the study of adapters has tested."""
        adapt, found = self.adapt, {}
        own = identity(adapt.study, adapt.folder, adapt.split, adapt.on)
        known, seeds = Journal.of_folder(adapt.out, own).correct, adapt.study.seeds
        correct = {key: row for key, row in known.items() if key[1] in seeds}
        for name in adapt.study.controls or tuple(adapt.study.arms)[:1]:
            cube = digital_of(correct, name, None)
            if cube is not None and len(cube) == len(seeds):
                found[name] = cube
        return found

    def _price(self, arm: str) -> Price | None:
        """Return what an event takes on the machine, and sentences before and after."""
        if self.study.network is None:
            return None
        rank = self.adapt.study.lora_of(arm).rank
        extra = 0 if self.study.keep == "folded" else self.study.rank
        vectors = sum(len(self.adapt.train.text.ids[i]) for i in self.parts_of_training()[0])
        model = self.adapt.new_model(arm, self.adapt.study.seeds[0])
        shapes = [tuple(layer.weight.shape[::-1]) for layer in model.static_layers().values()]
        tokens = self.adapt.study.data.tokens
        return priced(self.study, self.folder, shapes, vectors, rank, extra, tokens)

    def _cost(self, row: dict[str, Any], price: Price | None) -> dict[str, Any]:
        if price is None:
            return {}
        events = len(self.study.schedules[row["schedule"]])
        return price.of_schedule(events, (self.times[-1] - self.times[0]) / YEAR_S)


class _Corrected:
    """One chip under one trained model, with the corrections that it was given at some times."""

    def __init__(self, run: RecalibrationRun, arm: str, seed: int, chip: int) -> None:
        self.run, self.chip_seed = run, chip
        self.model = run.adapt.trained_model(arm, seed)
        self.analog = run.adapt.study.analog
        run.adapt.calibrated(self.model, self.analog)
        self.own = {name: adapter_of(self.model, name) for name in self.model.static_layers()}
        self.model.compute_digitally()
        self.wanted = logits_of(self.model, run.adapt.test.text)
        self.chip = program_chip(self.model, self.analog, (chip,))
        self.pool = Pool(0, run.adapt.device)
        self._reference: tuple[Reference, Checks] | None = None
        self._corrections: dict[float, Corrections] = {}

    def _noise(self, stream: int) -> Disturbance:
        self.pool.at_step(self.chip_seed, stream)
        return Disturbance(self.pool, bfloat16=self.run.adapt.study.products == "bfloat16")

    def tested(self, event: float | None, seconds: float) -> Row:
        """Return how the chip answers at a time with what it was given at an event."""
        if event is None:
            put_adapters(self.model, {n: a for n, a in self.own.items() if a is not None})
        else:
            put_adapters(self.model, self._adapters(event))
        return self.test(seconds)

    def trained_on(self, event: float, steps: int) -> Row:
        """Return how the chip answers at an event after its adapters were trained on there."""
        how = self.run.study.retrain
        assert how is not None
        put_adapters(self.model, {n: a for n, a in self.own.items() if a is not None})
        count, whole = self.run.study.sentences, self.run.adapt.train
        text = TokenizedText(whole.text.ids[:count], whole.text.segments[:count])
        retrained(
            self.model, self.chip, event, self.analog, self._noise(_MEASURING + round(event)),
            Sentences(text, whole.labels[:count]), how, steps,
        )  # fmt: skip
        return self.test(event)

    def test(self, seconds: float) -> Row:
        """Return how the model answers on the chip at a time, with the adapters that it has."""
        noise = self._noise(round(seconds))
        put_on_chip(self.model, self.chip, seconds, self.analog, noise)
        test = self.run.adapt.test
        found = logits_of(self.model, test.text)
        answers = found.argmax(dim=1).numpy()
        flipped = answers != self.wanted.argmax(dim=1).numpy()
        kl = float(divergence(self.wanted, found).mean())
        return Row(answers == test.labels, flipped, kl)

    def write(self, event: float, place: Path) -> None:
        """Write the adapters that correct since an event, for PEFT."""
        adapt = self.run.adapt
        lora = put_adapters(self.model, self._adapters(event))
        base = adapt.study.model.package or str(adapt.folder)
        write_trained(place, self.model, lora, base)

    def _adapters(self, event: float) -> Corrections:
        """Return the adapters that a measurement at a time leads to; it is made once."""
        if event not in self._corrections:
            study, (reference, checks) = self.run.study, self.reference
            noise = self._noise(_MEASURING + round(event))
            fits = measure(
                self.model, self.chip, event, self.analog, noise, reference, study.reads
            )
            of_rank = {name: fit.of_rank(study.rank) for name, fit in fits.items()}
            folded = study.keep == "folded"
            noise = self._noise(CHECKING + round(event))
            put_on_chip(self.model, self.chip, event, self.analog, noise, study.reads + 1)
            self._corrections[event] = checked(
                self.model, checks, of_rank,
                lambda fitted: carried(self.own, fitted, reference, folded),
                lambda: self._noise(CHECKING + round(event)),
            )  # fmt: skip
        return self._corrections[event]

    @property
    def reference(self) -> tuple[Reference, Checks]:
        """What the model computes digitally for the sentences of calibration, and for those that
        corrections are checked with."""
        if self._reference is None:
            study, text = self.run.study, self.run.adapt.train.text
            fitted, after = self.run.parts_of_training()
            put_adapters(self.model, {n: a for n, a in self.own.items() if a is not None})
            reference = reference_of(self.model, text, len(fitted), study.ridge)
            batch = text.batch(after, str(self.model.head.weight.device))
            self._reference = reference, checks_of(self.model, lambda: self.model(batch))
        return self._reference
