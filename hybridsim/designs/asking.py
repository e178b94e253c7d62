"""From what a person asks to the study that is searched: network, base machine, limits, space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridsim.analog.times import format_time, parse_time
from hybridsim.arch import Machine, load_machine, machine_with
from hybridsim.designs.accuracy import Known
from hybridsim.designs.evidence import ADAPTER, Evidence, read_evidence
from hybridsim.designs.limits import (
    DEFAULT_AFTER,
    Direction,
    Limit,
    parse_limits,
    parse_objectives,
)
from hybridsim.designs.needed import study_needed
from hybridsim.designs.space import ASSUMED, Space, default_axes, read_space, without
from hybridsim.designs.splits import DIGITAL, digital_axis, placed_by, placements
from hybridsim.errors import CapacityError, InputError, SpecError
from hybridsim.library import network_path
from hybridsim.mapping import place
from hybridsim.simulation import MOST_TOKENS
from hybridsim.specs import validate
from hybridsim.sweeps.axes import Axis, expand_axes
from hybridsim.sweeps.columns import ACCURACY, Constraint
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.study import Study, study_axes, study_constraints
from hybridsim.units import Ints
from hybridsim.whole import why_not_whole
from hybridsim.workload import Network, load_network

OF_ENERGY = ("energy_pj", "power_w", "edp_js")


@dataclass(frozen=True)
class Question:
    """What is asked of a design."""

    network: str
    base: str
    limits: Sequence[str] = ()
    minimise: Sequence[str] = ("latency", "energy")
    maximise: Sequence[str] = ()
    space: Path | None = None
    evidence: Sequence[Path] = ()
    settings: Mapping[str, Any] | None = None
    """Path -> value for all points."""
    tokens: int | None = None
    layers_only: bool = False


@dataclass(frozen=True)
class Asked:
    """The same, read: a study to search, and what is told beside it."""

    question: Question
    machine: Machine
    network: Network
    inputs: Inputs
    objectives: dict[str, Direction]
    limits: tuple[Limit, ...]
    """Those that can be compared."""
    open_limits: tuple[Limit, ...]
    """Those of accuracy that nothing is known for."""
    needed: str
    """What study would close them; an empty text where none is open."""
    known: dict[str, Known]
    """Values of the axes that accuracy depends on, joined -> what is known of it."""
    evidence: Evidence | None
    base: Ints
    """Which value of each axis the base machine has; the first where it has none."""
    notes: tuple[str, ...]
    """What was chosen or assumed for the user, a line each."""

    @property
    def constraints(self) -> list[Constraint]:
        """The limits that can be compared, as a study compares them."""
        return [own.constraint for own in self.limits if own.constraint is not None]

    @property
    def noise_source(self) -> str:
        """Where the noise of an integration time comes from."""
        return self.evidence.noise.source if self.evidence is not None else ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that objectives and limits read."""
        names = (*self.objectives, *(own.column for own in self.constraints))
        return tuple(dict.fromkeys(names))


