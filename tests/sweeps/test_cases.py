"""Points of a case differ in columns alone, and go to workers side by side."""

from concurrent.futures import Future
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Machine
from hybridsim.sweeps import chunks, machines
from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.chunks import evaluate_all
from hybridsim.sweeps.evaluate import Done, work_on
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.layer_points import PATHS
from hybridsim.sweeps.left import Left, Listed
from hybridsim.units import Ints
from hybridsim.work import Work, mvm, price
from tests.sweeps.random_studies import MACHINES, MEASURED, axes, chains, inputs_of

AXES: dict[str, Any] = {
    "tile.integration_time": ["64 ns", "128 ns"],
    "network": ["layer_128x128", "layer_512x128"],
    "strategy.unit": ["matrix_engine", "cores"],
    "tokens": [16, 100, 128],
    "cluster.count": [1, 2],
    "strategy.batch": [4, 8],
}


def unlike(inputs: Inputs, index: int) -> str:
    """What of a point no column holds."""
    return repr({path: value for path, value in inputs.settings(index).items()
                 if path not in PATHS})  # fmt: skip


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_every_point_comes_once_and_those_of_a_case_together(data: st.DataObject) -> None:
    strategy = {"kind": "token_parallel"}
    inputs = inputs_of(
        data.draw(chains()), "one", strategy, data.draw(axes(strategy, [1, 7])), 9, MEASURED
    )
    cases, every = Cases(inputs), np.arange(len(inputs))
    ordered = cases.at(every)
    assert sorted(ordered.tolist()) == every.tolist()
    assert cases.places(ordered).tolist() == every.tolist()
    parts = ordered.reshape(-1, cases.size)
    names = [{unlike(inputs, index) for index in part.tolist()} for part in parts]
    assert all(len(own) == 1 for own in names)


def test_cases_that_differ_in_networks_follow_each_other(studies: Any) -> None:
    inputs = studies.inputs(tokens=None, network=None, axes=AXES)
    cases = Cases(inputs)
    assert cases.size == 12
    first = cases.at(np.arange(0, len(inputs), 12)).tolist()
    networks = [inputs.settings(index)["network"] for index in first]
    assert networks == 4 * AXES["network"]


@given(
    done=st.lists(st.booleans(), max_size=60),
    first=st.integers(0, 30),
    case=st.integers(1, 20),
    sizes=st.lists(st.integers(1, 25), min_size=1),
)
def test_stretches_that_are_left_are_taken_once_and_in_order(
    done: list[bool], first: int, case: int, sizes: list[int]
) -> None:
    left = Left(first, np.array(done, bool), (3 * case, case), lambda places: places)
    expected = [first + place for place, known in enumerate(done) if not known]
    taken: list[int] = []
    turns = cycle(sizes)
    while len(left):
        assert len(left) == len(expected) - len(taken)
        size = next(turns)
        some = left.take(size).tolist()
        assert 1 <= len(some) <= size
        taken += some
    assert taken == expected
    assert len(left.take(5)) == 0


class Counting:
    """An executor that evaluates nothing, and remembers what it was sent."""

    def __init__(self) -> None:
        self.chunks: list[list[int]] = []

    def submit(self, _: Any, __: Any, chunk: Ints) -> "Future[Done]":
        self.chunks.append(chunk.tolist())
        future: Future[Done] = Future()
        future.set_result(Done({}, 0.001 * len(chunk)))
        return future


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 90])
def test_chunks_hold_whole_cases_as_far_as_they_can(
    studies: Any, monkeypatch: pytest.MonkeyPatch, size: int, workers: int
) -> None:
    monkeypatch.setattr(chunks, "LEAST_SECONDS", 0.03)
    inputs = studies.inputs()
    begins = np.arange(0, 1000, size)
    sent, done = Counting(), []
    everything = np.arange(1000)[::-1]
    left = Left(0, np.zeros(1000, bool), (size,), lambda places: everything[places])
    assert evaluate_all(
        work_on(inputs), left, sent, workers,  # type: ignore[arg-type]
        lambda chunk, _: done.append(chunk), lambda: False,
    )  # fmt: skip
    assert np.concatenate(sent.chunks).tolist() == everything.tolist()
    assert sorted(np.concatenate(done).tolist()) == sorted(everything.tolist())
    ends = np.cumsum([len(chunk) for chunk in sent.chunks])[:-1]
    before = [0, *ends[:-1]]
    for begin, end in zip(before, ends.tolist(), strict=True):
        inside = begins[(begins > begin) & (begins <= end)]
        assert not len(inside) or end in begins


def test_points_without_cases_are_all_sent(studies: Any) -> None:
    sent = Counting()
    assert evaluate_all(
        work_on(studies.inputs()), Listed(np.arange(100)), sent, 1,  # type: ignore[arg-type]
        lambda *_: None, lambda: False,
    )  # fmt: skip
    assert [len(chunk) for chunk in sent.chunks][:2] == [1, 16]
    assert sum(map(len, sent.chunks)) == 100


# ---- columns of a machine, priced in groups of points that agree in what a part reads


WORKS = [
    mvm(((512, 128),), 8),
    Work("dma", "transfer", "load x", (4096,)),
    Work("cores", "gemm", "xa", (8, 512, 8, True, False)),
    Work("matrix_engine", "gemm", "xa", (8, 512, 8)),
    Work("link", "move", "move", (4096,)),
    Work("delay", "wait", "wait", (7,)),
]
COLUMNS = {
    "tile.integration_time": [64_000, 128_000, 500],
    "cluster.clock.frequency": [10**9, 333_333_333],
    "cluster.dma.bytes_per_cycle": [1, 64],
    "link.clock.frequency": [5 * 10**8, 77 * 10**6],
    "link.width": [1, 64],
    "link.latency": [0, 50],
}


def priceable(machine: Machine) -> list[Work]:
    found = []
    for work in WORKS:
        try:
            price([work], machine)
        except Exception:  # a kind that the part does not know
            continue
        found.append(work)
    return found


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_works_of_grouped_points_cost_what_they_cost_at_each(data: st.DataObject) -> None:
    machine, points = MACHINES["one"], data.draw(st.integers(1, 9))
    paths = data.draw(st.lists(st.sampled_from([*COLUMNS]), unique=True))
    columns = {path: np.array(data.draw(st.lists(st.sampled_from(COLUMNS[path]), min_size=points,
                                                 max_size=points)), np.int64)
               for path in paths}  # fmt: skip
    works = priceable(machine)
    assert len(works) > 3
    found = machines.prices(works, machine, columns, points)
    for point in range(points):
        one = machines.with_columns(
            machine, {path: int(column[point]) for path, column in columns.items()}
        )
        assert found[:, point].tolist() == price(works, one).time_ps.tolist()
