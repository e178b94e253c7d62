"""A study of sensitivity from its file to the document that ``hybridsim design`` reads.

Of every condition: a pass over some chips finds what each layer costs; runs with all layers on
tiles say what their sum is, and how many answers it turns over; random placements on fresh chips
say how wrong a prediction for one is.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridsim._version import __version__
from hybridsim.analog import AnalogSettings
from hybridsim.analog.times import format_time
from hybridsim.boundary.writing import write_all
from hybridsim.errors import SpecError
from hybridsim.library import network_path
from hybridsim.training.built_upon import (
    adapters_of,
    divergence,
    known_arm,
    lines_of,
    logits_of,
)
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.files import Lines
from hybridsim.training.identity import Part, identity
from hybridsim.training.linear import program_chip
from hybridsim.training.prediction import BEYOND, Answers, anchored, curve
from hybridsim.training.run import Watch
from hybridsim.training.sensitivity import (
    crossbars_of,
    divergences,
    drawn_placements,
    put_some_on_chip,
)
from hybridsim.training.sensitivity_study import (
    Condition,
    SensitivityStudy,
    read_sensitivity_study,
)
from hybridsim.workload import load_network

FORMAT_VERSION = 1
_ROW = ("condition", "part", "number", "values")
_CHECKED = 1000
"""Chips of checks are counted from here, apart from those that predictions come from."""
GROWING = ("question", "task", "conditions", "checks", "chips", "network", "results")
"""What may change between two runs of a study: what is known of the rest still holds."""

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class SensitivityResult:
    """The answer of a study."""

    study: SensitivityStudy
    document: dict[str, Any]
    """What ``sensitivity.json`` holds."""
    layers: pd.DataFrame
    """One row per condition and layer: weights, divergence and its share."""
    checks: pd.DataFrame
    """One row per condition and placement that was run: found and predicted."""


class SensitivityRun:
    """A study with its adapter, its model and its results folder."""

    def __init__(
        self, file: Path, out: Path, watch: Watch | None = None, on: Part = "validation"
    ) -> None:
        self.study, file = read_sensitivity_study(file)
        self.out, self.watch = out, watch or (lambda *_: None)
        self.adapt = adapters_of(file, self.study.adapters, self.study.results, out, watch, on)
        known_arm(file, "arm", self.study.arm, self.adapt)
        beside = file.parent / self.study.network
        name = str(beside) if beside.is_file() else self.study.network
        self.network = load_network(network_path(name))
        self.pool = Pool(0, self.adapt.device)

    def run(self) -> SensitivityResult:
        """Measure what is not known yet, and write ``sensitivity.json`` and two tables.

        Raises:
            InputError: The folder belongs to another study, or a file cannot be used.
        """
        own = self.study.to_text()
        for key in GROWING:
            own.pop(key, None)
        lines = lines_of(self.out, own, self.adapt)
        known: dict[tuple[str, str, int], Values] = {}
        for number, row in lines.rows(_ROW):
            try:
                place = (row["condition"], row["part"], row["number"])
                known[place] = {k: float(v) for k, v in row["values"].items()}
            except (AttributeError, ValueError, TypeError):
                raise lines.broken(number) from None
        measured = _Measured(self)
        self.names = self._names(measured)
        found = [
            self._of(condition, measured, known, lines) for condition in self.study.conditions
        ]
        return self._written(measured, found)

    def _names(self, measured: "_Measured") -> dict[str, str]:
        """Return layer of the model -> layer of the network.

        Raises:
            SpecError: The network has other layers.
        """
        network = {
            layer.name: (layer.out_features, layer.in_features)
            for layer in self.network.static_linear_layers
        }
        names = {name: _of_network(name) for name in measured.layers}
        shapes = {names[name]: shape for name, shape in measured.layers.items()}
        if shapes != network:
            apart = sorted(shapes.items() ^ network.items())[0][0]
            problem = (
                f"{self.study.network}: its layers are not those of the model, {apart!r} first"
            )
            raise SpecError("study", "network", f"{problem}; the model's own network would do")
        return names

    def _of(
        self,
        condition: Condition,
        measured: "_Measured",
        known: dict[tuple[str, str, int], Values],
        lines: Lines,
    ) -> dict[str, Any]:
        """Return what is found for one condition: its entry of the document, and its checks."""
        label = " ".join(map(str, condition.to_text().values()))
        study = self.study
        total, done = 2 * study.chips + study.checks, 0

        def values(part: str, number: int, find: Callable[[], Values]) -> Values:
            nonlocal done
            self.watch(f"sensitivity at {label}", done, total, part)
            done += 1
            key = (label, part, number)
            if key not in known:
                known[key] = find()
                lines.add(dict(zip(_ROW, (*key, known[key]), strict=True)))
            return known[key]

        settings = measured.settings_of(condition)
        chips = range(1, study.chips + 1)
        passes = [
            values("pass", c, partial(measured.one_pass, c, condition.time, settings))
            for c in chips
        ]
        every = tuple(measured.layers)
        whole = [
            values("all", c, partial(measured.placed, c, condition.time, settings, every))
            for c in chips
        ]
        placements = drawn_placements(every, study.checks, study.seed)
        checks = [
            values(
                "check", i,
                partial(measured.placed, _CHECKED + i, condition.time, settings, layers),
            )
            for i, layers in enumerate(placements)
        ]  # fmt: skip
        return _answer(condition, measured.answers, passes, whole, placements, checks)

    def _written(
        self, measured: "_Measured", found: Sequence[dict[str, Any]]
    ) -> SensitivityResult:
        adapt, lora = self.adapt, self.adapt.study.lora_of(self.study.arm)
        about = identity(adapt.study, adapt.folder, adapt.split, adapt.on)
        conditions, layers, checks = [], [], []
        for condition, each in zip(self.study.conditions, found, strict=True):
            kl = {self.names[name]: round(value, 9) for name, value in each["kl"].items()}
            tiles = {
                "time": format_time(condition.time),
                "dac_bits": condition.dac_bits,
                "adc_bits": condition.adc_bits,
                "output_noise": condition.output_noise,
            }
            rest = {k: v for k, v in each.items() if k not in ("kl", "checks")}
            conditions.append(tiles | {"kl": kl} | rest)
            summed = sum(kl.values()) or 1.0
            for name, (outputs, inputs) in measured.layers.items():
                own = kl[self.names[name]]
                row = {"layer": self.names[name], "weights": outputs * inputs, "kl": own}
                layers.append(tiles | row | {"share_percent": round(100 * own / summed, 3)})
            checks += [tiles | check for check in each["checks"]]
        document = {
            "kind": "sensitivity",
            "format_version": FORMAT_VERSION,
            "hybridsim": __version__,
            "network": self.study.network,
            "task": self.study.task,
            "model_sha256": about["model_sha256"],
            "sentences_sha256": about["sentences_sha256"],
            "judged_by": adapt.on,
            "sentences": len(measured.answers.right),
            "chips": self.study.chips,
            "adapter": {"rank": lora.rank, "alpha": lora.alpha, "targets": list(lora.targets)},
            "digital_accuracy_percent": round(100 * float(measured.answers.right.mean()), 4),
            "conditions": conditions,
        }
        result = SensitivityResult(
            self.study, document, pd.DataFrame(layers), pd.DataFrame(checks)
        )
        write_all(self.out, _files(result), "sensitivity")
        return result


def _files(result: SensitivityResult) -> dict[str, str | bytes]:
    return {
        "sensitivity.json": json.dumps(result.document, indent=2) + "\n",
        "layers.csv": result.layers.to_csv(index=False),
        "checks.csv": result.checks.to_csv(index=False),
    }


def _of_network(name: str) -> str:
    """Return hybridsim's name of a layer that Hugging Face calls encoder.layer.N.REST.dense."""
    _, _, number, rest = name.split(".", 3)
    return f"block{number}.{rest.removesuffix('.dense')}"


