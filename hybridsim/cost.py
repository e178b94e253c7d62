"""One question to one component model of a machine, for one shape or for a table of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hybridsim.arch import Cluster, Machine, load_machine
from hybridsim.boundary.values import whole
from hybridsim.components.core_kernels import ELEMENT_BITS
from hybridsim.components.cycle_table import read_cores_table, read_engine_table
from hybridsim.components.matrix_engine import HAZARDS, MatrixEngine
from hybridsim.components.redmule_cycles import Hazard
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import InputError, UnknownNameError, UnsupportedError
from hybridsim.library import MACHINES, machine_names
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram, on_machine
from hybridsim.programs.lora_choices import Order, Unit
from hybridsim.programs.lora_energy import lora_energy
from hybridsim.programs.lora_stream import LoraStream
from hybridsim.work import price

Values = Mapping[str, Any]
"""Argument name -> an integer, a text, or (in a table) an array of integers."""
Answer = dict[str, Any]

SOURCES = ("model", "table")
"""Where the cycles of a GEMM come from: an equation, or a row that was measured."""
MOST_SIZE = 10**9 - 1
"""The largest size that can be asked for; the product of two such sizes fits 64 bits."""
MOST_TILES = 2**16
"""The most tiles of a stream that are executed."""
_NJ = 10**9
"""Attojoules of a nanojoule."""


@dataclass(frozen=True, slots=True)
class Question:
    """What can be asked of a component: its arguments, and the model that answers."""

    answer: Callable[[Machine, Values], Answer]
    sizes: tuple[str, ...]
    """Arguments that are whole numbers of 1 or more."""
    defaults: Mapping[str, int | str | None]
    """Arguments that may be left out; a text or None takes texts, a number takes numbers. None and
    0 stand for what the machine says."""
    about: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of all arguments."""
        return (*self.sizes, *self.defaults)


def ask(machine: Machine, component: str, operation: str, values: Mapping[str, Any]) -> Answer:
    """Return what a component model says: cycles or bytes, and where the equation is from.

    Raises:
        UnknownNameError: No such component, operation or argument.
        InputError: An argument is missing, or no whole number of 1 or more.
        UnsupportedError: The machine lacks the component, or it cannot do the shape.
    """
    question = find(component, operation)
    return question.answer(machine, checked(question, f"{component} {operation}", values))


def find(component: str, operation: str) -> Question:
    """Return the question of that name.

    Raises:
        UnknownNameError: No such component, or no such operation on it.
    """
    if component not in QUESTIONS:
        raise UnknownNameError("component", component, QUESTIONS)
    if operation not in QUESTIONS[component]:
        raise UnknownNameError(f"operation on {component}", operation, QUESTIONS[component])
    return QUESTIONS[component][operation]


def checked(question: Question, what: str, values: Mapping[str, Any]) -> Values:
    """Return all arguments of a question, numbers as integers, defaults filled in."""
    for name in values:
        if name not in question.arguments:
            raise UnknownNameError(f"{what}: argument", name, question.arguments)
    missing = [name for name in question.sizes if name not in values]
    if missing:
        raise InputError(f"{what}: {', '.join(missing)} missing; give {_usage(question)}")
    result = dict(question.defaults)
    for name, value in values.items():
        number = name in question.sizes or isinstance(question.defaults.get(name), int)
        result[name] = _size(what, name, value) if number else value
    return result


def _usage(question: Question) -> str:
    needed = [f"{name}=N" for name in question.sizes]
    return " ".join(needed + [f"[{name}=...]" for name in question.defaults])


