"""What is checked of the numbers of a run: each layer where it is computed, and the worst told."""

import pytest

import hybridsim
from hybridsim.kernels.check import AdapterShape, check_numerics
from hybridsim.kernels.split import CoreSplit, EngineSplit, Order
from hybridsim.measure.numerics import _summary, _ways, analog_noise_of


@pytest.mark.parametrize("order", ["direct", "swapped"])
@pytest.mark.parametrize(
    ("unit", "units"),
    [
        ("cores", [CoreSplit]),
        ("matrix_engine", [EngineSplit]),
        ("both", [EngineSplit, CoreSplit]),
    ],
)
def test_a_layer_is_checked_on_each_unit_that_computes_it(
    unit: str, units: list[type], order: str
) -> None:
    network, machine = hybridsim.load(
        "layer_128x128", "ahwa_lora_2026", {"cluster.x_layout": "feature_major"}
    )
    strategy = hybridsim.make_strategy("token_parallel", {"unit": unit, "order": order})
    run = hybridsim.simulation.execute(network, machine, strategy, tokens=8)
    (layer,) = run.schedule.layers
    assert machine.cluster is not None
    ways = _ways(layer, machine.cluster)
    assert [type(way.unit) for way in ways] == units
    assert {way.swapped for way in ways} == {order == "swapped"}
    # X A on the cores in fp16: two products a step into sums of fp32, but for A^T X^T
    orders = [way.unit.xa for way in ways if isinstance(way.unit, CoreSplit)]
    kernel = Order.SEQUENTIAL if order == "swapped" else Order.EXPANDING
    assert orders == [kernel] * (unit != "matrix_engine")


def test_the_worst_of_all_rows_is_told_with_its_layer() -> None:
    shapes = [AdapterShape("short", 8, 8, 2, 4), AdapterShape("long", 600, 8, 2, 4)]
    rows = check_numerics(shapes, "fp16", 0, unit=CoreSplit(8))
    errors = {row.name: row.worst_relative_error for row in rows}
    assert len({*errors.values()}) == 2
    for own in (rows, rows[::-1]):
        found = _summary(own)
        assert found.worst_relative_error == max(errors.values())
        assert found.worst_relative_error == errors[found.worst_layer]
        assert found.shapes == 2


def test_each_layer_has_a_row_of_noise_for_each_time() -> None:
    network, _ = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    rows = analog_noise_of(network, [1.0, 3600.0]).rows
    assert [(row.layer, row.seconds) for row in rows] == [("linear", 1.0), ("linear", 3600.0)]