def _answer(
    condition: Condition,
    answers: Answers,
    passes: Sequence[Values],
    whole: Sequence[Values],
    placements: Sequence[tuple[str, ...]],
    checks: Sequence[Values],
) -> dict[str, Any]:
    """Return divergences that add up to that of all layers, the curve, and how wrong it was."""
    raw = {name: float(np.mean([each[name] for each in passes])) for name in passes[0]}
    all_kl = float(np.mean([each["kl"] for each in whole]))
    all_flips = float(np.mean([each["flips_percent"] for each in whole]))
    stretch = all_kl / (sum(raw.values()) or 1.0)
    kl = {name: value * stretch for name, value in raw.items()}
    predictor = anchored(answers, all_kl, all_flips)
    rows = []
    for layers, check in zip(placements, checks, strict=True):
        own = sum(kl[name] for name in layers)
        rows.append(
            {
                "layers": len(layers),
                "kl": check["kl"],
                "kl_predicted": own,
                "flips_percent": check["flips_percent"],
                "flips_predicted": predictor.flips(own),
                "drop_points": check["drop_points"],
                "drop_predicted": predictor.drop(own),
            }
        )
    wrong = {
        name: float(np.mean([abs(r[f"{name}_{unit}"] - r[f"{name}_predicted"]) for r in rows]))
        for name, unit in (("flips", "percent"), ("drop", "points"))
    }
    return {
        "kl": kl,
        "curve": curve(predictor, BEYOND * all_kl, wrong["drop"]),
        "error_points": round(wrong["drop"], 4),
        "error_flips": round(wrong["flips"], 4),
        "checked_on": len(rows),
        "all_on_tiles": {
            "kl": round(all_kl, 9),
            "kl_of_the_pass": round(sum(raw.values()), 9),
            "flips_percent": round(all_flips, 4),
            "drop_points": round(float(np.mean([each["drop_points"] for each in whole])), 4),
        },
        "checks": rows,
    }


