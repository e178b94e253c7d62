"""A design as files: the machine, what was found, the page, and a proof that runs again.

The proof is a study of its own: the design and the rest of its front as one axis of named groups,
run as ``hybridsim sweep`` runs any study and all of it once more on SimPy. Accuracies stand in it
with what they were read from.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hybridsim.arch import machine_with
from hybridsim.boundary.reading import is_file, is_folder
from hybridsim.boundary.writing import write_all
from hybridsim.designs.answer import Design
from hybridsim.designs.space import ASSUMED
from hybridsim.library import machine_names
from hybridsim.specs import validate
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.run import SweepResult, run_study
from hybridsim.sweeps.study import STUDY, Study
from hybridsim.sweeps.whole_runs import ENDS

MACHINE, DESIGN, FRONT, PAGE, PROOF = (
    "machine.yaml", "design.json", "front.csv", "page.html", "proof",
)  # fmt: skip
MOST_PROVEN = 8
"""Points of the front that are run again on SimPy, the design first."""
AXIS, CHOSEN = "design", "chosen"
"""Name of the only axis of a proof, and of the design on it."""
_NOT_OF_A_MACHINE = ("strategy", "adapters", "tokens", "network", "machine")


def write_design(design: Design, folder: Path) -> SweepResult:
    """Write a design with its proof into a folder; return what the proof found.

    Raises:
        SpecError: The disk refuses.
    """
    proof = prove(design, folder)
    table = design.table()
    front = table[table["pareto"]].drop(columns=["problem", "feasible", "pareto"])
    document = design.document() | {
        "asked": asking_text(design, folder), "proof": proof_summary(proof),
    }  # fmt: skip
    files: dict[str, str | bytes] = {
        MACHINE: machine_text(design, folder),
        DESIGN: json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        FRONT: front.to_csv(index=False),
    }
    write_all(folder, files)
    return proof


def proof_summary(proof: SweepResult) -> dict[str, Any]:
    """Return what a proof says, as plain values."""
    audit = proof.audit
    assert audit is not None
    return {
        "points": audit.points,
        "differences": list(audit.differences),
        "command": f"hybridsim sweep {PROOF}/{STUDY_FILE} --audit 100%",
    }


def asking_text(design: Design, folder: Path) -> dict[str, Any]:
    """Return what was asked, as plain values; files by their way from a folder."""
    own = design.asked.question
    found = {
        "network": _from_folder(own.network, folder),
        "base": _from_folder(own.base, folder),
        "limits": list(own.limits),
        "minimise": list(own.minimise),
        "maximise": list(own.maximise),
        "space": None if own.space is None else os.path.relpath(own.space, folder),
        "evidence": [os.path.relpath(path, folder) for path in own.evidence],
        "settings": dict(own.settings or {}),
        "tokens": own.tokens,
        "layers_only": own.layers_only,
    }
    return {key: value for key, value in found.items() if value not in (None, [], {}, False)}


STUDY_FILE, EVIDENCE = "study.yaml", "evidence.json"


def prove(design: Design, folder: Path) -> SweepResult:
    """Run the study of a proof, all of it on SimPy as well, into the folder below.

    Raises:
        SpecError: The disk refuses.
    """
    study = proof_study(design)
    inputs = _named_again(read_inputs(study, STUDY), design)
    result = run_study(inputs, folder / PROOF, audit=1.0)
    text = yaml.safe_dump(_text(study, folder / PROOF), sort_keys=False, allow_unicode=True)
    head = f"# The design and its front, run again: hybridsim sweep {STUDY_FILE} --audit 100%\n"
    known = [own.to_text() for own in design.asked.known.values()]
    files = {STUDY_FILE: head + text}
    if known:
        files[EVIDENCE] = json.dumps(known, indent=2, ensure_ascii=False) + "\n"
    write_all(folder / PROOF, files)
    return result


def _named_again(inputs: Inputs, design: Design) -> Inputs:
    """Return inputs with the machines and networks of the design, which were read already."""
    own = design.asked.inputs
    return replace(inputs, machines=own.machines, networks=own.networks)


def proof_study(design: Design) -> Study:
    """Return the study that a proof runs: the design, then the rest of its front."""
    own = design.asked.inputs.study
    groups = {}
    for name, index in _proven(design):
        settings = design.asked.inputs.settings(index)
        groups[name] = {k: v for k, v in settings.items() if k not in ("machine", "network")}
    document: dict[str, Any] = {
        "name": "design_proof",
        "question": f"Is the design for {design.asked.question.network} what it says it is?",
        "machine": own.machine,
        "network": own.network,
        "axes": {AXIS: groups},
        "constraints": _constraints(design),
        "objectives": dict(own.objectives),
        "keep": [*own.keep, *_ends(design)],
    }
    # every group says its strategy and tokens; what is left of the study would be said twice
    if own.accuracy is not None:
        known = {name: _accuracy(design, index) for name, index in _proven(design)}
        document["accuracy"] = {
            "axes": [AXIS],
            "percent": {name: value for name, value in known.items() if value is not None},
            "source": getattr(own.accuracy, "source", "results of hybridsim adapt"),
        }
    return validate(Study, document, STUDY)


def _proven(design: Design) -> list[tuple[str, int]]:
    """Return name and place in the grid of the points of a proof."""
    best, _, _ = design.seen.best(design.asked.constraints)
    others = [design.seen.index[place] for place in best if place != design.place]
    others = others[: MOST_PROVEN - 1]
    return [(CHOSEN, design.index), *((f"front{i}", own) for i, own in enumerate(others, 1))]


def _constraints(design: Design) -> list[str]:
    """Return the limits that a proof can compare: those of results."""
    axes = {axis.column for axis in design.asked.inputs.axes}
    limits = design.asked.limits
    return [
        own.as_text() for own in limits if own.constraint and own.constraint.column not in axes
    ]


def _ends(design: Design) -> list[str]:
    """Return the ends of intervals that the machine tells."""
    interval = design.result.interval
    return [name for name in ENDS if getattr(interval, name, None) is not None]


def _accuracy(design: Design, index: int) -> float | None:
    from hybridsim.sweeps.answers import accuracies

    found = float(accuracies(design.asked.inputs, [index])[0])  # type: ignore[arg-type]
    return found if found == found else None


def _text(study: Study, folder: Path) -> dict[str, Any]:
    """Return a study as its file says it, files by their way from the folder."""
    text: dict[str, Any] = study.model_dump(mode="json", exclude_defaults=True)
    for key in ("machine", "network"):
        text[key] = _from_folder(text[key], folder)
    return text


def _from_folder(name: str, folder: Path) -> str:
    """Return a bundled name as it is, and a file by its way from a folder."""
    base, colon, variant = name.partition(":")
    if base in machine_names() or not (is_file(Path(base)) or is_folder(Path(base))):
        return name
    return f"{os.path.relpath(base, folder)}{colon}{variant}"


# --- the machine --------------------------------------------------------------------------------


def machine_text(design: Design, folder: Path) -> str:
    """Return the file of the machine of a design: what it changes of its base, with reasons."""
    question, changed = design.asked.question, _changed(design)
    network = Path(question.network).stem
    lines = [
        f"# What hybridsim design chose for {network}; all else is as in the base machine.",
        f"extends: {_from_folder(question.base, folder)}",
        f"name: {network}_design",
        f"description: {question.base} changed for {network}",
        *_tree(changed),
    ]
    return "\n".join(lines) + "\n"


def _changed(design: Design) -> dict[str, tuple[Any, str]]:
    """Return path -> value and reason of what the design changes of its base."""
    machine = design.asked.machine
    of_axis = {path: axis.name for axis in design.asked.inputs.axes for path in axis.paths}
    heads = {path: path.partition(".")[0] for path in design.settings}
    own = {p: v for p, v in design.settings.items() if heads[p] not in _NOT_OF_A_MACHINE}
    # all at once: an array and the port of its engine only fit together
    was, now = machine.to_text(), machine_with(machine, own).to_text()
    found = {}
    for path, value in own.items():
        if _at(was, path) == _at(now, path):
            continue
        axis = of_axis.get(path, "")
        silicon = heads[path] in ("area", "energy")
        reason = ASSUMED.get(axis, "chosen") if silicon else "chosen by hybridsim design"
        found[path] = (value, reason)
    return found


def _at(text: Any, path: str) -> Any:
    """Return what the text of a machine has at a dotted path; None where it has nothing."""
    for key in path.split("."):
        text = text.get(key) if isinstance(text, dict) else None
    return text


def _tree(changed: Mapping[str, tuple[Any, str]]) -> Iterator[str]:
    """Yield the lines of values at dotted paths, grouped."""
    before: tuple[str, ...] = ()
    for path, (value, reason) in sorted(changed.items()):
        *groups, key = path.split(".")
        common = 0
        while common < min(len(before), len(groups)) and before[common] == groups[common]:
            common += 1
        for depth in range(common, len(groups)):
            yield f"{'  ' * depth}{groups[depth]}:"
        before = tuple(groups)
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
        text = text.removesuffix("\n...").removesuffix("...").strip()
        yield f"{'  ' * len(groups)}{key}: {text}".ljust(38) + f"  # {reason}"


def command_of(design: Design) -> str:
    """Return the command that runs the design by itself, from its folder."""
    parts = ["hybridsim", "run", design.asked.question.network, MACHINE]
    settings = design.settings
    parts += ["--strategy", str(settings["strategy"])]
    if (tokens := settings.get("tokens")) is not None:
        parts += ["--tokens", str(tokens)]
    if settings.get("adapters") == "none":
        parts.append("--no-adapters")
    for path, value in settings.items():
        head, _, rest = path.partition(".")
        if head in ("strategy", "adapters") and rest:
            text = value if isinstance(value, str) else json.dumps(value)  # JSON is YAML
            parts += ["--set", f"{path}={text}"]
    return shlex.join(parts)
