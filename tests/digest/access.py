"""How today's API gives what the digest hashes: the one file here to change when names move.

Everything else in this folder speaks of the canonical values that these functions return. A
function may be rewritten as the API moves; what it returns must not change.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import hybridsim
from hybridsim._old_names import STILL_WRITTEN, in_silence
from hybridsim.arch import load_machine
from hybridsim.comparison import compare
from hybridsim.cost import ask
from hybridsim.engines import engine
from hybridsim.explanation import explain
from hybridsim.generation import GenerationTimes, generate, strategy_for
from hybridsim.library import network_path
from hybridsim.mapping import place
from hybridsim.measure.critical_path import critical_path, critical_share, started_by
from hybridsim.measure.energy import energy_of_run, power_curve
from hybridsim.measure.occupancy import tcdm_buffers, tcdm_occupancy
from hybridsim.measure.stalls import stalls_by_kind, stalls_by_resource, stalls_by_task
from hybridsim.measure.tokens import TokenRuns, drawn
from hybridsim.measure.usage import queue_depths, usage
from hybridsim.measure.work import task_work
from hybridsim.report.trace import Trace
from hybridsim.service import Request, compare_alternatives, run_service
from hybridsim.simulation import execute
from hybridsim.strategies import NETWORK_STRATEGIES, STRATEGIES, Job, carry_out, make_strategy
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.run import run_study
from hybridsim.sweeps.study import Study
from hybridsim.workload import AdapterSpec, Network, load_network, network_from_config
from tests.digest.case import Case
from tests.digest.networks import CONFIGS, ONE_LAYER

Ints = np.ndarray[Any, np.dtype[np.int64]]
REFUSED = hybridsim.HybridsimError
"""What is raised where a case is refused; its sentence is part of the digest."""

RENAMED = {
    "all_analog_ps": "yardstick_ps",
    "bare_ps": "yardstick_ps",
    "bare_token_ps": "yardstick_token_ps",
    "bare_token_pj": "yardstick_token_pj",
    "bare_pj": "yardstick_pj",
    "bare_per_token_pj": "yardstick_per_token_pj",
    "bare_tops_per_watt": "yardstick_tops_per_watt",
    "bare_component_aj": "yardstick_component_aj",
    "bare_static_aj": "yardstick_static_aj",
    "bare_critical_path_share": "yardstick_critical_path_share",
    "without_adapters_pj": "yardstick_pj",
    "scheduler": "strategy",
}
"""Name of a field or column as the API has it -> its canonical name; others are canonical. A name
that is changed later is added here, so that old and new give the same pairs."""
WORDS = {
    "scheduler": "strategy",
    "stay for all batches": "stay for all chunks",
    "network: batch: found": "network: chunk: found",
    "for every batch": "for every chunk",
    "sequences take": "requests take",
    "or the sequences, or raise": "or the batch, or raise",
}
"""Words of sentences that may be changed without changing what they say -> canonical ones."""
LABELS: dict[str, str] = {}
"""What a task does, as the plan calls it -> its canonical label; others are canonical."""
AS_THEY_WERE = {"yardstick_ps": "all_analog_ps", "yardstick_pj": "all_analog_pj"}
"""Columns of tables and facts -> what they are called where names are hashed as they are."""
LEFT_OUT = (
    *STILL_WRITTEN,
    "format_version",
    "hybridsim_version",
    "model_version",
    "fingerprint",
    "inputs",
    "engine",
)
"""Fields that say what was run, or with which release: no results. Nor are old names of fields,
which JSON has beside those of today."""
ADDED = {
    "layer_by_layer_ps", "layer_by_layer_percent", "covers", "whole_network", "clusters"
}  # fmt: skip
"""Fields that answers have beside those whose values are golden; ``tests/laws/test_answers.py``
holds them to what they say."""
ENERGY = ("energy", "energy_pj", "token_pj", "yardstick_token_pj")
"""Fields, by canonical name, whose values are energies: hashed apart from times."""


class Named(NamedTuple):
    """A text per task: names, and for each task the index of its name."""

    names: tuple[str, ...]
    codes: Ints


class Needs(NamedTuple):
    """One entry per need: who waits, for whom, and whether only for room, or for its turn."""

    task: Ints
    source: Ints
    room: Ints
    turn: Ints


class Uses(NamedTuple):
    """One entry per held resource, in the order in which each task names them."""

    task: Ints
    resource: Ints


def strategy_names() -> list[str]:
    """Return the names of all strategies."""
    return [*STRATEGIES]


def option_names(strategy: str) -> list[str]:
    """Return the names of all options of a strategy, those of ``where`` as ``where.add``."""
    fields = [name for name in STRATEGIES[strategy].model_fields if name != "kind"]
    if strategy in NETWORK_STRATEGIES:  # cases keep the word of the first release
        fields[fields.index("batch")] = "chunk"
    if "where" in fields:
        parts = STRATEGIES[strategy].model_fields["where"].annotation.model_fields
        fields = [name for name in fields if name != "where"] + [f"where.{p}" for p in parts]
    return fields


# ---- what is run


def network_of(case: Case) -> Network:
    """Return the network of a case, with the adapters that it asks for."""
    if case.network in ONE_LAYER:
        network = Network.model_validate(ONE_LAYER[case.network])
    elif case.network in CONFIGS:
        config, head, rank = CONFIGS[case.network]
        spec = AdapterSpec(rank=rank) if rank else None
        network = network_from_config(
            config, name=case.network, source="made up", head=head, adapters=spec
        )
    else:
        network = load_network(network_path(case.network))
    if case.adapters is not None:
        rank_or = dict(case.adapters)
        return network.with_adapters(**rank_or) if rank_or else network.without_adapters()
    return network


def machine_of(case: Case) -> Any:
    """Return the machine of a case, with the fields that it sets."""
    return load_machine(case.machine, dict(case.settings))


def strategy_of(case: Case) -> Any:
    """Return the strategy of a case, whose options keep the words of the first release."""
    with in_silence():
        return make_strategy(case.strategy, case.options)


def generating(case: Case) -> Any:
    """Return the strategy with which a case generates."""
    with in_silence():
        return strategy_for(dict(case.options), case.strategy)


def executed(case: Case) -> Any:
    """Return a run: job, schedule, timeline, and a result where one sequence is asked for."""
    strategy = strategy_of(case)
    if case.sequences == 1:
        return execute(
            network_of(case),
            machine_of(case),
            strategy,
            case.tokens,
            check_numerics=bool(case.more.get("numerics")),
            past=case.past,
        )
    return _sequences(case, strategy)


class Sequences(NamedTuple):
    """Several sequences that run together: what a generation executes, without a result."""

    job: Any
    schedule: Any
    timeline: Any
    result: None = None


def _sequences(case: Case, strategy: Any) -> Sequences:
    run = engine("compiled")
    mapping = place(network_of(case), machine_of(case))
    job = Job(mapping, case.tokens, run, case.past, case.sequences)
    schedule = strategy.schedule(job)
    done = carry_out(schedule, job.machine, run)
    return Sequences(job, done.schedule, done.timeline)


# ---- what a plan says, task by task


def resources(run: Any) -> list[tuple[str, str, int, int]]:
    """Return name, kind, units and parts of each resource, by index."""
    return [(r.name, r.kind, r.units, r.parts) for r in run.schedule.plan.resources]


def ops(run: Any) -> Named:
    """Return the op or layer that each task works for."""
    plan = run.schedule.plan
    return Named(plan.ops, plan.op)


def labels(run: Any) -> Named:
    """Return what each task does, for people."""
    plan = run.schedule.plan
    return Named(tuple(LABELS.get(name, name) for name in plan.labels), plan.label)


def items(run: Any) -> Ints:
    """Return the batch that each task works on."""
    return run.schedule.plan.item


def uses(run: Any) -> Uses:
    """Return the resources that tasks hold."""
    plan = run.schedule.plan
    return Uses(np.repeat(np.arange(len(plan)), np.diff(plan.use_first)), plan.use)


def needs(run: Any) -> Needs:
    """Return what tasks wait for."""
    plan = run.schedule.plan
    turn = np.zeros(len(plan.need), np.bool_) if plan.order is None else plan.order
    user = np.repeat(np.arange(len(plan)), np.diff(plan.need_first))
    return Needs(user, plan.need, plan.room.astype(np.int64), turn.astype(np.int64))


def durations(run: Any) -> Ints:
    """Return how long each task lasts [ps]."""
    return run.timeline.duration


def times(run: Any) -> tuple[Ints, Ints, Ints]:
    """Return when each task is ready, starts and ends [ps]."""
    line = run.timeline
    return line.ready, line.start, line.end


# ---- what was decided


def decisions(run: Any) -> dict[str, Any]:
    """Return what a strategy decided for layers and ops, and beside them."""
    schedule = run.schedule
    names = [resource.name for resource in schedule.plan.resources]
    return {
        "layers": [
            {
                "name": d.layer.name,
                "batch": d.batch,
                "choice": d.choice and [d.choice.unit, d.choice.order, d.choice.add],
                "buffers": d.buffers,
                "tcdm_bytes": d.tcdm_bytes,
                "kept_bytes": d.kept_bytes,
                "homes": d.homes,
                "tiles": list(d.layer.tiles),
                "blocks": [list(asdict(block).values()) for block in d.layer.blocks],
                "chip": d.layer.chip,
            }
            for d in schedule.layers
        ],
        "ops": [
            {
                "name": d.op.name,
                "tokens": d.tokens,
                "where": d.where,
                "pieces": d.pieces,
                "cost_from": d.cost_from,
                "tcdm_bytes": d.tcdm_bytes,
            }
            for d in schedule.ops
        ],
        "notes": list(schedule.notes),
        "carried_by": dict(schedule.carried_by),
        "free": list(schedule.free),
        "kept_bytes": schedule.kept_bytes,
        "passages": {
            " ".join(names[edge] for edge in held): asdict(passage)
            for held, passage in schedule.passages.items()
        },
    }


# ---- what was measured


def result(run: Any) -> dict[str, Any] | None:
    """Return all fields of a result, as plain data."""
    return None if run.result is None else _results(run.result.model_dump(mode="json"))


def energy_of_tasks(run: Any) -> dict[str, Ints]:
    """Return part -> what each task draws in it [aJ]; nothing where a machine does not tell."""
    found = energy_of_run(run.job, run.schedule, run.timeline)
    return {} if found is None else {name: found.of_tasks(name) for name in found.by_component}


def energy_totals(run: Any) -> dict[str, Any] | None:
    """Return what a run draws: part -> work and static [aJ], MACs, what is not counted."""
    found = drawn(run.job, run.schedule, run.timeline)
    if found is None:
        return None
    return {
        "component_aj": found.work,
        "static_aj": found.static,
        "macs": found.macs,
        "not_counted": list(found.not_counted),
    }


def tables(run: Any) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each table of times that is read from a run, by name."""
    plan, line = run.schedule.plan, run.timeline
    yield "usage", usage(plan, line).reset_index()
    yield "stalls_by_task", stalls_by_task(plan, line)
    yield "stalls_by_resource", stalls_by_resource(plan, line).reset_index()
    yield "stalls_by_kind", stalls_by_kind(plan, line).reset_index()
    yield "critical_path", critical_path(plan, line)
    for by in ("resource", "kind", "op", "action", "why"):
        yield f"critical_share_{by}", critical_share(plan, line, by).reset_index()  # type: ignore[arg-type]
    yield "started_by", started_by(plan, line)
    yield "queue_depths", queue_depths(plan, line)
    yield "tcdm_occupancy", tcdm_occupancy(run)
    yield "tcdm_buffers", tcdm_buffers(run)
    yield "task_work", task_work(run)


