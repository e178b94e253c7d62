"""A point on the steady-state path shows what a run on the event engine shows."""

import pytest

import hybridsim
from hybridsim import make_scheduler, simulate
from hybridsim.errors import InputError
from hybridsim.sweep.steady import evaluate_point


@pytest.mark.parametrize("scheduler", ["token_parallel", "layer_serial", "all_analog"])
@pytest.mark.parametrize("network", ["layer_128x128", "minilm_l6"])
def test_a_point_equals_a_run(network: str, scheduler: str) -> None:
    net, machine = hybridsim.load(network, "ahwa_lora_2026")
    strategy = make_scheduler(scheduler)
    found, result = (
        evaluate_point(net, machine, strategy, 200),
        simulate(net, machine, strategy, 200),
    )
    for name in ("latency_ps", "all_analog_ps", "tcdm_bytes", "tasks"):
        assert found[name] == getattr(result, name)
    for kind in ("tile", "dma", "matrix_engine"):
        own = [r.busy_ps * r.parts for r in result.resources if r.kind == kind]
        assert found[f"{kind}_busy_ps"] == sum(own)


@pytest.mark.parametrize("tokens", [0, 2**20 + 1])
def test_a_length_without_sense_is_refused(tokens: int) -> None:
    net, machine = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    with pytest.raises(InputError, match="tokens"):
        evaluate_point(net, machine, make_scheduler("token_parallel"), tokens)