def _size(what: str, name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if (value < 1).any():
            raise InputError(f"{what}: {name}: found {int(value.min())}; give 1 or more")
        return value
    return whole(str(value), f"{what}: {name}", 1, MOST_SIZE)


def _cluster(machine: Machine) -> Cluster:
    if machine.cluster is None:
        raise UnsupportedError(f"{machine.name} has no cluster")
    return machine.cluster


def _timed(cluster: Cluster, cycles: Any, source: str, **more: Any) -> Answer:
    return {"cycles": cycles, "time_ps": cluster.to_ps(cycles), "source": source, **more}


def _engine_gemm(machine: Machine, values: Values) -> Answer:
    cluster = _cluster(machine)
    engine = cluster.matrix_engine
    if engine is None:
        raise UnsupportedError(f"{machine.name} has no matrix engine")
    if not isinstance(engine, MatrixEngine):
        m, n, k = (values[name] for name in "mnk")
        return _timed(cluster, engine.gemm_cycles(m, n, k), engine.part, macs=m * n * k)
    shape = m, n, k = tuple(values[name] for name in "mnk")
    if _from_table(values):
        return _timed(cluster, *_measured_on_engine(machine, engine, shape))
    macs = m * n * k
    cycles = engine.gemm_cycles(m, n, k)
    return _timed(
        cluster,
        cycles,
        "RedMulE RTL, structural model (docs/matrix_engine.md); trigger to done",
        terms=engine.gemm_terms(m, n, k),
        macs=macs,
        utilization=macs / (cycles * engine.macs_per_cycle),
        bytes=engine.gemm_bytes(m, n, k),
        padded=dict(zip("mnk", engine.padded(m, n, k), strict=True)),
        hazard=_in_words(engine.hazard(m, n, k)),
        programming_cycles=cluster.offload.program_engine_cycles(),
    )


def _in_words(hazards: Any) -> Any:
    """Return what the engine does with the unpadded shape: ``works``, or what goes wrong."""
    if isinstance(hazards, np.ndarray):
        return np.array([HAZARDS[Hazard(code)] for code in hazards.tolist()], dtype=object)
    return HAZARDS[Hazard(hazards)]


def _from_table(values: Values) -> bool:
    source = values["source"]
    if source not in SOURCES:
        raise UnknownNameError("gemm: source", source, SOURCES)
    return bool(source == "table")


def _measured_on_engine(
    machine: Machine, engine: MatrixEngine, shape: tuple[Any, Any, Any]
) -> tuple[Any, str]:
    """Return measured cycles and where they stand; the array is part of what is looked up."""
    path = _table_of(machine, "redmule_gemm.csv")
    array = (engine.array_height, engine.array_width, engine.pipe_regs)
    cycles = read_engine_table(path).cycles((*array, "gemm_with_Y"), *shape)
    return cycles, f"RedMulE RTL, measured row of {path.name}; trigger to done"


def _measured_on_cores(
    machine: Machine, cluster: Cluster, shape: tuple[Any, Any, Any], kernel: str | None, kind: str
) -> tuple[Any, str]:
    """Return measured cycles and where they stand.

    Raises:
        UnsupportedError: The cores are not those that were measured, or no kernel is named.
    """
    path = _table_of(machine, "snitch_kernels.csv")
    measured = load_machine(machine.name).cluster
    if measured is None or measured.cores != cluster.cores:
        raise UnsupportedError(
            f"{path.name} holds for the cores of {machine.name} as they are; these differ"
        )
    table = read_cores_table(path)
    if kernel is None:
        known = sorted({str(key[0]) for key in table.measured})
        raise UnsupportedError(f"a measured row is of one kernel; give kernel={'|'.join(known)}")
    cycles = table.cycles((kernel, kind, cluster.cores.count), *shape)
    return cycles, f"Snitch cluster RTL, measured row of {path.name}; barrier to barrier"


def _table_of(machine: Machine, file: str) -> Path:
    path = MACHINES / machine.name / "cycles" / file
    if machine.name not in machine_names() or not path.is_file():
        raise UnsupportedError(f"{machine.name} has no measured rows ({file})")
    return path


def _cores_gemm(machine: Machine, values: Values) -> Answer:
    cluster = _cluster(machine)
    precision = values["precision"] or cluster.precision
    m, n, k = (values[name] for name in "mnk")
    if _from_table(values):
        measured = _measured_on_cores(machine, cluster, (m, n, k), values["kernel"], precision)
        return _timed(cluster, *measured, precision=precision)
    _check_precision(precision)
    return _timed(
        cluster,
        cluster.cores.gemm_cycles(m, n, k, precision, values["kernel"]),
        "Snitch cluster RTL, kernel model (docs/cluster.md); barrier to barrier",
        precision=precision,
        kernels=cluster.cores.gemm_kernels(m, n, k, precision),
    )


def _check_precision(precision: str) -> None:
    if precision not in ELEMENT_BITS:
        raise UnknownNameError("precision", precision, ELEMENT_BITS)


def _cores_kernel(name: str, *sizes: str) -> Callable[[Machine, Values], Answer]:
    """Return the answer of an element-wise or row-wise kernel on the cores."""

    def answer(machine: Machine, values: Values) -> Answer:
        cluster = _cluster(machine)
        precision = values["precision"] or cluster.precision
        _check_precision(precision)
        model = getattr(cluster.cores, f"{name}_cycles")
        cycles = model(*(values[size] for size in sizes), precision, values["kernel"])
        source = "Snitch cluster RTL, kernel model (docs/cluster.md); barrier to barrier"
        return _timed(cluster, cycles, source, precision=precision)

    return answer


def _dma_transfer(machine: Machine, values: Values) -> Answer:
    cluster = _cluster(machine)
    if values["source"] not in ("memory", "tcdm"):
        raise UnknownNameError("dma transfer: source", values["source"], ("memory", "tcdm"))
    cycles = cluster.dma.transfer_cycles(values["bytes"], values["rows"], source=values["source"])
    return _timed(cluster, cycles, "Snitch cluster RTL, DMA rows (docs/cluster.md)")


def _check_one(what: str, values: Values) -> None:
    if any(isinstance(value, np.ndarray) for value in values.values()):
        raise InputError(f"{what}: ask for one shape at a time, not for a table")


def _tcdm_lora(machine: Machine, values: Values) -> Answer:
    cluster = _cluster(machine)
    shape = (values["in"], values["out"], values["rank"])
    element = values["element_bytes"]
    size = cluster.tcdm.lora_bytes(*shape, values["tokens"], element)
    double = cluster.tcdm.lora_bytes(*shape, values["tokens"], element, double_buffered=True)
    return {
        "bytes": size,
        "fits": size <= cluster.tcdm.size,
        "capacity_bytes": cluster.tcdm.size,
        "most_tokens": cluster.tcdm.most_tokens(*shape, element),
        "double_buffered_bytes": double,
        "double_buffered_fits": double <= cluster.tcdm.size,
        "source": "Li et al. 2026, Fig. 4b: 2 B x (in r + r out + t in + t r + t out)",
    }


def _offload_program(machine: Machine, values: Values) -> Answer:
    cluster = _cluster(machine)
    registers = values["registers"]
    if not isinstance(registers, np.ndarray) and registers == 0:
        registers = cluster.offload.engine_registers
    return _timed(
        cluster,
        cluster.offload.program_engine_cycles(registers),
        "Snitch cluster RTL, peripheral port and wake-up (docs/cluster.md)",
        registers=registers,
    )


def _tile_mvm(machine: Machine, values: Values) -> Answer:
    tile, inner, outer = machine.tile, values["in"], values["out"]
    return {
        "time_ps": tile.mvm_ps(inner, outer, values["tokens"]),
        "crossbars": tile.crossbars_for(inner, outer),
        "row_blocks": tile.row_blocks(inner),
        "column_blocks": tile.column_blocks(outer),
        "source": "tokens x (integration time + periphery) (docs/model.md)",
    }


def _link_transfer(machine: Machine, values: Values) -> Answer:
    return {
        "cycles": machine.link.transfer_cycles(values["bytes"]),
        "time_ps": machine.link.transfer_ps(values["bytes"]),
        "source": "latency + ceil(bytes / width) (docs/model.md)",
    }


def _cluster_lora(machine: Machine, values: Values) -> Answer:
    """Compare every way to compute an adapter, with all operands in the scratchpad."""
    cluster = _cluster(machine)
    shape = (values["in"], values["out"], values["rank"], values["tokens"])
    _check_one("cluster lora", values)
    ways: dict[str, Answer] = {}
    for choice in on_machine(CHOICES, machine):
        name = str(choice).replace(" ", "_")
        try:
            program = LoraProgram(*shape, choice).on(cluster)
            cycles = program.compute_cycles(cluster)
        except UnsupportedError as error:
            ways[name] = {"cycles": None, "reason": str(error)}
            continue
        ways[name] = {
            "cycles": cycles,
            "cycles_per_token": cycles / shape[3],
            "time_ps": cluster.to_ps(cycles),
            "tcdm_bytes": program.tcdm_bytes(cluster, 1),
            "fits": program.tcdm_bytes(cluster, 1) <= cluster.tcdm.size,
            "kernels": {
                f"{i}: {kernel.work.label} ({kernel.unit})": own
                for i, (kernel, own) in enumerate(
                    zip(program.kernels, program.cycles(cluster), strict=True)
                )
            },
        }
    possible = {name: way["cycles"] for name, way in ways.items() if way["cycles"] is not None}
    winner = min(possible, key=lambda name: possible[name]) if possible else None
    return {
        "cycles": possible[winner] if winner else None,
        "time_ps": ways[winner]["time_ps"] if winner else None,
        "winner": winner,
        "ways": ways,
        "source": "RedMulE and Snitch cluster RTL models (docs/matrix_engine.md, docs/cluster.md)",
    }


def _energy_lora(machine: Machine, values: Values) -> Answer:
    """Compare what every way to compute an adapter draws with the MVMs that it adapts."""
    _check_one("energy lora", values)
    shape = (values["in"], values["out"], values["rank"], values["tokens"])
    tokens = shape[3]
    ways: dict[str, Answer] = {}
    found, problem = None, None
    for choice in on_machine(CHOICES, machine):
        try:
            found = lora_energy(machine, *shape, choice)
        except UnsupportedError as error:
            problem = error
            continue
        ways[str(choice).replace(" ", "_")] = {
            "nj_per_token": found.digital / tokens / _NJ,
            "times_analog": found.digital / found.analog if found.analog else None,
            "parts_nj_per_token": {
                part: aj / tokens / _NJ for part, aj in sorted(found.adapter.items())
            },
        }
    if found is None:
        raise problem or UnsupportedError("energy lora: there is no way to compute an adapter")
    return {
        "analog_nj_per_token": found.analog / tokens / _NJ,
        "weights_nj_once": found.weights / _NJ,
        "macs_per_token": found.macs // tokens,
        "energies": ways,
        "source": "energies of the machine file x activity (docs/energy.md)",
    }


def stream_cycles(stream: LoraStream, engine: str = "compiled") -> int:
    """Return the cycles of an adapter streamed through the scratchpad, as an engine executes it.

    Raises:
        CapacityError: The tiles in flight do not fit the TCDM.
        UnsupportedError: The cluster lacks the unit, or the unit cannot do the shape.
    """
    plan = stream.plan()
    prices = price(plan.works, stream.cluster)
    makespan = engine_by_name(engine)(plan, prices.time_ps).makespan
    # durations are rounded up to picoseconds one by one, which is far less than a cycle in all
    return makespan * stream.cluster.clock.frequency // 10**12


def _cluster_lora_stream(machine: Machine, values: Values) -> Answer:
    """Execute an adapter tile by tile, with its transfers."""
    cluster = _cluster(machine)
    _check_one("cluster lora_stream", values)
    for name, known in (("unit", get_args(Unit)), ("order", get_args(Order))):
        if values[name] not in known:
            raise UnknownNameError(f"cluster lora_stream: {name}", values[name], known)
    shape = (values["in"], values["out"], values["rank"], values["tokens"], values["tile"])
    choice = LoraChoice(unit=values["unit"], order=values["order"]).on(cluster)
    stream = LoraStream(cluster, *shape, choice, values["y_buffers"])
    if stream.tiles > MOST_TILES:
        raise InputError(f"{stream.tiles} tiles are more than {MOST_TILES}; give a larger tile")
    return _timed(
        cluster,
        stream_cycles(stream),
        "adapter streamed through the TCDM (docs/cluster.md); first load to last store",
        tiles=stream.tiles,
        tcdm_bytes=stream.tcdm_bytes,
        tile_kernels={
            f"{i}: {kernel.work.label} ({kernel.unit})": cycles
            for i, (kernel, cycles) in enumerate(
                stream.tile_kernels(min(stream.tile, stream.tokens))
            )
        },
    )


_SOURCE: Mapping[str, int | str | None] = {"source": "model"}
_ON_CORES: Mapping[str, int | str | None] = {"precision": None, "kernel": None}

QUESTIONS: dict[str, dict[str, Question]] = {
    "matrix_engine": {
        "gemm": Question(
            _engine_gemm,
            ("m", "n", "k"),
            _SOURCE,
            "Z[m x k] = X[m x n] W[n x k] + Y on the engine",
        ),
    },
    "cores": {
        "gemm": Question(
            _cores_gemm,
            ("m", "n", "k"),
            {**_ON_CORES, **_SOURCE},
            "Z[m x k] = X[m x n] W[n x k] on the cores",
        ),
        "vector_add": Question(
            _cores_kernel("vector_add", "elements"), ("elements",), _ON_CORES, "sum of two vectors"
        ),
        "layernorm": Question(
            _cores_kernel("layernorm", "rows", "features"),
            ("rows", "features"),
            _ON_CORES,
            "layer normalization of each row",
        ),
        "rmsnorm": Question(
            _cores_kernel("rmsnorm", "rows", "features"),
            ("rows", "features"),
            _ON_CORES,
            "root-mean-square normalization of each row",
        ),
        "softmax": Question(
            _cores_kernel("softmax", "rows", "columns"),
            ("rows", "columns"),
            _ON_CORES,
            "softmax of each row",
        ),
        "gelu": Question(_cores_kernel("gelu", "elements"), ("elements",), _ON_CORES, "GELU"),
        "relu": Question(_cores_kernel("relu", "elements"), ("elements",), _ON_CORES, "ReLU"),
    },
    "dma": {
        "transfer": Question(
            _dma_transfer, ("bytes",), {"rows": 1, "source": "memory"}, "one transfer to the TCDM"
        ),
    },
    "tcdm": {
        "lora": Question(
            _tcdm_lora,
            ("in", "out", "rank", "tokens"),
            {"element_bytes": 2},
            "what an adapter and a batch take, single-buffered",
        ),
    },
    "offload": {
        "program_engine": Question(
            _offload_program, (), {"registers": 0}, "programming the engine for one job"
        ),
    },
    "tile": {
        "mvm": Question(_tile_mvm, ("in", "out"), {"tokens": 1}, "MVMs of a layer on its tiles"),
    },
    "link": {
        "transfer": Question(_link_transfer, ("bytes",), {}, "one transfer over the link"),
    },
    "energy": {
        "lora": Question(
            _energy_lora,
            ("in", "out", "rank", "tokens"),
            {},
            "what an adapter draws beside the MVMs that it adapts",
        ),
    },
    "cluster": {
        "lora": Question(
            _cluster_lora,
            ("in", "out", "rank", "tokens"),
            {},
            "an adapter on cores, engine (direct, swapped) or both",
        ),
        "lora_stream": Question(
            _cluster_lora_stream,
            ("in", "out", "rank", "tokens", "tile"),
            {"unit": "cores", "order": "direct", "y_buffers": 2},
            "an adapter streamed through the TCDM in tiles of rows, with its transfers",
        ),
    },
}
"""Component -> operation -> question."""
