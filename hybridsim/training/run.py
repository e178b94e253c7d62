"""A study from its file to its tables; every finished step is kept and not done again."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hybridsim.analog import AnalogSettings
from hybridsim.errors import InputError, SpecError
from hybridsim.training.answers import (
    accuracy_table,
    as_markdown,
    difference_table,
    training_table,
)
from hybridsim.training.classifier import Classifier, Rater, SpanReader
from hybridsim.training.clipping import errors_of_clipping
from hybridsim.training.corpora import Example
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.data import load_split
from hybridsim.training.encoder import Encoder, load_encoder, model_folder
from hybridsim.training.files import DIGITAL, Journal, write_file
from hybridsim.training.identity import Part, identity
from hybridsim.training.linear import program_chip, put_on_chip
from hybridsim.training.marks import Sentences, rated
from hybridsim.training.merging import WEIGHED_ON, Parent, mean_into, merge_into
from hybridsim.training.metrics import metric_table, metrics_of
from hybridsim.training.observing import Inputs, inputs_for_ranges, layer_inputs, set_ranges
from hybridsim.training.peft_files import read_trained, write_trained
from hybridsim.training.sources import SquadData
from hybridsim.training.spans import questions
from hybridsim.training.study import AdaptStudy, read_adapt_study
from hybridsim.training.tokens import tokenize
from hybridsim.training.training import Trained, Training, predictions
from hybridsim.training.unlearned import went_wrong
from hybridsim.units import format_share

CUT_ON = 200
"""Sentences that adapters are fitted to, and others that they are judged by, where weights are
cut; assumed."""
Watch = Callable[[str, int, int, str], None]
"""Called with (what is done, how far, of how much, a remark)."""


@dataclass(frozen=True, slots=True)
class AdaptResult:
    """The answer of a study."""

    study: AdaptStudy
    accuracy: pd.DataFrame
    differences: pd.DataFrame
    training: pd.DataFrame
    on: Part = "test"
    """The sentences that arms were judged by."""
    notes: tuple[str, ...] = ()
    """How the sentences were split, and which trainings went wrong, a line each."""
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The task's own metrics, where it takes others than accuracy."""