def power_table(run: Any) -> pd.DataFrame | None:
    """Return power over time, or None where the machine has no energies."""
    found = energy_of_run(run.job, run.schedule, run.timeline)
    return None if found is None else power_curve(found)


def trace_texts(run: Any) -> Iterator[str]:
    """Yield the text of the events of a trace."""
    for texts in Trace(run).texts():
        yield from texts


def frames(run: Any) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables that a result gives of itself."""
    layers = run.result.to_frame().rename(columns=AS_THEY_WERE)
    yield "layers", layers[[name for name in layers if name not in ADDED]]
    yield "ops", run.result.ops_frame()
    yield "resources", run.result.resources_frame()


# ---- questions beside a single run


def generation(case: Case) -> dict[str, Any]:
    """Return all figures of a generation."""
    with in_silence():
        found = generate(
            network_of(case),
            machine_of(case),
            strategy=generating(case),
            **case.more,
        )
    document = _results(found.document())
    return {"batch": document.pop("sequences"), **document}


def generation_times(case: Case) -> list[tuple[int, int]]:
    """Return times to the first and to the last token of several requests [ps]."""
    known = GenerationTimes(network_of(case), machine_of(case), generating(case))
    return [known.times(*request) for request in case.more["requests"]]


def tokens(case: Case) -> Iterator[Any]:
    """Yield the run of a generated token after each number of past ones, templates shared."""
    run = engine("compiled")
    strategy = generating(case)
    job = Job(
        place(network_of(case), machine_of(case)),
        case.tokens,
        run,
        0,
        case.sequences,
    )
    runs = TokenRuns(job, strategy, run)
    for past in case.more["pasts"]:
        yield runs.at(past)


def token_energy(run: Any) -> dict[str, Any] | None:
    """Return what a generated token draws, as :func:`energy_totals`."""
    found = run.drawn()
    return None if found is None else {"component_aj": found.work, "static_aj": found.static}


def comparison(case: Case) -> list[dict[str, Any]]:
    """Return the row of each strategy, and which one is best."""
    with in_silence():
        found = compare(
            network_of(case),
            machine_of(case),
            case.more.get("strategies"),
            case.tokens,
            case.options,
            case.past,
        )
    return [*map(_golden, found.rows), {"best": found.best}]


def explanation(case: Case) -> dict[str, Any]:
    """Return what a run spent its time on, and what would shorten it."""
    text = _golden(explain(executed(case).result).to_text())
    del text["strategy"]  # hashed under its old name, which is there as well
    for change in text["changes"]:
        change["arguments"] = canonical_text(change["arguments"])
    return text


def swept(case: Case) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table of a study, and what the study says of it."""
    with in_silence():  # studies of the digest keep the words of the first release
        study = Study.model_validate(case.more["study"])
        found = run_study(read_inputs(study, study.name))
    return found.table, _results(found.summary())


