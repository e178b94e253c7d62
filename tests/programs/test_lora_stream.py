"""An adapter streamed through the scratchpad: laws of its plan, and its measured rows."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybridsim.arch import Cluster, load_machine
from hybridsim.components.cycle_table import CORES_COLUMNS
from hybridsim.cost import stream_cycles
from hybridsim.csv_files import read_table
from hybridsim.engines import Engine
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.library import MACHINES
from hybridsim.plan import Plan
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram
from hybridsim.programs.lora_stream import MEASURED_KERNELS, ON_CORES, LoraStream
from tests.carried_out import carried_out, durations

PS = 2000
"""A cycle at 500 MHz [ps]."""


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    found = load_machine("ahwa_lora_2026").cluster
    assert found is not None
    return found


def roomy(cluster: Cluster) -> Cluster:
    tcdm = cluster.tcdm.model_copy(update={"size": 2**24})
    return cluster.model_copy(update={"tcdm": tcdm})


streams = st.builds(
    dict,
    in_features=st.sampled_from([16, 64, 128, 512]),
    out_features=st.sampled_from([16, 64, 128, 512]),
    rank=st.sampled_from([8, 16]),
    tokens=st.integers(1, 100),
    tile=st.integers(1, 40),
    choice=st.sampled_from(CHOICES),
    y_buffers=st.sampled_from([1, 2]),
)


def labels(plan: Plan) -> list[str]:
    return [plan.labels[i] for i in plan.label]


def test_the_measured_programs_are_met(cluster: Cluster, engine: Engine) -> None:
    """All rows of snitch_kernels.csv within 2 %: loads, tiles, conflicts, last store."""
    table = read_table(MACHINES / "ahwa_lora_2026/cycles/snitch_kernels.csv")
    table.require(CORES_COLUMNS)
    errors = []
    for row in table.rows:
        if not row.cells["kernel"].startswith("lora_"):
            continue
        tile = int(re.findall(r"tile (\d+) rows", row.cells["kernel"])[0])
        tokens, into, out, rank = map(int, re.findall(r"\d+", row.cells["shape"]))
        stream = LoraStream(
            cluster.model_copy(update={"precision": row.cells["precision"]}),
            *(into, out, rank, tokens, tile),
            y_buffers=1 if "single" in row.cells["kernel"] else 2,
            kernels=MEASURED_KERNELS,
        )
        cycles = carried_out(stream.plan(), stream.cluster, engine).makespan / PS
        errors.append(100 * (cycles / row.whole("cycles") - 1))
    assert len(errors) == 12
    assert np.abs(errors).max() <= 2
    assert abs(np.mean(errors)) <= 0.5


def test_one_tile_is_a_chain(cluster: Cluster) -> None:
    """Nothing overlaps: A, then B and X behind it, 30 cycles, both kernels, store."""
    stream = LoraStream(cluster, 128, 128, 8, 8, 8, kernels=MEASURED_KERNELS)
    kernels = sum(cycles for _, cycles in stream.tile_kernels(8))
    dma = cluster.dma
    load = dma.transfer_cycles(128 * 8 * 2) + dma.beats(8 * 128 * 2) + dma.beats(8 * 128 * 2)
    store = dma.transfer_cycles(2048, source="tcdm")
    assert stream_cycles(stream) == load + 30 + kernels + store


@given(shape=streams)
@settings(max_examples=60)
@example(
    shape={
        "in_features": 16,
        "out_features": 16,
        "rank": 8,
        "tokens": 1,
        "tile": 40,
        "choice": CHOICES[3],
        "y_buffers": 1,
    }
)
def test_a_stream_takes_at_least_its_kernels_and_its_beats(
    cluster: Cluster, shape: dict[str, int]
) -> None:
    stream = LoraStream(roomy(cluster), **shape)  # type: ignore[arg-type]
    cycles = stream_cycles(stream)
    rows = [stream.tile] * (stream.tiles - 1)
    rows.append(stream.tokens - stream.tile * (stream.tiles - 1))
    by_unit: dict[str, int] = {}
    for count in rows:
        for kernel, own in stream.tile_kernels(count):
            by_unit[kernel.unit] = by_unit.get(kernel.unit, 0) + own
    beats = 2 * stream.tokens * (stream.in_features + 2 * stream.out_features) // 64
    assert cycles >= max(*by_unit.values(), by_unit.get("dma", 0) + beats)
    # and never more than one thing after the other, with the conflicts that the beats bring
    assert cycles <= durations(stream.plan(), stream.cluster).sum() // PS


@given(shape=streams)
@settings(max_examples=40)
def test_engines_agree_on_streams(cluster: Cluster, shape: dict[str, int]) -> None:
    stream = LoraStream(roomy(cluster), **shape)  # type: ignore[arg-type]
    assert stream_cycles(stream, "compiled") == stream_cycles(stream, "reference")


@given(shape=streams)
@settings(max_examples=40)
def test_a_second_output_buffer_never_hurts(cluster: Cluster, shape: dict[str, int]) -> None:
    """Beyond what the beats beside the cores cost, which a single buffer keeps apart."""
    one = LoraStream(roomy(cluster), **(shape | {"y_buffers": 1}))  # type: ignore[arg-type]
    two = LoraStream(roomy(cluster), **(shape | {"y_buffers": 2}))  # type: ignore[arg-type]
    beats = 2 * 2 * two.tokens * two.out_features // 64 + 2 * two.tiles
    assert stream_cycles(two) <= stream_cycles(one) + beats


def test_stores_hide_behind_the_next_tile(cluster: Cluster, engine: Engine) -> None:
    double = LoraStream(cluster, 512, 128, 8, 128, 16, kernels=MEASURED_KERNELS)
    timeline = carried_out(double.plan(), double.cluster, engine)
    names = np.array(labels(double.plan()))
    compute = names == "xa"
    store = names == "store z"
    assert (timeline.end[store][:-1] <= timeline.end[compute][1:]).all()
    single = replace(double, y_buffers=1)
    timeline = carried_out(single.plan(), single.cluster, engine)
    names = np.array(labels(single.plan()))
    assert (timeline.start[names == "xa"][1:] >= timeline.end[names == "store z"][:-1]).all()


def test_tiles_do_not_overlap_on_the_units(cluster: Cluster, engine: Engine) -> None:
    """A tile begins at a barrier: after the last kernel of the tile before, on both units."""
    stream = LoraStream(cluster, 512, 128, 8, 120, 16, CHOICES[3])
    timeline = carried_out(stream.plan(), stream.cluster, engine)
    names = np.array(labels(stream.plan()))
    first = timeline.start[names == "xa"].reshape(-1, 2).min(axis=1)
    last = timeline.end[np.isin(names, ["ub+y", "add y"])].reshape(-1, 2).max(axis=1)
    assert (first[1:] >= last[:-1]).all()


def test_both_units_together_beat_either_alone(cluster: Cluster) -> None:
    shape = (512, 128, 8, 128, 32)
    wide = roomy(cluster)
    cycles = [stream_cycles(LoraStream(wide, *shape, choice)) for choice in CHOICES]
    assert cycles[3] < min(cycles[:3])


def test_both_units_split_every_tile_as_the_program_does(cluster: Cluster) -> None:
    stream = LoraStream(cluster, 512, 128, 8, 128, 32, CHOICES[3])
    program = LoraProgram(512, 128, 8, 32, CHOICES[3]).on(cluster)
    kernels = stream.tile_kernels(32)
    assert tuple(kernel for kernel, _ in kernels) == program.kernels
    plan = stream.plan()
    lasted = durations(plan, cluster)[np.array(labels(plan)) == "ub+y"]
    laid_out = {int(each) // PS for each in lasted}
    assert laid_out == {cycles for kernel, cycles in kernels if kernel.work.label == "ub+y"}


def test_every_job_of_the_engine_is_programmed(cluster: Cluster) -> None:
    """Twice the registers cost twice for each of the two products of each tile."""
    offload = cluster.offload.model_copy(update={"engine_registers": 20})
    slower = cluster.model_copy(update={"offload": offload})
    extra = offload.program_engine_cycles() - cluster.offload.program_engine_cycles()
    shape = (512, 128, 8, 64, 16, CHOICES[0])
    assert extra > 0
    assert (
        stream_cycles(LoraStream(slower, *shape)) - stream_cycles(LoraStream(cluster, *shape))
        == 2 * 4 * extra
    )


def test_conflicts_with_the_dma_slow_the_cores(cluster: Cluster) -> None:
    """A beat takes 8 of 32 banks: of 5 cycles with beats, a stream of words loses one."""
    stream = LoraStream(cluster, 512, 128, 8, 48, 16, kernels=MEASURED_KERNELS)
    plan = stream.plan()
    lasted = durations(plan, cluster)[np.array(labels(plan)) == "xa"] // PS
    free = stream.tile_kernels(16)[0][1]
    x, z = 16 * 512 * 2 // 64, 16 * 128 * 2 // 64
    assert (lasted - free - 30).tolist() == [x // 5, (x + z) // 5, z // 5]


def test_what_does_not_fit_is_refused(cluster: Cluster) -> None:
    fits = LoraStream(cluster, 512, 128, 8, 128, 32)
    assert fits.tcdm_bytes <= cluster.tcdm.size
    fits.plan()
    with pytest.raises(CapacityError, match="lower the tile"):
        LoraStream(cluster, 512, 128, 8, 128, 64).plan()


def test_memory_counts_every_buffer(cluster: Cluster) -> None:
    stream = LoraStream(cluster, 512, 128, 8, 128, 16)
    assert stream.tcdm_bytes == 2 * (8 * 640 + 2 * 16 * 512 + 2 * 16 * 8 + 2 * 16 * 128)
    engine = LoraStream(cluster, 512, 128, 8, 128, 12, CHOICES[0])
    assert engine.tcdm_bytes == 2 * (8 * 640 + 2 * 12 * 512 + 2 * 16 * 8 + 2 * 16 * 128)
    short = LoraStream(cluster, 512, 128, 8, 4, 16)
    assert short.tcdm_bytes == 2 * (8 * 640 + 2 * 4 * 512 + 2 * 4 * 8 + 2 * 4 * 128)


@pytest.mark.parametrize("name", ["in_features", "out_features", "rank", "tokens", "tile"])
def test_sizes_are_one_or_more(cluster: Cluster, name: str) -> None:
    shape = dict.fromkeys(("in_features", "out_features", "rank", "tokens", "tile"), 8)
    with pytest.raises(InputError, match=f"{name}: found 0"):
        LoraStream(cluster, **(shape | {name: 0}))


def test_wrong_choices_are_refused(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="y_buffers: found 3"):
        LoraStream(cluster, 8, 8, 8, 8, 8, y_buffers=3)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="choose unit=cores"):
        LoraStream(cluster, 8, 8, 8, 8, 8, CHOICES[0], kernels=MEASURED_KERNELS)
    bare = cluster.model_copy(update={"matrix_engine": None})
    with pytest.raises(UnsupportedError, match="no matrix engine"):
        LoraStream(bare, 8, 8, 8, 8, 8, LoraChoice(unit="matrix_engine", order="direct")).plan()
    LoraStream(bare, 8, 8, 8, 8, 8, ON_CORES).plan()
