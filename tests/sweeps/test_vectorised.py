"""Arrays of design points give the integers that single runs on the event engine give."""

from functools import cache

import numpy as np
import pytest
from hybridsim.sweeps._pipelines import CALM
from hybridsim.sweeps.vectorised import PATHS, can_vectorise, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim import AllAnalog, LayerSerial, Machine, Network, TokenParallel, simulate
from hybridsim.errors import InputError
from hybridsim.library import machine_names
from hybridsim.specs import validate
from hybridsim.sweeps import vectorised

WAYS = [("matrix_engine", "direct"), ("matrix_engine", "swapped"), ("cores", "direct"),
        ("both", "direct")]  # fmt: skip


@cache
def loaded(machine: str) -> tuple[Network, Machine]:
    return hybridsim.load("layer_512x128", machine, {"tile.count": "as_needed"})


def layer(inner: int, outer: int, rank: int) -> Network:
    op = {"name": "linear", "kind": "linear", "in_features": inner, "out_features": outer}
    text = {
        "name": "layer",
        "source": "this test",
        "sequence_length": 1,
        "ops": [op],
        "adapters": {"rank": rank},
    }
    return validate(Network, text, "layer")


def changed(machine: Machine, values: dict[str, int]) -> Machine:
    """Replace integers at dotted paths of a machine by way of its text, as a user would."""
    own = {p: v for p, v in values.items() if p.startswith(("tile.", "cluster.", "link."))}
    raw = machine.to_text()
    for path, value in own.items():
        place, parts = raw, path.split(".")
        for part in parts[:-1]:
            place = place[part]
        place[parts[-1]] = _text(path, value)
    return validate(Machine, raw, machine.name)


def _text(path: str, value: int) -> str | int:
    units = {
        "integration_time": "ps",
        "frequency": "Hz",
        "size": "B",
        "bytes_per_cycle": "B/cycle",
        "width": "B/cycle",
        "latency": "cycles",
    }
    unit = units.get(path.rsplit(".", 1)[1])
    return f"{value} {unit}" if unit else value


def single(machine: Machine, values: dict[str, int], unit: str, order: str) -> tuple[int, ...]:
    """Run one point on the event engine: the columns of the vectorised path."""
    try:
        net = layer(
            values["layer.in_features"], values["layer.out_features"], values["adapters.rank"]
        )
        strategy = TokenParallel(
            batch=values["strategy.batch"], buffers=values["strategy.buffers"],
            unit=unit, order=order,
        )  # fmt: skip
        result = simulate(net, changed(machine, values), strategy, values["tokens"])
    except InputError:
        return (0, 0, 0, 0, 0, False)
    of_layer = result.layers[0]
    return (
        result.latency_ps, result.yardstick_ps, result.tcdm_bytes, of_layer.buffers,
        of_layer.batch, True,
    )  # fmt: skip


AXES = {
    "tile.integration_time": st.integers(1, 600_000) | st.sampled_from([128_000, 256_000]),
    "tile.output_buffers": st.sampled_from([1, 2, 2, 2, 3]),
    "cluster.clock.frequency": st.sampled_from([333_000_000, 500_000_000, 10**9]),
    "cluster.dma.bytes_per_cycle": st.sampled_from([1, 8, 64]),
    "cluster.tcdm.size": st.sampled_from([32, 64, 128, 512]).map(lambda k: k * 1024),
    "cluster.matrix_engine.array_width": st.sampled_from([4, 8, 12]),
    "cluster.cores.count": st.sampled_from([1, 4, 8]),
    "link.width": st.sampled_from([1, 16, 64]),
    "link.latency": st.sampled_from([0, 50]),
    "strategy.batch": st.integers(1, 70),
    "strategy.buffers": st.sampled_from([1, 2, 2, 2, 3]),
    "adapters.rank": st.sampled_from([1, 4, 8, 16]) | st.integers(1, 140),
    "tokens": st.integers(1, 400),
    "layer.in_features": st.sampled_from([16, 128, 512, 600]),
    "layer.out_features": st.sampled_from([2, 128, 384, 512]),
}