def answers(case: Case) -> list[Any]:
    """Return what component models say, question by question."""
    machine = machine_of(case)
    found: list[Any] = []
    for component, operation, values in case.more["questions"]:
        sizes = {n: np.array(v) if isinstance(v, list) else v for n, v in values.items()}
        try:
            found.append(ask(machine, component, operation, sizes))
        except REFUSED as error:
            found.append(str(error))
    return found


def served(case: Case) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what serving a trace of requests comes to, and every request."""
    options = {key: value for key, value in case.more.items() if key != "requests"}
    strategy = strategy_of(case) if case.strategy else None
    found = run_service(
        network_of(case),
        machine_of(case),
        [Request(*request) for request in case.more["requests"]],
        strategy=strategy,
        **options,
    )
    return _results(found.result.model_dump(mode="json")), found.requests


def alternatives(case: Case) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what several tasks cost in three ways, and the facts behind it."""
    found = compare_alternatives(
        network_of(case),
        machine_of(case),
        case.more["tasks"],
        strategy_of(case),
        case.tokens,
    )
    return found.table, {AS_THEY_WERE.get(key, key): value for key, value in found.facts.items()}


def canonical_name(name: str) -> str:
    """Return the canonical name of a field or column."""
    return RENAMED.get(name, name)


def canonical_text(text: str) -> str:
    """Return a sentence with the words that may change replaced."""
    for word, meant in WORDS.items():
        text = text.replace(word, meant)
    return text


def _results(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that are results."""
    found = {key: value for key, value in _golden(document).items() if key not in LEFT_OUT}
    if isinstance(layers := found.get("layers"), list):
        found["layers"] = [_golden(layer) for layer in layers]
    return found


def _golden(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document whose values are golden."""
    return {key: value for key, value in document.items() if key not in ADDED}
