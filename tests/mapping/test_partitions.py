"""Networks larger than the chip: layers that share tiles in time, and what writing costs them."""

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.engines import engine as engine_by_name
from hybridsim.engines import execute as carried
from hybridsim.errors import CapacityError, SpecError
from hybridsim.mapping import Mapping, place
from hybridsim.mapping.copies import crossbars_for
from hybridsim.mapping.partitions import partitions
from hybridsim.specs import validate
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.blocks import Blocks
from hybridsim.sweeps.whole_runs import WholeRuns
from hybridsim.units import ceil_div
from hybridsim.work import price
from hybridsim.workload import Network
from tests.sampling import every
from tests.sweeps.random_studies import NETWORKS, inputs_of

ROW_PS, DEVICE_AJ, DEVICES = 30 * 10**6, 600 * 10**6, 2
"""A row and a device of ahwa_lora_2026, and the devices of a weight."""


def run(tiles: int | str, strategy: str = "token_parallel", **rules: object) -> Any:
    changed = {f"mapping.{name}": value for name, value in rules.items()}
    given = hybridsim.load("minilm_l6", "ahwa_lora_2026", {"tile.count": tiles} | changed)
    return hybridsim.simulation.execute(*given, make_strategy(strategy), tokens=16)


# ---- which partitions


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(9, 20))
def test_partitions_are_as_few_as_can_be_and_the_largest_as_small(
    needs: list[int], room: int
) -> None:
    found = partitions(needs, room)
    assert found == sorted(found)
    assert set(found) == set(range(found[-1] + 1))

    def largest(cuts: tuple[int, ...]) -> int:
        ends = (0, *cuts, len(needs))
        return max(sum(needs[a:b]) for a, b in pairwise(ends))

    ours = tuple(i for i in range(1, len(needs)) if found[i] != found[i - 1])
    assert largest(ours) <= room
    for count in range(len(ours) + 1):
        for cuts in combinations(range(1, len(needs)), count):
            if largest(cuts) <= room:
                assert count == len(ours)
                assert largest(cuts) >= largest(ours)


def test_no_two_layers_of_a_partition_share_a_crossbar() -> None:
    mapping = run(25).job.mapping
    assert mapping.crossbars <= 25
    used: list[int] = []
    for layer in mapping.layers:
        if layer.written is not None:
            used = []
        used += [block.crossbar for block in layer.blocks]
        assert len(used) == len(set(used))
    assert sum(layer.written is not None for layer in mapping.layers) == 3  # 60 crossbars on 25


def test_a_network_that_fits_is_as_if_nothing_was_said() -> None:
    assert run(60, overflow="share", sequences=9).result.latency_ps == run(60).result.latency_ps
    assert not run(60).job.mapping.notes


# ---- what it costs


def test_a_tile_is_written_row_by_row_as_high_as_its_highest_layer() -> None:
    """Layers of 128 rows by 512 columns: two partitions, each of 128 rows, not of 512."""
    ops = [
        {"kind": "linear", "name": name, "inputs": [], "in_features": 128, "out_features": 512}
        for name in ("a", "b")
    ]
    given = {"name": "wide", "source": "made up", "sequence_length": 8, "ops": ops}
    network = validate(Network, given, "this test")
    taken = []
    for tiles in (1, 2):
        rules = {"tile.count": tiles, "tile.tiers": 1, "mapping.overflow": "share"}
        machine = hybridsim.load_machine("ahwa_lora_2026", rules)
        taken.append(hybridsim.simulate(network, machine).latency_ps)
    assert taken[0] - taken[1] == 2 * 128 * ROW_PS


@pytest.mark.parametrize("sequences", [1, 7, 1000])
def test_a_sequence_bears_its_share_of_all_rows_written(sequences: int) -> None:
    """Three partitions of 384 or 512 rows, one after the other, all tiles at the same time."""
    shared, fitting = run(25, sequences=sequences), run(60)
    writing = 3 * ceil_div(512 * ROW_PS, sequences)
    assert shared.result.latency_ps == fitting.result.latency_ps + writing
    energy = shared.result.energy.component_aj
    weights = shared.job.mapping.network.weights_on_tiles
    drawn = weights * DEVICES * DEVICE_AJ / sequences
    assert energy.pop("programming") == pytest.approx(drawn, abs=3)
    assert energy == fitting.result.energy.component_aj


@pytest.mark.parametrize(
    "strategy", every(2, ["all_analog", "auto", "cross_layer", "xb_pipe", "il_par"])
)
def test_more_sequences_are_never_slower_and_no_sequence_faster_than_without(
    strategy: str,
) -> None:
    latency = [run(25, strategy, sequences=n).result.latency_ps for n in (1, 10, 100)]
    assert latency == sorted(latency, reverse=True)
    assert latency[-1] > run(60, strategy).result.latency_ps


@pytest.mark.parametrize(
    "strategy", every(2, ["token_parallel", "cross_layer", "xb_pipe", "network"])
)
def test_tiles_are_written_after_all_before_and_before_all_after(strategy: str) -> None:
    done = run(25, strategy)
    plan, timeline = done.schedule.plan, done.timeline
    writes = np.flatnonzero(plan.which(lambda work: work.kind == "write"))
    mvms = np.flatnonzero(plan.which(lambda work: work.kind == "mvm"))
    partition, of = -1, {}
    for layer in done.job.mapping.layers:
        partition += layer.written is not None
        of[layer.name] = partition
    assert len(writes) == partition + 1
    for number, write in enumerate(writes.tolist()):
        for task in mvms.tolist():
            own = of[plan.ops[plan.op[task]]]
            if own == number:
                assert set(plan.uses_of(task)) <= set(plan.uses_of(write))
            if own >= number:
                assert timeline.start[task] >= timeline.end[write]
            else:
                assert timeline.end[task] <= timeline.start[write]
    slow = carried(done.schedule.plan, done.prices.time_ps, "online", engine_by_name("reference"))[
        1
    ]
    assert slow.makespan == timeline.makespan