class StudyRun:
    """A study with its model, its sentences and its results folder.

    ``on`` says which part arms are judged by: choices are made on the validation part, so that the
    test part is used once.
    """

    def __init__(
        self, file: Path, out: Path, watch: Watch | None = None, on: Part = "test"
    ) -> None:
        self.study = read_adapt_study(file)
        self.out, self.watch = out, watch or (lambda *_: None)
        torch.set_num_threads(self.study.threads)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # all of it is written
        self.device = _device(self.study.device)
        self.folder = model_folder(self.study.model, file.parent)
        self.split = load_split(self.study.data, file.parent)
        self.train = self._sentences(self.split.train)
        self.on, self.judged_by = on, self._part(on)
        self.test = self._sentences(self.judged_by)
        self._journal: Journal | None = None
        self._pool: Pool | None = None

    @property
    def journal(self) -> Journal:
        """What is known so far; the results folder is made at the first use.

        Raises:
            InputError: The folder belongs to another study.
        """
        if self._journal is None:
            own = identity(self.study, self.folder, self.split, self.on)
            self._journal = Journal.open(self.out, own)
        return self._journal

    def _part(self, on: Part) -> tuple[Example, ...]:
        """Return the sentences that arms are judged by."""
        part = self.split.test if on == "test" else self.split.validation
        if not part:
            problem = "found 0 sentences; --on validation asks for some"
            raise SpecError("data", "validation", problem)
        return part

    def _sentences(self, part: tuple[Example, ...]) -> Sentences:
        """Return sentences as tokens, with what is to be found in them."""
        data = self.study.data
        if isinstance(data.source, SquadData) and data.answers == "spans":
            unanswered = any(not example.spans for example in self.split.train)
            overlap = data.source.overlap
            return questions(self.folder, part, data.tokens, overlap, unanswered)
        text = tokenize(self.folder, part, data.tokens)
        if data.answers == "ratings":
            return rated(self.split, part, text)
        return Sentences(text, self.split.labels(part))

    def run(self, only: tuple[str, ...] = ()) -> AdaptResult:
        """Train and evaluate what is not done yet, and write the tables.

        Raises:
            InputError: Training failed, or an arm in ``only`` is none of the study.
            KeyboardInterrupt: Someone stopped it; the tables of what is known are written.
        """
        for name in only:
            if name not in self.study.arms:
                raise InputError(
                    f"--arm: found {name!r}; the study has {', '.join(self.study.arms)}"
                )
        _ = self.journal  # a folder of another study is refused before anything is trained
        wanted = [(seed, arm) for seed in self.study.seeds for arm in only or self.study.arms]
        times = self.study.times
        # what matters most is known first, should someone stop here
        try:
            for part in ({times[0], times[-1]}, set(times)):
                for seed, arm in wanted:
                    self.evaluate(arm, seed, part)
        except KeyboardInterrupt:
            self.tables()
            raise
        return self.tables()

    def new_model(self, arm: str, seed: int) -> Classifier:
        """Return the untrained model of an arm."""
        encoder = load_encoder(self.folder, self.study.model.pooling)
        model = self._with_head(encoder)
        if self.study.arms[arm].train == "lora":
            model.add_adapters(self.study.lora_of(arm), seed)
            if self.study.arms[arm].learn_ranges:
                model.learn_ranges()
            model.train_adapters()
        else:
            model.train_all()
        return model.to(self.device)

    def _with_head(self, encoder: Encoder) -> Classifier:
        """Return an encoder with the head that the task needs."""
        if self.study.data.answers == "spans":
            return SpanReader(encoder)
        if self.study.data.answers == "ratings":
            ratings = self.split.ratings(self.split.train)
            return Rater(encoder, float(ratings.mean()), float(ratings.std()))
        return Classifier(encoder, len(self.split.classes))

    def place(self, arm: str, seed: int) -> Path:
        """Return the folder of one training run."""
        return self.out / "runs" / arm / f"seed{seed}"

    def trained_model(self, arm: str, seed: int) -> Classifier:
        """Return the trained model of an arm; trains it where that is not done yet."""
        model, place = self.new_model(arm, seed), self.place(arm, seed)
        known = self._known_adapter(arm, seed)
        if known is not None:
            read_trained(known, model)
            return model
        spec = self.study.arms[arm]
        if not spec.is_trained:
            self._make_of_others(arm, seed, model)
            self._write(arm, seed, model)
            return model
        if spec.start_from is not None:
            read_trained(self._earlier(spec.start_from, seed), model)
        training = Training(
            self.study, arm, seed, model, self.train,
            self._teacher(spec.distill_from, seed), place / "checkpoint.safetensors",
        )  # fmt: skip
        label = f"train {arm}, seed {seed}"
        trained = training.run(
            lambda done, steps, loss, right: self.watch(
                label, done, steps, f"loss {loss:.3f}, accuracy {format_share(right, 1)}"
            )
        )
        self._keep(arm, seed, model, trained)
        return model

    def _make_of_others(self, arm: str, seed: int, model: Classifier) -> None:
        """Give a model what earlier arms have trained, without training."""
        spec, known = self.study.arms[arm], self.study.arms
        shares = spec.merge or dict.fromkeys(spec.mean_of, 1 / len(spec.mean_of))
        parents: list[Parent] = []
        for name, share in shares.items():
            earlier = self.new_model(name, seed)
            read_trained(self._earlier(name, seed), earlier)
            on_tiles = known[name].noise is not None or known[name].merge
            parents.append((share, earlier, self.study.analog_of(name) if on_tiles else None))
        if spec.merge:
            most = max(parents, key=lambda parent: parent[0])[1]
            weighed_on = range(min(WEIGHED_ON, len(self.train.text.ids)))
            inputs = layer_inputs(most, self.train.text, weighed_on)
            merge_into(model, parents, inputs, self.study.analog_of(arm))
        else:
            mean_into(model, parents)

    def _known_adapter(self, arm: str, seed: int) -> Path | None:
        """Return the folder of an adapter that was trained already, None where it was not.

        Raises:
            SpecError: It is that of an earlier study, which does not have it.
        """
        earlier = self.study.earlier_adapters_of(arm)
        if earlier is None:
            adapter = self.place(arm, seed) / "adapter"
            return adapter if adapter.is_dir() else None
        results, name = earlier
        for folder in (self.out.parent / results, Path(results).expanduser()):
            adapter = folder / "runs" / name / f"seed{seed}" / "adapter"
            if adapter.is_dir():
                return adapter
        problem = f"{results} holds no runs/{name}/seed{seed}/adapter, here or beside {self.out}"
        own = self.study.arms[arm].adapter_of is not None
        raise SpecError("study", f"arms.{arm}.adapter_of" if own else "adapters_from", problem)

    def _keep(self, arm: str, seed: int, model: Classifier, trained: Trained) -> None:
        place = self.place(arm, seed)
        row = {"arm": arm, "seed": seed} | asdict(trained)
        write_file(place / "training.json", (json.dumps(row, indent=2) + "\n").encode())
        self._write(arm, seed, model)
        (place / "checkpoint.safetensors").unlink(missing_ok=True)

    def _write(self, arm: str, seed: int, model: Classifier) -> None:
        lora = self.study.lora_of(arm) if self.study.arms[arm].train == "lora" else None
        base = self.study.model.package or str(self.folder)
        write_trained(self.place(arm, seed) / "adapter", model, lora, base)

    def _earlier(self, arm: str, seed: int) -> Path:
        if self._known_adapter(arm, seed) is None:
            self.trained_model(arm, seed)
        known = self._known_adapter(arm, seed)
        assert known is not None
        return known

    def _teacher(self, arm: str | None, seed: int) -> Classifier | None:
        if arm is None:
            return None
        folder, teacher = self._earlier(arm, seed), self.new_model(arm, seed)
        read_trained(folder, teacher)
        teacher.compute_digitally()
        return teacher.eval().requires_grad_(False)

    def evaluate(self, arm: str, seed: int, times: Collection[float]) -> None:
        """Test an arm in digital arithmetic and on every chip at some times, where not done."""
        keys = [(arm, seed, DIGITAL, 0.0)]
        keys += [
            (arm, seed, c, t) for c in self.study.chips for t in self.study.times if t in times
        ]
        keys = [key for key in keys if key not in self.journal.correct]
        if not keys:
            return
        model = self.trained_model(arm, seed)
        programmed: tuple[int, Any] = (DIGITAL, None)
        inputs = self.calibrated(model, self.study.analog)
        model.compute_adapters(as_on_cluster=self.study.adapter_precision == "fp16")
        for done, key in enumerate(keys):
            self.watch(f"test {arm}, seed {seed}", done, len(keys), "")
            if key[2] == DIGITAL:
                model.compute_digitally()
            else:
                if programmed[0] != key[2]:
                    programmed = (key[2], program_chip(model, self.study.analog, (key[2],)))
                noise = self._noise(key[2], round(key[3]))
                put_on_chip(model, programmed[1], key[3], self.study.analog, noise)
                if self.study.analog.ranges.when == "then":
                    set_ranges(model, inputs, self.study.analog, on_chip=True)
            self.journal.add(key, self.test.marked(predictions(model, self.test.text)))

    def calibrated(self, model: Classifier, analog: AnalogSettings) -> Inputs:
        """Set the ranges of a trained model's layers; return what they were calibrated on."""
        inputs = inputs_for_ranges(model, self.train.text, analog)
        set_ranges(model, inputs, analog)
        return inputs

    def _noise(self, chip: int, seconds: int) -> Disturbance:
        """Return the output noise of an evaluation: the same for every arm on that chip."""
        if self._pool is None:
            self._pool = Pool(0, self.device)
        self._pool.at_step(chip, seconds)
        return Disturbance(self._pool, bfloat16=self.study.products == "bfloat16")

    def tables(self) -> AdaptResult:
        """Return the tables of what is known, and write them to the results folder."""
        correct, arms = self.journal.correct, {name: name for name in self.study.arms}
        controls = self.study.controls or tuple(arms)[:1]
        accuracy = accuracy_table(correct, arms)
        differences = difference_table(correct, arms, controls)
        training = training_table(self.out)
        for name, table in (
            ("accuracy", accuracy), ("differences", differences), ("training", training),
        ):  # fmt: skip
            write_file(self.out / f"{name}.csv", table.to_csv(index=False).encode())
        if len(accuracy):
            write_file(self.out / "accuracy.md", as_markdown(accuracy).encode())
        wanted = metrics_of(self.study.data)
        metrics = metric_table(wanted, self.journal, tuple(arms), self.test.labels)
        if len(metrics):
            write_file(self.out / "metrics.csv", metrics.to_csv(index=False).encode())
        notes = (*self.split.notes, *self._went_wrong(training))
        return AdaptResult(self.study, accuracy, differences, training, self.on, notes, metrics)

    def _went_wrong(self, training: pd.DataFrame) -> Iterator[str]:
        """Yield a line for each training that went wrong, where answers are classes."""
        if self.study.data.answers == "classes" and "agreement" in training:
            labels = self.split.labels(self.split.train)
            guessed = float(np.bincount(labels.flatten()).max()) / len(labels)
            yield from went_wrong(training, guessed, self.study.batch)

    def forecast(self, steps: int = 4, sentences: int = 64) -> dict[str, float]:
        """Measure a few steps and one small evaluation; return the seconds each part will take."""
        seconds: dict[str, float] = {}
        seed, runs = self.study.seeds[0], len(self.study.seeds)
        small = self._sentences(self.judged_by[:sentences])
        for arm in self.study.arms:
            model = self.new_model(arm, seed)
            if self.study.arms[arm].is_trained and self.study.earlier_adapters_of(arm) is None:
                per_step = self._seconds_per_step(arm, model, steps)
                seconds[f"train {arm}"] = per_step * self.study.steps_of(arm) * runs
            model.compute_adapters(as_on_cluster=self.study.adapter_precision == "fp16")
            start = time.perf_counter()
            chip = program_chip(model, self.study.analog, (0,))
            noise = self._noise(0, 3600)
            put_on_chip(model, chip, 3600.0, self.study.analog, noise)
            ready = time.perf_counter()
            predictions(model, small.text)
            share = len(self.test.labels) / len(small.labels)
            each = (ready - start) + (time.perf_counter() - ready) * share
            points = len(self.study.chips) * len(self.study.times) + 1
            seconds[f"test {arm}"] = each * points * runs
        return seconds

    def clipping(self) -> pd.DataFrame:
        """Return what cutting weights costs layers of the pretrained model at the study's last
        time; nothing is trained, and no label is read (:func:`.clipping.errors_of_clipping`)."""
        arm = next(iter(self.study.arms))
        model, text = self.new_model(arm, self.study.seeds[0]), self.train.text
        known = len(text.ids)
        half = max(1, min(CUT_ON, known // 2))
        fitted = layer_inputs(model, text, range(half))
        seen = layer_inputs(model, text, range(known - half, known))
        seconds, chip = max(self.study.times), self.study.chips[0]
        noise = self._noise(chip, round(seconds))
        rank = self.study.lora.rank
        return errors_of_clipping(
            model, fitted, seen, self.study.analog, noise, seconds, rank, chip=chip
        )

    def _seconds_per_step(self, arm: str, model: Classifier, steps: int) -> float:
        training = Training(self.study, arm, self.study.seeds[0], model, self.train, None, None)
        training.run(until=1)
        teaching = 1.4 if self.study.arms[arm].distill_from else 1.0  # one more forward pass
        return training.run(until=steps).seconds_per_step * teaching


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device: found 'cuda', but torch sees no GPU; 'auto' would do")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