@pytest.mark.parametrize("name", machine_names())
@pytest.mark.parametrize(("unit", "order"), WAYS)
@given(points=st.lists(st.fixed_dictionaries(AXES), min_size=1, max_size=12))
@settings(max_examples=12)
def test_random_points_equal_single_runs(
    name: str, unit: str, order: str, points: list[dict[str, int]]
) -> None:
    network, machine = loaded(name)
    columns = {path: np.array([p[path] for p in points], np.int64) for path in AXES}
    found = evaluate(columns, network, machine, TokenParallel(batch=8, unit=unit, order=order), 9)
    for i, point in enumerate(points):
        row = tuple(found[c][i] for c in (
            "latency_ps", "yardstick_ps", "tcdm_bytes", "buffers", "batch", "fits"))  # fmt: skip
        assert row == single(machine, point, unit, order), point
        assert (found["status"][i] == 0) == row[-1]


@pytest.mark.parametrize("unit", ["matrix_engine", "cores"])
def test_the_closed_form_equals_the_executed_pipeline(unit: str, monkeypatch) -> None:
    """A grid across the balance of tiles and cluster; with the closed form off nothing changes."""
    network, machine = loaded("ahwa_lora_2026")
    times, batches = [64_000, 128_000, 256_000, 2_000_000], [1, 4, 8, 16]
    axes = np.meshgrid(times, batches, [96, 100, 128], [8, 64], [1, 2])
    paths = (
        "tile.integration_time",
        "strategy.batch",
        "tokens",
        "cluster.dma.bytes_per_cycle",
        "strategy.buffers",
    )
    columns = dict(zip(paths, (axis.ravel() for axis in axes), strict=True))
    strategy = TokenParallel(batch=8, unit=unit)
    found = evaluate(columns, network, machine, strategy, 1)
    job = vectorised._tables(network, machine, strategy.choices[0], 2)
    assert job is not None
    assert [table.calm for table in job] == [1, 2]
    monkeypatch.setattr(vectorised, "CALM", ())
    without = evaluate(columns, network, machine, strategy, 1)
    for name, column in found.items():
        np.testing.assert_array_equal(column, without[name])


def test_both_calm_forms_are_those_of_the_scheduler() -> None:
    network, machine = loaded("ahwa_lora_2026")
    found = set()
    for unit in ("matrix_engine", "cores"):
        tables = vectorised._tables(network, machine, TokenParallel(unit=unit).choices[0], 2)
        assert tables is not None
        found.add(tuple(tables[1].server.tolist()))
    assert found == {form.server for form in CALM}


def test_a_point_without_columns_is_the_network_itself() -> None:
    network, machine = loaded("ahwa_lora_2026")
    found = evaluate({}, network, machine, TokenParallel(batch=8), 128)
    result = simulate(network, machine, TokenParallel(batch=8), 128)
    assert found["latency_ps"].tolist() == [result.latency_ps]
    assert found["fits"].tolist() == [True]


def test_what_cannot_be_vectorised_says_why() -> None:
    network, machine = loaded("ahwa_lora_2026")
    bert, _ = hybridsim.load("bert_base", "ahwa_lora_2026")
    good = TokenParallel(batch=8)
    for point, reason in (
        ((network, machine, LayerSerial(batch=8), 1), "layer_serial"),
        ((network, machine, AllAnalog(), 1), "all_analog"),
        ((network, machine, TokenParallel(), 1), "strategy.batch"),
        ((network, machine, TokenParallel(batch=8, unit="best"), 1), "strategy.unit"),
        ((bert, machine, good, 1), "single adapted layer"),
        ((network.without_adapters(), machine, good, 1), "single adapted layer"),
        ((layer(16, 600, 8), machine, good, 1), "wider than a tile"),
        ((network, machine, TokenParallel(batch=8, buffers=9), 1), "9 buffers"),
    ):
        assert reason in can_vectorise(point)
    assert can_vectorise((network, machine, good, 1)) == ""
    with pytest.raises(InputError, match=r"tile\.nonsense cannot be vectorised"):
        evaluate({"tile.nonsense": np.array([1])}, network, machine, good, 1)
    with pytest.raises(InputError, match="single adapted layer"):
        evaluate({}, bert, machine, good, 1)


def test_paths_are_those_of_the_machine_file() -> None:
    assert {"tile.integration_time", "cluster.clock.frequency", "tile.count", "link.width",
            "cluster.matrix_engine.array_height", "tokens", "adapters.rank"} <= PATHS  # fmt: skip
    assert "tile.sharing" not in PATHS
    assert "cluster.cores.ssr" not in PATHS