def test_weights_come_from_the_external_memory_and_activations_go_there() -> None:
    """At 1 MB/s the weights take longer than the rows: 8 bits each, as assumed."""
    memory = {"sram": None, "dram": {"bandwidth": "1 MB/s"}, "activation_width": "8 bit"}
    given = hybridsim.load("minilm_l6", "ahwa_lora_2026", {"tile.count": 25, "memory": memory})
    mapping = place(*given)
    written = [layer.written for layer in mapping.layers if layer.written]
    times = price([own.work() for own in written], mapping.machine).time_ps
    assert sum(times.tolist()) == mapping.network.weights_on_tiles * 10**6
    (kept,) = price([written[0].work(live_bytes=10)], mapping.machine).time_ps
    assert kept == times[0] + 20 * 10**6


@pytest.mark.parametrize("sequences", [1, 7])
def test_weights_and_what_is_kept_draw_from_the_external_memory_what_their_bytes_do(
    sequences: int,
) -> None:
    """8 bits a weight, shared by the sequences; what each keeps goes out and comes in again."""
    memory = {"sram": None, "dram": {"bandwidth": "10 GB/s"}, "activation_width": "8 bit"}
    energy = {"energy.dram": {"byte": "31 pJ/B"}, "mapping.sequences": sequences}
    rules = {"tile.count": 25, "memory": memory} | energy
    given = hybridsim.load("minilm_l6", "ahwa_lora_2026", rules)
    done = hybridsim.simulation.execute(*given, tokens=16)
    each = [done.schedule.plan.works[number] for number in done.schedule.plan.work]
    writes = [work for work in each if work.kind == "write"]
    kept = sum(work.shape[3] for work in writes)
    assert (kept > 0) == (sequences > 1)
    weights = done.job.mapping.network.weights_on_tiles
    drawn = done.result.energy.component_aj["dram"] / (31 * 10**6)
    assert drawn == pytest.approx(weights / sequences + 2 * kept, abs=len(writes))


@pytest.mark.parametrize("kind", ["token_parallel", "xb_pipe"])
def test_blocks_of_a_study_are_as_whole_runs(kind: str) -> None:
    study = inputs_of(
        NETWORKS["small_bert"], "one", {"kind": kind},
        {
            "tile.count": [3, "as_needed"], "mapping.sequences": [50],
            "tile.integration_time": ["64 ns", "300 ns"],
        },
        12, ["latency_ps", "yardstick_ps", "tiles", "energy_pj"],
    )  # fmt: skip
    every = np.arange(len(study))
    found, expected = Blocks(study).evaluate(every), WholeRuns(study).evaluate(every)
    for name in ("latency_ps", "yardstick_ps", "tiles", "energy_pj", "problem"):
        assert list(found[name]) == list(expected[name])


# ---- what clusters compute instead


def test_clusters_compute_as_many_layers_as_there_is_no_room_for() -> None:
    """The last ones of the network, where a crossbar saves as much in all of them."""
    shared, digital = run(50, "network"), run(50, "network", overflow="digital")
    mapping = digital.job.mapping
    left = [layer.name for layer in mapping.layers if not layer.tiles]
    assert mapping.crossbars <= 50
    assert mapping.crossbars + sum(_crossbars(mapping, name) for name in left) == 60
    without = [own for own in left if mapping.crossbars + _crossbars(mapping, own) <= 50]
    assert not without  # none of them would fit as well
    assert not any(layer.written for layer in mapping.layers)
    assert shared.job.mapping.shares_in_time
    assert digital.result.energy.component_aj["tile"] < shared.result.energy.component_aj["tile"]
    (note,) = mapping.notes
    assert f"clusters compute {len(left)} of 36 layers" in note


def _crossbars(mapping: Mapping, name: str) -> int:
    return crossbars_for(mapping.machine.tile, mapping.network.op(name))


def test_any_way_shares_where_writing_is_known_and_is_digital_otherwise() -> None:
    given = {"tile.count": 50, "tile.programming": None}
    mapping = place(*hybridsim.load("minilm_l6", "ahwa_lora_2026", given))
    assert any(not layer.tiles for layer in mapping.layers)
    assert run(50).job.mapping.shares_in_time


# ---- what is said


def test_the_choice_is_printed() -> None:
    (note,) = run(25, sequences=7).job.mapping.notes
    assert "60 crossbars on 25, so layers share tiles in time; 3 times" in note
    assert "46.1 ms in all by tile.programming, once for 7 sequences" in note


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ({"mapping.overflow": "refuse"}, "needs 60 crossbars .* has 25 .* 35 are missing"),
        ({"tile.programming": None, "mapping.overflow": "share"}, "nothing is known of writing"),
        ({"tile.count": 2}, "intermediate: needs 3 crossbars .* has 2, .* mapping.overflow"),
        ({"mapping.copies": 2}, "has 25 .*or fewer mapping.copies"),
        ({"cluster": None, "mapping.overflow": "digital"}, "is no cluster; .*overflow=share"),
        ({"mapping.sequences": 0}, "mapping.sequences: "),
        ({"mapping.overflow": "both"}, "mapping.overflow: "),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(rules: dict[str, object], match: str) -> None:
    with pytest.raises((CapacityError, SpecError), match=match):
        place(*hybridsim.load("minilm_l6", "ahwa_lora_2026", {"tile.count": 25} | rules))
