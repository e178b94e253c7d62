"""Attention inside one cluster: sums by hand, laws of overlap, and what does not fit."""

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError, InputError, UnsupportedError
from hybridsim.programs.attention import Attention
from hybridsim.programs.attention_plans import lay_out
from hybridsim.programs.attention_runs import attend
from tests.carried_out import assert_engines_agree, durations

MACHINES = ("harp_2026", "ahwa_lora_2026")
FORMS = ("sequential", "pipelined", "flash")


@lru_cache
def cluster(machine: str = "harp_2026", size: str = "128 KiB") -> Cluster:
    found = hybridsim.load_machine(machine, {"cluster.tcdm.size": size}).cluster
    assert found is not None
    return found


def attention(**changes: Any) -> Attention:
    usual = {"cluster": cluster(), "tokens": 128, "keys": 128, "head_dim": 32, "heads": 1}
    return Attention(**(usual | changes))  # type: ignore[arg-type]


def test_sequential_is_the_sum_of_its_kernels() -> None:
    """Two batches of 64 queries and two heads, each with transfers at 8 B per cycle of 2 ns."""
    one = attention(tokens=64)
    products, softmax = sum(one.products_ps(64, 128)), one.softmax_ps(64, 128)
    moved = 2_000 * (2 * 64 * 32 * 2 // 8 + 2 * 128 * 32 * 2 // 8)
    each = products + softmax + moved
    run = attend(attention(heads=2), 64)
    assert run.ready_ps == (2 * each, 4 * each)
    assert run.duration_ps == 4 * each


def test_resident_keys_and_values_are_fetched_once() -> None:
    """Sequentially, the difference is the transfers of K and V for all batches but one."""
    batches, heads = 16, 3
    reread = attend(attention(heads=heads), 8).duration_ps
    resident = attend(attention(heads=heads, keys_values="resident"), 8).duration_ps
    fetch = 2_000 * (128 * 32 * 2 // 8)
    assert reread - resident == 2 * heads * fetch * (batches - 1)


def test_the_models_of_the_rtl_serve_a_machine_without_kernel_costs() -> None:
    other = cluster("ahwa_lora_2026")
    assert other.matrix_engine is not None
    run = attention(cluster=other)
    zero = other.dma.transfer_cycles(other.matrix_engine.buffer_rows(64) * 128 * 2)
    product = other.matrix_engine.gemm_cycles(64, 32, 128) + other.offload.program_engine_cycles()
    assert run.products_ps(64, 128)[0] == other.to_ps(zero + product)
    assert run.softmax_ps(64, 128) == other.to_ps(other.cores.softmax_cycles(64, 128, "fp16"))
    without = attention(cluster=other, has_engine=False)
    assert without.products_ps(64, 128) > run.products_ps(64, 128)


shapes = st.fixed_dictionaries(
    {
        "tokens": st.integers(1, 70),
        "keys": st.integers(1, 120),
        "head_dim": st.sampled_from([16, 32, 64]),
        "heads": st.integers(1, 3),
    }
)


@given(shape=shapes, batch=st.integers(1, 80), form=st.sampled_from(FORMS), data=st.data())
@settings(max_examples=60, deadline=None)
def test_outputs_become_ready_in_order_and_the_last_one_ends_it(
    shape: dict[str, int], batch: int, form: str, data: st.DataObject
) -> None:
    kept = data.draw(st.sampled_from(["reread", "resident"])) if form != "flash" else "reread"
    machine = data.draw(st.sampled_from(MACHINES))
    program = attention(cluster=cluster(machine), **shape, form=form, keys_values=kept)
    run = attend(program, batch)
    assert len(run.ready_ps) == -(-shape["tokens"] // batch)
    assert list(run.ready_ps) == sorted(set(run.ready_ps))
    assert run.ready_ps[-1] == run.duration_ps
    assert run.tcdm_bytes <= program.cluster.tcdm.size
    assert attend(program, None).ready_ps == (attend(program, None).duration_ps,)


@given(shape=shapes, batch=st.integers(1, 80))
@settings(max_examples=40, deadline=None)
def test_overlap_is_between_no_overlap_and_the_busiest_unit(
    shape: dict[str, int], batch: int
) -> None:
    serial = attention(**shape)
    overlapped = attention(**shape, form="pipelined")
    rows = tuple(part for each in overlapped.parts(batch) for part in each)
    plan = lay_out(overlapped, rows)
    duration = durations(plan, overlapped)
    run = attend(overlapped, batch)
    assert run.duration_ps <= attend(serial, rows[0]).duration_ps
    for unit in range(len(plan.resources)):
        busy = sum(int(duration[task]) for task in range(len(plan)) if unit in plan.uses_of(task))
        assert busy <= run.duration_ps


@pytest.mark.parametrize("form", ["pipelined", "flash"])
def test_every_product_is_there_once(form: str) -> None:
    program = attention(form=form, heads=3, cluster=cluster("ahwa_lora_2026"))
    plan = lay_out(program, (64, 64))
    warps = -(-128 // program.warp(64)) if form == "flash" else 1
    for action in ("q k", "softmax", "scores v"):
        tasks = (plan.label == plan.labels.index(action)).sum()
        assert tasks == 2 * 3 * warps


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize(
    ("form", "keys_values"),
    [("pipelined", "reread"), ("pipelined", "resident"), ("flash", "reread")],
)
def test_engines_agree_on_the_plan(form: str, heads: int, keys_values: str) -> None:
    program = attention(form=form, heads=heads, keys_values=keys_values)
    plan = lay_out(program, (16,) * 7 + (9,))
    assert_engines_agree(plan, program)


def test_queries_that_do_not_fit_are_cut_into_equal_parts() -> None:
    """(Q + K + scores) x 2 B: 384 queries of 64 elements go in 5 parts of 77 rows (HARP)."""
    program = attention(tokens=384, keys=384, head_dim=64)
    assert program.tcdm_bytes(128) == (128 * 64 + 384 * 64 + 128 * 384) * 2
    assert attend(program, None).rows == 77
    assert program.parts(384) == [(77, 77, 77, 77, 76)]


def test_a_second_buffer_is_used_where_it_fits_and_is_faster() -> None:
    tight = attention(cluster=cluster(size="40 KiB"), form="pipelined")
    wide = attention(form="pipelined")
    assert (attend(tight, 64).buffers, attend(wide, 64).buffers) == (1, 2)
    assert attend(wide, 64).duration_ps < attend(tight, 64).duration_ps


def test_flash_fits_where_no_row_of_scores_does() -> None:
    long = {"tokens": 64, "keys": 4096, "head_dim": 64}
    for form in ("sequential", "pipelined"):
        with pytest.raises(CapacityError, match="choose attention=flash"):
            attend(attention(**long, form=form), 8)
    assert attend(attention(**long, form="flash"), 8).duration_ps > 0


def test_not_even_one_query_fits() -> None:
    with pytest.raises(CapacityError, match=r"128 keys of 32 elements needs .* for one query"):
        attend(attention(cluster=cluster(size="4 KiB")), 8)
    with pytest.raises(CapacityError, match="choose keys_values=reread"):
        attend(attention(heads=12, keys_values="resident"), 8)


@pytest.mark.parametrize("field", ["tokens", "keys", "head_dim", "heads"])
def test_nothing_is_empty(field: str) -> None:
    with pytest.raises(InputError, match=f"{field}: found 0"):
        attention(**{field: 0})


def test_flash_cannot_keep_what_it_reads_in_warps() -> None:
    with pytest.raises(UnsupportedError, match="choose reread"):
        attention(form="flash", keys_values="resident")