def asked(question: Question) -> Asked:
    """Return what a question leads to.

    Raises:
        InputError: A part of it cannot be read, or the machine does not tell what it needs.
    """
    limits = parse_limits(question.limits)
    objectives = parse_objectives(question.minimise, question.maximise)
    machine = load_machine(question.base)
    given = read_space(question.space) if question.space else {}
    network, settings = _network(question, given)
    tokens = _tokens(question, given, network)
    space = _space(question, given, network, machine, tokens)
    axes, notes = space.axes, space.notes
    evidence = _evidence(question, limits, objectives, network)
    _split(space, evidence, network, machine)
    if evidence and any(name.startswith("adapters") for name in axes):
        notes.append("adapters are those of the evidence, in place of the axes of the space")
    study: dict[str, Any] = {
        "name": "design",
        "question": "what to build",
        "machine": question.base,
        "network": question.network,
        "keep": ["latency_ps", "batch"],
    }
    study |= {key: own for key, own in given.items() if key not in ("axes", "objectives")}
    study |= {"axes": _with_adapters(axes, evidence), "objectives": objectives, "set": settings}
    if "tokens" not in axes:
        study["tokens"] = tokens
    limits, still_open, known = _accuracy(study, limits, evidence, machine, network)
    if ACCURACY in objectives and "accuracy" not in study:
        raise SpecError("--maximise", "accuracy", "needs --evidence FILE; see docs/design.md")
    theirs = list(given.get("constraints", ()))
    study["constraints"] = [*theirs, *(own.as_text() for own in limits)]
    inputs = _inputs(study, question)
    own = study_constraints(inputs.study, inputs.axes)[: len(theirs)]
    limits = [*map(Limit, inputs.study.constraints[: len(theirs)], own), *limits]
    found = Asked(
        question, machine, network, inputs, objectives, tuple(limits), tuple(still_open),
        study_needed(network, tokens, still_open) if still_open else "", known, evidence,
        _base(inputs, machine), tuple(notes),
    )  # fmt: skip
    _check_known(found)
    return found


def _tokens(question: Question, given: Mapping[str, Any], network: Network) -> int:
    tokens = question.tokens or given.get("tokens") or network.sequence_length
    if not isinstance(tokens, int) or not 1 <= tokens <= MOST_TOKENS:
        raise SpecError("--tokens", "", f"found {tokens}; 1 to {MOST_TOKENS} would do")
    return tokens


def _space(
    question: Question,
    given: Mapping[str, Any],
    network: Network,
    machine: Machine,
    tokens: int,
) -> Space:
    """Return what may be chosen, and what to say of it."""
    if "axes" in given:
        return Space(dict(given["axes"]), own=True)
    machine = machine_with(machine, _of_machine(question.settings or {}))
    whole, notes = _whole(question, network, machine, tokens)
    larger = _is_larger(network, machine)
    if larger:
        notes.append("the network needs more tiles than there are: they are shared in time, or it "
                     "is digital in part")  # fmt: skip
    axes = without(default_axes(machine, whole, tokens, larger), question.settings or ())
    notes += [f"{text} (axis {name})" for name, text in ASSUMED.items() if name in axes]
    return Space(axes, whole, notes=notes)


def _network(question: Question, given: Mapping[str, Any]) -> tuple[Network, dict[str, Any]]:
    """Return the network without what a study sets of it, and what all points set."""
    settings = dict(given.get("set", {})) | dict(question.settings or {})
    network = load_network(network_path(question.network))
    if settings.get("adapters") == "none":
        network = network.without_adapters()
    return network, settings


def _whole(
    question: Question, network: Network, machine: Machine, tokens: int
) -> tuple[bool, list[str]]:
    """Return whether all ops are run; and why, where the network has more than layers."""
    if all(op in network.static_linear_layers for op in network.ops):
        return False, []
    if question.layers_only:
        return False, ["linear layers and their adapters alone are timed (--layers-only)"]
    if problem := why_not_whole(network, machine, tokens):
        why = f"as no strategy runs all: {problem}"
        return False, [f"only linear layers and their adapters are timed, {why}"]
    return True, ["all ops are timed; --layers-only leaves all but linear layers out"]


def _is_larger(network: Network, machine: Machine) -> bool:
    """Return whether a network does not fit on the tiles of a machine all at once."""
    try:
        place(network, machine_with(machine, {"mapping.overflow": "refuse"}))
    except CapacityError:
        return True
    return False


def _of_machine(settings: Mapping[str, Any]) -> dict[str, Any]:
    heads = ("strategy", "adapters", "tokens", "network", "machine")
    return {path: own for path, own in settings.items() if path.partition(".")[0] not in heads}


