"""Kernel costs as data: rows are exact, lines serve the rest, text and numbers agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.components.kernel_costs import (
    AttentionCosts,
    KernelCosts,
    PieceCosts,
    millicycles_to_ps,
)
from hybridsim.errors import SpecError
from hybridsim.units import Clock

PIECES = {
    "row_step": 8,
    "known": [{"rows": 16, "features": 100, "cost": "1234.5 cycles"}],
    "fixed": "100 cycles",
    "per_element": "2.5 cycles",
    "single_step": "4 cycles",
    "most": "5000 cycles",
}
ATTENTION = {
    "row_step": 8,
    "known": [
        {"rows": 8, "keys": 128, "head_dim": 32, "whole": "4000 cycles", "gemm": "1000.5 cycles"},
        {"rows": 16, "keys": 128, "head_dim": 32, "whole": "7000 cycles"},
    ],
    "gemm_fixed": "200 cycles",
    "gemm_rate": "32 MAC/cycle",
    "fixed": "1000 cycles",
    "rate": "32 MAC/cycle",
    "per_score": "4 cycles",
}


def test_a_piece_by_row_by_line_and_at_most() -> None:
    costs = PieceCosts.model_validate(PIECES)
    assert costs.of(16, 100) == costs.of(9, 100) == 1_234_500
    assert costs.of(8, 100) == costs.of(1, 100) == 1000 * (100 + 4 * 100)
    assert costs.of(32, 10) == 1000 * 100 + 2500 * 4 * 10
    assert costs.of(10_000, 1000) == 5_000_000


def test_attention_by_row_and_by_line() -> None:
    costs = AttentionCosts.model_validate(ATTENTION)
    assert costs.of(5, 128, 32) == (1_000_500, 4_000_000 - 2 * 1_000_500)
    gemm = 1000 * (200 + 16 * 128 * 32 // 32)
    assert costs.of(16, 128, 32) == (gemm, 7_000_000 - 2 * gemm)
    macs = 24 * 64 * 32
    whole = 1000 * (1000 + 2 * macs // 32 + 4 * 3 * 64)
    gemm = 1000 * (200 + macs // 32)
    assert costs.of(24, 64, 32) == (gemm, whole - 2 * gemm)


@given(cost=st.integers(0, 10**9))
def test_thousandths_read_back(cost: int) -> None:
    text = PieceCosts.model_validate(PIECES | {"fixed": f"{cost // 1000}.{cost % 1000:03} cycles"})
    assert text.fixed == cost
    assert PieceCosts.model_validate(text.to_text()) == text


def test_a_time_is_rounded_up_once() -> None:
    assert millicycles_to_ps(Clock(frequency="500 MHz"), 1_234_500) == 2_469_000  # type: ignore[arg-type]
    assert millicycles_to_ps(Clock(frequency="1 GHz"), 1) == 1  # type: ignore[arg-type]
    assert millicycles_to_ps(Clock(frequency="3 GHz"), 1) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["12", "12.3456 cycles", "-1 cycles", "1 cycle/s", 12, None])
def test_a_cost_is_a_number_and_a_unit(text: object) -> None:
    path = "cluster.kernel_costs.norm.fixed"
    with pytest.raises(SpecError, match=r"kernel_costs\.norm\.fixed: found"):
        hybridsim.load_machine("harp_2026", {path: text})


def test_the_machine_reads_back() -> None:
    machine = hybridsim.load_machine("harp_2026")
    assert machine.cluster is not None
    costs = machine.cluster.kernel_costs
    assert costs is not None
    assert KernelCosts.model_validate(costs.to_text()) == costs
    assert hybridsim.Machine.model_validate(machine.to_text()) == machine


def test_the_softmax_does_not_depend_on_the_head() -> None:
    """The split into products and softmax was inferred for each head size on its own."""
    cluster = hybridsim.load_machine("harp_2026").cluster
    assert cluster is not None
    assert cluster.kernel_costs is not None
    softmax = [cluster.kernel_costs.attention.of(8, 128, dim)[1] for dim in (32, 64)]
    assert softmax[0] == pytest.approx(softmax[1], rel=0.001)


def test_rows_of_data_have_their_own_source() -> None:
    """A list ends where the next key stands; the comment there is not that of the list."""
    sources = hybridsim.arch.machine_sources("harp_2026")
    for part in ("attention", "norm", "activation"):
        assert sources[f"cluster.kernel_costs.{part}.known"].startswith("inferred")
        assert "row by row" in sources[f"cluster.kernel_costs.{part}.known"]
    assert sources["free_ops"].startswith("what HARP's graphs do not have")