class _Measured:
    """The model with its adapter, and what is measured with it."""

    def __init__(self, run: SensitivityRun) -> None:
        self.run = run
        seed = run.adapt.study.seeds[0]
        self.model = run.adapt.trained_model(run.study.arm, seed).eval().requires_grad_(False)
        self.layers = {
            name: (layer.weight.shape[0], layer.weight.shape[1])
            for name, layer in self.model.static_layers().items()
        }
        self.model.compute_digitally()
        self.wanted = logits_of(self.model, run.adapt.test.text)
        best = self.wanted.topk(2, dim=1)
        labels = run.adapt.test.labels
        self.answers = Answers(
            (best.values[:, 0] - best.values[:, 1]).double().numpy(),
            best.indices[:, 0].numpy() == labels,
            best.indices[:, 1].numpy() == labels,
        )

    def settings_of(self, condition: Condition) -> AnalogSettings:
        """Return the tiles of a condition."""
        own = {name: getattr(condition, name) for name in ("dac_bits", "adc_bits", "output_noise")}
        analog = self.run.adapt.study.analog
        converters = analog.converters.model_copy(update=own)
        settings = analog.model_copy(update={"converters": converters})
        self.run.adapt.calibrated(self.model, settings)
        return settings

    def _noise(self, chip: int, seconds: float) -> Disturbance:
        self.run.pool.at_step(chip, round(seconds))
        return Disturbance(self.run.pool, bfloat16=self.run.adapt.study.products == "bfloat16")

    def one_pass(self, number: int, seconds: float, settings: AnalogSettings) -> Values:
        """Return layer -> divergence on a chip."""
        chip = program_chip(self.model, settings, (number,))
        noise = self._noise(number, seconds)
        crossbars = crossbars_of(self.model, chip, seconds, settings, noise)
        text = self.run.adapt.test.text
        return divergences(self.model, text, self.run.study.sentences, crossbars, noise)

    def placed(
        self, number: int, seconds: float, settings: AnalogSettings, layers: Sequence[str]
    ) -> Values:
        """Return divergence, flips [%] and accuracy lost [points] with some layers on a chip."""
        chip = program_chip(self.model, settings, (number,))
        noise = self._noise(number, seconds)
        put_some_on_chip(self.model, chip, seconds, settings, noise, layers)
        found = logits_of(self.model, self.run.adapt.test.text)
        answers = found.argmax(dim=1).numpy()
        right = answers == self.run.adapt.test.labels
        flipped = answers != self.wanted.argmax(dim=1).numpy()
        self.model.compute_digitally()
        return {
            "kl": float(divergence(self.wanted, found).mean()),
            "flips_percent": 100 * float(flipped.mean()),
            "drop_points": 100 * float(self.answers.right.mean() - right.mean()),
        }