def _evidence(
    question: Question, limits: Sequence[Limit], objectives: Mapping[str, Any], network: Network
) -> Evidence | None:
    after = next((own.after for own in limits if own.after is not None), None)
    if after is None and ACCURACY in objectives:
        after = parse_time(DEFAULT_AFTER)
    if after is None:
        if question.evidence:
            problem = "is given, but no limit or objective is of accuracy; add one, or leave it"
            raise SpecError("--evidence", "", problem)
        return None
    return read_evidence(question.evidence, after, network)


def _with_adapters(axes: Mapping[str, Any], evidence: Evidence | None) -> dict[str, Any]:
    """Return axes with the adapters of the evidence, in place of those of ranks alone."""
    if not evidence:
        return dict(axes)
    kept = {name: own for name, own in axes.items() if not name.startswith("adapters")}
    return {ADAPTER: evidence.adapters} | kept


def _split(space: Space, evidence: Evidence | None, network: Network, machine: Machine) -> None:
    """Let layers be digital where single layers say what that is worth; say where they cannot."""
    if evidence is None or not evidence.predictors or space.own:
        return
    if not space.whole:
        space.notes.append(
            "layers are not split into analog and digital: strategies for layers alone"
        )
        return
    found = digital_axis(machine, network, evidence.predictors[0], evidence.bits)
    if len(found) > 1:
        space.axes[DIGITAL] = found


def _accuracy(
    study: dict[str, Any],
    limits: Sequence[Limit],
    evidence: Evidence | None,
    machine: Machine,
    network: Network,
) -> tuple[list[Limit], list[Limit], dict[str, Known]]:
    """Write known accuracies into a study; return limits that count, and those left open."""
    if not evidence:
        told = "accuracy" in study  # the file of the space says where it comes from
        still = [own for own in limits if own.of_accuracy and not (told and own.constraint)]
        return [own for own in limits if own not in still], still, {}
    axes = placed_by(expand_axes(study["axes"], "design"))
    machine = machine_with(machine, _of_machine(study["set"]))
    known = evidence.table(placements(axes, machine, network))
    study["accuracy"] = {
        "axes": [ADAPTER, *(axis.name for axis in axes)],
        "percent": {name: own.accuracy_percent for name, own in known.items()},
        "source": f"{format_time(evidence.after)} after programming; "
        + "; ".join(dict.fromkeys(own.source for own in known.values())),
    }
    digital = evidence.digital_percent
    found, still = [], []
    for own in limits:
        if own.points is None:
            found.append(own)
        elif digital is None:
            still.append(own)
        else:
            bound = digital + own.points
            found.append(replace(own, constraint=Constraint(ACCURACY, ">=", round(bound, 6))))
    return found, still, known


def _inputs(study: dict[str, Any], question: Question) -> Inputs:
    file = str(question.space) if question.space else "design"
    read = validate(Study, study, file)
    study_axes(read, file)
    return read_inputs(read, file)


def _base(inputs: Inputs, machine: Machine) -> Ints:
    return np.array([_own_value(axis, machine) for axis in inputs.axes], np.int64)


def _own_value(axis: Axis, machine: Machine) -> int:
    """Return which value of an axis a machine has already; the first where it has none."""
    for value, settings in enumerate(axis.settings):
        heads = {path.partition(".")[0] for path in settings}
        if heads & {"strategy", "adapters", "tokens", "network", "machine"}:
            return 0
        try:
            if machine_with(machine, settings) == machine:
                return value
        except InputError:
            continue
    return 0


def _check_known(found: Asked) -> None:
    """Refuse objectives and limits that the machine says too little for, before anything runs.

    Raises:
        InputError: It gives no energies or no areas.
    """
    for name, part in (("energy", found.machine.energy), ("area", found.machine.area)):
        needs = OF_ENERGY if name == "energy" else ("area_mm2",)
        wanted = next((own for own in needs if own in found.columns), None)
        if part is None and wanted is not None:
            raise InputError(
                f"{wanted}: machine {found.machine.name} does not give what it is computed from; "
                f"add its {name} section, or leave {wanted} out of --limit and --minimise"
            )
