"""The vectorised path of a sweep says what the event engine says, problems included."""

from typing import Any

import numpy as np
import pytest
from hybridsim.sweeps.columnwise import vectorised_evaluator
from hybridsim.sweeps.events import EventEvaluator

from hybridsim.sweeps.evaluate import make_evaluator

AXES: dict[str, Any] = {
    "network": ["layer_128x128", "layer_512x128"],
    "strategy.batch": {"from": 1, "to": 128, "factor": 2},
    "tile.integration_time": {"from": "64 ns", "to": "576 ns", "step": "64 ns"},
    "strategy.buffers": [1, 2],
    "cluster.tcdm.size": ["32 KiB", "128 KiB"],
    "tokens": [16, 100, 128],
}


def test_both_paths_say_the_same(studies) -> None:
    """With batches that do not fit one of the scratchpads."""
    inputs = studies.inputs(tokens=None, network=None, axes=AXES)
    fast = vectorised_evaluator(inputs)
    assert fast is not None
    chosen = np.random.default_rng(0).choice(len(inputs), 150, replace=False)
    found, expected = fast.evaluate(chosen), EventEvaluator(inputs).evaluate(chosen)
    assert len(set(expected["problem"])) > 1
    for name in (*inputs.columns, "problem"):
        assert list(found[name]) == list(expected[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": ["latency_ps", "bound"]},
        {"axes": {"strategy": ["token_parallel", "layer_serial"]}},
        {"axes": {"strategy.unit": ["matrix_engine", "best"]}},
        {"axes": {"strategy.batch": [None, 8]}},
        {"network": "minilm_l6"},
    ],
)
def test_what_is_no_regular_pipeline_goes_to_the_engine(studies, changes: dict[str, Any]) -> None:
    assert vectorised_evaluator(studies.inputs(**changes)) is None


def test_few_points_go_to_the_engine_and_many_are_vectorised(studies) -> None:
    many = {"strategy.batch": [8], "tokens": {"from": 1, "to": 2000, "step": 1}}
    inputs = studies.inputs(tokens=None, axes=many)
    assert isinstance(make_evaluator(studies.inputs(), "compiled"), EventEvaluator)
    assert not isinstance(make_evaluator(inputs, "compiled"), EventEvaluator)
    assert isinstance(make_evaluator(inputs, "reference"), EventEvaluator)
