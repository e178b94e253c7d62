"""Norms, activations and sums on a cluster: by data, by model, and in parts that fit."""

from functools import lru_cache
from typing import Any

import pytest

import hybridsim
from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError
from hybridsim.programs.pieces import Piece
from hybridsim.workload import Activation, Add, Norm


@lru_cache
def cluster(machine: str, size: str = "128 KiB") -> Cluster:
    found = hybridsim.load_machine(machine, {"cluster.tcdm.size": size}).cluster
    assert found is not None
    return found


def norm(function: str = "layer_norm", features: int = 512) -> Norm:
    return Norm(name="n", inputs=("x",), function=function, features=features)  # type: ignore[arg-type]


def activation(function: str, features: int = 512) -> Activation:
    inputs = ("x", "y") if function in ("swiglu", "geglu") else ("x",)
    return Activation(name="a", inputs=inputs, function=function, features=features)  # type: ignore[arg-type]


def piece(op: Any, rows: int = 8) -> Piece:
    return Piece.of(op, rows, op.out_features)


def time_ps(machine: str, op: Any, rows: int = 8) -> int:
    return int(piece(op, rows).time_ps(cluster(machine)))


def cost_from(machine: str, op: Any) -> str:
    return piece(op).cost_from(cluster(machine))


def test_a_norm_costs_what_the_machine_says() -> None:
    """IL-Par of T5: 5.163 us for 8 vectors of 512."""
    assert cost_from("harp_2026", norm()) == "kernel_costs"
    assert time_ps("harp_2026", norm()) / 1e6 == pytest.approx(5.163, abs=0.0005)
    assert time_ps("harp_2026", norm("rms_norm")) == time_ps("harp_2026", norm())


def test_a_norm_costs_transfers_and_kernel_by_the_model() -> None:
    there = cluster("ahwa_lora_2026")
    size = 8 * 512 * 2
    cycles = (
        there.dma.transfer_cycles(size)
        + there.cores.layernorm_cycles(8, 512, "fp16")
        + there.dma.transfer_cycles(size, source="tcdm")
    )
    assert cost_from("ahwa_lora_2026", norm()) == "model"
    assert time_ps("ahwa_lora_2026", norm()) == there.to_ps(cycles)


@pytest.mark.parametrize("function", ["relu", "swiglu", "geglu"])
def test_what_is_not_in_the_data_is_served_by_the_model(function: str) -> None:
    assert cost_from("harp_2026", activation(function)) == "model"
    assert cost_from("harp_2026", activation("gelu")) == "kernel_costs"


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        (activation("relu"), activation("gelu")),
        (activation("silu"), activation("swiglu")),
        (activation("gelu"), activation("geglu")),
        (norm("no_norm"), norm("layer_norm")),
        (
            Add(name="s", inputs=("x", "y"), features=512),
            Add(name="s", inputs=("x", "y", "z"), features=512),
        ),
    ],
    ids=["relu", "swiglu", "geglu", "no_norm", "three"],
)
def test_more_work_takes_longer(cheaper: Any, dearer: Any) -> None:
    times = [time_ps("ahwa_lora_2026", op) for op in (cheaper, dearer)]
    assert times[0] < times[1]


def test_rows_are_halved_until_they_fit() -> None:
    """128 x 768 x 2 B do not fit 128 KiB, 64 x 768 do."""
    op = norm(features=768)
    assert piece(op, 128).parts(cluster("harp_2026")) == (2, 64, 768)
    assert time_ps("harp_2026", op, 128) == 2 * time_ps("harp_2026", op, 64)


def test_a_single_row_is_halved_by_columns_if_it_may() -> None:
    wide = Add(name="s", inputs=("x", "y"), features=4096)
    assert piece(wide, 1).parts(cluster("ahwa_lora_2026", "8 KiB")) == (2, 1, 2048)
    with pytest.raises(CapacityError, match=r"n: one vector of 4096 elements needs 8 KiB"):
        piece(norm(features=4096), 2).parts(cluster("ahwa_lora_2026", "4 KiB"), "n")
