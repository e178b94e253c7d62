from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridsim.components.core_kernels import (
    GEMMS,
    LAYERNORMS,
    RMSNORMS,
    VECTOR_ADDS,
    larger,
    smaller,
    starting_together,
    train_collides,
)
from hybridsim.components.cores import Cores
from hybridsim.errors import UnknownNameError, UnsupportedError

SNITCH = yaml.safe_load("""
count: 8
ssr: true
frep: true
packed_simd: true
exp_instruction: true
word: 64 bit
tcdm_banks: 32
fp_latency: 4 cycles
load_latency: 4 cycles
multiply_latency: 4 cycles
loop_iteration: 2 cycles
ssr_config: 9 cycles
ssr_switch: 3 cycles
frep_overhead: 9 cycles
fpu_fence: 7 cycles
barrier: 3 cycles
contention:
  train_fp32: {typical: 118, least: 100, most: 125}
  train_fp16: {typical: 113, least: 100, most: 125}
  broadcast: {typical: 105, least: 100, most: 125}
  element_wise: {typical: 125, least: 100, most: 125}
  start_fp32: 20 cycles
  start_fp16: 24 cycles
""")


def snitch(**changes: Any) -> Cores:
    return Cores(**{**SNITCH, **changes})


CORES = snitch()
SCALAR = snitch(exponential="scalar")
LIMITS, RANGE = SNITCH["contention"], SNITCH["contention"]["broadcast"]
SIZES = st.integers(1, 600)
PRECISIONS = st.sampled_from(["fp32", "fp16", "int8"])
LEVELS = st.sampled_from(["least", "typical", "most"])
KERNELS = st.sampled_from(sorted(GEMMS))


# ---------------------------------------------------------------- laws of the GEMM kernels


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS, kernel=KERNELS, level=LEVELS)
def test_the_terms_add_up_to_the_cost(m, n, k, precision, kernel, level):
    terms = CORES.gemm_terms(m, n, k, precision, kernel, level=level)
    assert all(term >= 0 for term in terms.values())
    assert sum(terms.values()) == CORES.gemm_cycles(m, n, k, precision, kernel, level=level)


@given(
    shapes=st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=6),
    precision=PRECISIONS,
    kernel=st.one_of(st.none(), KERNELS),
    level=LEVELS,
)
def test_arrays_cost_what_their_elements_cost(shapes, precision, kernel, level):
    columns = (np.array(column, np.int64) for column in zip(*shapes, strict=True))
    together = CORES.gemm_cycles(*columns, precision, kernel, level=level)
    alone = [CORES.gemm_cycles(*shape, precision, kernel, level=level) for shape in shapes]
    assert together.dtype == np.int64
    assert all(type(cost) is int for cost in alone)
    assert together.tolist() == alone


@given(
    count=st.integers(1, 9), rows=SIZES,
    others=st.lists(st.tuples(*2 * [st.sampled_from([7, 64])]), min_size=1, max_size=4),
    precision=PRECISIONS, aligned=st.booleans(),
)  # fmt: skip
def test_neighbours_in_a_column_cost_what_each_costs_alone(
    count, rows, others, precision, aligned
):
    """Rows one by one, up and down, so that rounds of the cores are next to each other."""
    cores, up = snitch(count=count), range(rows, rows + 20)
    steps = [own for turn in range(len(others)) for own in (up[::-1] if turn % 2 else up)]
    n, k = np.repeat(np.array(others, np.int64), 20, axis=0).T
    together = cores.unpadded_gemm_cycles(np.array(steps), n, k, precision, aligned)
    shapes = zip(steps, n.tolist(), k.tolist(), strict=True)
    assert together.tolist() == [
        cores.unpadded_gemm_cycles(*shape, precision, aligned) for shape in shapes
    ]


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS, level=LEVELS)
def test_no_kernel_is_faster_than_the_peak(m, n, k, precision, level):
    """One SIMD instruction per core and cycle: 8 x 2, 4 or 8 multiplications."""
    peak = CORES.count * CORES.lanes(precision)
    assert CORES.gemm_cycles(m, n, k, precision, level=level) * peak >= m * n * k


@given(
    m=SIZES, n=SIZES, k=SIZES, more=st.sampled_from("mnk"), precision=PRECISIONS, kernel=KERNELS
)
def test_without_conflicts_a_larger_problem_never_costs_less(m, n, k, more, precision, kernel):
    """Conflicts break this on purpose: a row length can fall in step with the banks."""
    larger_shape = {"m": m, "n": n, "k": k}
    larger_shape[more] += 1
    one = CORES.gemm_cycles(m, n, k, precision, kernel, level="least")
    assert one <= CORES.gemm_cycles(
        **larger_shape, precision=precision, kernel=kernel, level="least"
    )


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS, kernel=KERNELS)
def test_more_conflicts_never_cost_less(m, n, k, precision, kernel):
    least, typical, most = (
        CORES.gemm_cycles(m, n, k, precision, kernel, level=level)
        for level in ("least", "typical", "most")
    )
    assert least <= typical <= most


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS, kernel=KERNELS, aligned=st.booleans())
def test_one_core_meets_no_other_one(m, n, k, precision, kernel, aligned):
    costs = {
        CORES.gemm_cycles(m, n, k, precision, kernel, cores=1, level=level, aligned=aligned)
        for level in ("least", "typical", "most")
    }
    assert len(costs) == 1


@pytest.mark.parametrize(("range_", "slower"), [("train_fp32", {"fp32"}),
                         ("train_fp16", {"fp16", "int8"})])  # fmt: skip
def test_a_range_of_conflicts_is_that_of_its_precision(range_, slower):
    """8-bit integers are taken like fp16."""
    worse = {**LIMITS, range_: {"typical": 150, "least": 100, "most": 150}}
    cores = snitch(contention=worse)
    for precision in ("fp32", "fp16", "int8"):
        shape = 64, 512, 64, precision, "gemm_ssr_frep"
        costs = [each.gemm_cycles(*shape) for each in (CORES, cores)]
        assert (costs[0] < costs[1]) == (precision in slower)
        assert costs[0] <= costs[1]


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS, kernel=KERNELS)
def test_cores_that_are_spread_already_never_pay_for_the_start(m, n, k, precision, kernel):
    aligned = CORES.gemm_terms(m, n, k, precision, kernel)
    spread = CORES.gemm_terms(m, n, k, precision, kernel, aligned=False)
    assert spread == {**aligned, "aligned_start": 0}


@given(
    first=st.integers(1, 20), second=st.integers(1, 20), n=SIZES, k=SIZES,
    precision=PRECISIONS, kernel=KERNELS,
)  # fmt: skip
def test_whole_rounds_of_rows_add_up(first, second, n, k, precision, kernel):
    def work(rounds: int) -> int:
        terms = CORES.gemm_terms(8 * rounds, n, k, precision, kernel)
        return terms["stream"] + terms["epilogue"]

    assert work(first + second) == work(first) + work(second)


@given(rounds=st.integers(1, 20), n=st.integers(8, 600), k=SIZES, kernel=KERNELS)
def test_twice_the_cores_are_never_slower_on_whole_rounds_without_conflicts(rounds, n, k, kernel):
    costs = [
        CORES.gemm_cycles(8 * rounds, n, k, "fp16", kernel, cores=cores, level="least")
        for cores in (1, 2, 4, 8)
    ]
    assert costs == sorted(costs, reverse=True)


@given(m=SIZES, n=SIZES, k=SIZES, precision=PRECISIONS)
def test_the_default_kernel_is_the_fastest(m, n, k, precision):
    costs = CORES.gemm_kernels(m, n, k, precision)
    assert set(costs) == set(GEMMS)
    assert CORES.gemm_cycles(m, n, k, precision) == min(costs.values())


def test_what_is_not_full_costs_as_much_as_what_is():
    def cost(m: int, n: int, k: int) -> int:
        return CORES.gemm_cycles(m, n, k, "fp16", "gemm_ssr_frep", level="least")

    assert cost(9, 128, 8) == cost(16, 128, 8) > cost(8, 128, 8)
    assert cost(8, 125, 8) == cost(8, 128, 8) > cost(8, 124, 8)
    assert cost(8, 128, 9) == cost(8, 128, 16) > cost(8, 128, 8)


@pytest.mark.parametrize(("m", "columns"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8)])
def test_fewer_rows_than_cores_share_their_columns(m, columns):
    """8 columns on floor(8 / m) cores each."""
    terms = CORES.gemm_terms(m, 4, 8, "fp16", "dot_ssr_frep")
    assert terms["stream"] == columns


# ---------------------------------------------------------------- measured and published figures


@pytest.mark.parametrize(
    ("shape", "precision", "cycles"),
    [
        ((1, 128, 8), "fp32", 655),  # RTL rows of one core: exact
        ((1, 512, 8), "fp32", 2191),
        ((1, 512, 8), "fp16", 1175),
        ((1, 8, 128), "fp32", 1045),
        ((1, 8, 128), "fp16", 962),
    ],
)
def test_one_core_is_exact(shape, precision, cycles):
    """Snitch cluster RTL: no other core, so no conflict, and nothing that is not counted."""
    assert CORES.gemm_cycles(*shape, precision, "gemm_ssr_frep", cores=1) == cycles


def test_streams_beat_instructions_as_published():
    """Snitch cluster RTL, 8 rows, 8 columns: 5.1-6.0x (fp32) and 4.3-5.8x (fp16)."""
    for precision, low, high in (("fp32", 5.1, 6.2), ("fp16", 4.3, 5.9)):
        for n in (128, 512, 768):
            slow = CORES.gemm_cycles(8, n, 8, precision, "gemm_packed_simd")
            streams = min(
                CORES.gemm_cycles(8, n, 8, precision, kernel)
                for kernel in ("gemm_ssr_frep", "gemm_ssr_frep_unpadded")
            )
            assert low * 0.9 <= slow / streams <= high * 1.1


def test_utilization_of_long_reductions_is_that_of_the_published_clusters():
    """Measured in RTL for d = 768 and 4 rows or more: fp16 74-89 % of 32 MAC/cycle."""
    for m in (8, 16, 32):
        macs = m * 768 * 8
        assert 0.74 <= macs / 32 / CORES.gemm_cycles(m, 768, 8, "fp16", "gemm_ssr_frep") <= 0.89


def test_the_softmax_instruction_costs_what_is_published():
    """VEXP (arXiv 2504.11227): 2.125 cycles per output."""
    more, less = (CORES.softmax_cycles(8 * rows, 2048, "fp16") for rows in (200, 100))
    assert (more - less) / (100 * 2048) == 2.125


@pytest.mark.parametrize(("shape", "cycles"), [((8, 128), 9512), ((8, 768), 54890)])
def test_a_scalar_softmax_costs_what_was_measured(shape, cycles):
    """Snitch cluster RTL, softmax_scalar (poly5 exp; sw recip), 8 cores."""
    assert SCALAR.softmax_cycles(*shape, "fp32") == pytest.approx(cycles, rel=0.004)


def test_one_row_of_scalar_softmax_is_exact():
    """Snitch cluster RTL: 1 x 128 takes 9,220."""
    assert SCALAR.softmax_cycles(1, 128, "fp32") == 9220


def test_streams_compute_an_exponential_in_15_cycles():
    """opencompl: 64 -> 128 of them take 1,897 -> 2,855 cycles on one core."""
    streams = snitch(exponential="ssr_frep")
    for cost in (streams.softmax_cycles, streams.gelu_cycles):
        ahead = (128,) if cost == streams.gelu_cycles else (1, 128)
        long, short = (
            cost(*ahead[:-1], size, "fp32", cores=1, level="least") for size in (128, 64)
        )
        assert 15 <= (long - short) / 64 <= 15 + 10 / 2
    assert CORES.softmax_cycles(64, 512, "fp32") < streams.softmax_cycles(64, 512, "fp32")
    assert streams.softmax_cycles(64, 512, "fp32") < SCALAR.softmax_cycles(64, 512, "fp32")
    assert CORES.gelu_cycles(9999, "fp32") < streams.gelu_cycles(9999, "fp32")
    assert streams.gelu_cycles(9999, "fp32") < SCALAR.gelu_cycles(9999, "fp32")


def test_exponentials_are_those_of_the_machine():
    assert CORES.exponentials == "instruction"
    assert snitch(exp_instruction=False).exponentials == "scalar"
    assert snitch(ssr=False).exponentials == "scalar"
    with pytest.raises(ValidationError, match="needs exp_instruction: true"):
        snitch(exp_instruction=False, exponential="instruction")


@given(rows=SIZES, columns=SIZES, precision=PRECISIONS, level=LEVELS,
       how=st.sampled_from(["scalar", "ssr_frep", "instruction"]))  # fmt: skip
def test_softmax_grows_with_its_rows_and_columns(rows, columns, precision, level, how):
    cost = snitch(exponential=how).softmax_cycles
    cycles = cost(rows, columns, precision, level=level)
    assert cycles <= cost(rows + 1, columns, precision, level=level)
    assert cycles < cost(rows, columns + 8, precision, level=level)
    assert cost(rows, columns, precision, level="least") <= cycles


def test_gelu_is_near_that_of_another_cluster():
    """HARP's cluster: 2.8 cycles per element and core, inferred. A cross-check, not a fit."""
    more, less = (CORES.gelu_cycles(8 * n, "fp16", level="least") for n in (20_000, 10_000))
    assert (more - less) / 10_000 == pytest.approx(2.8, rel=0.05)


# ---------------------------------------------------------------- other kernels


@given(
    rows=SIZES, features=SIZES, precision=PRECISIONS,
    what=st.sampled_from(["layernorm_cycles", "rmsnorm_cycles"]),
)  # fmt: skip
def test_normalisation_grows_with_its_rows_and_with_conflicts(rows, features, precision, what):
    cost = getattr(CORES, what)
    free = cost(rows, features, precision, level="least")
    assert free <= cost(rows + 1, features, precision, level="least")
    assert free <= cost(rows, features + 1, precision, level="least")
    assert free <= cost(rows, features, precision) <= cost(rows, features, precision, level="most")


@given(elements=st.integers(1, 10**6), precision=PRECISIONS)
def test_element_wise_work_grows_with_its_elements(elements, precision):
    for cost in (CORES.vector_add_cycles, CORES.relu_cycles, CORES.gelu_cycles):
        assert 0 < cost(elements, precision) <= cost(elements + 1, precision)
        assert cost(elements, precision, level="least") <= cost(elements, precision)


@given(sizes=st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=5), precision=PRECISIONS)
def test_all_kernels_take_arrays(sizes, precision):
    rows, features = (np.array(column, np.int64) for column in zip(*sizes, strict=True))
    norms = CORES.layernorm_cycles, CORES.rmsnorm_cycles
    for cost in (*norms, CORES.softmax_cycles, SCALAR.softmax_cycles):
        assert cost(rows, features, precision).tolist() == [cost(*s, precision) for s in sizes]
    passes = CORES.vector_add_cycles, CORES.relu_cycles, CORES.gelu_cycles
    for cost in (*passes, snitch(exponential="ssr_frep").gelu_cycles):
        assert cost(rows, precision).tolist() == [cost(r, precision) for r, _ in sizes]


def test_a_long_row_queues_at_one_bank_and_a_short_one_does_not():
    """RTL: 8 rows of 512 take 4481 cycles, of 128 take 738; one row of 768 takes 2538."""
    assert CORES.layernorm_cycles(8, 512, "fp32") == pytest.approx(4481, rel=0.01)
    assert CORES.layernorm_cycles(8, 128, "fp32") == pytest.approx(738, rel=0.04)
    assert CORES.layernorm_cycles(1, 768, "fp32") == 2538


# ---------------------------------------------------------------- what the machine can run


def test_without_extensions_the_scalar_kernels_remain():
    plain = snitch(ssr=False, frep=False, packed_simd=False, exp_instruction=False)
    assert set(plain.gemm_kernels(8, 128, 8, "fp16")) == {
        "gemm_scalar_blocked",
        "gemm_scalar_naive",
    }
    for name, programs in (("layernorm", LAYERNORMS), ("rmsnorm", RMSNORMS)):
        cost = getattr(plain, f"{name}_cycles")
        scalar = next(kernel for kernel in programs if "scalar" in kernel)
        assert cost(8, 64, "fp32") == getattr(CORES, f"{name}_cycles")(8, 64, "fp32", scalar)
    assert plain.softmax_cycles(8, 64, "fp16") > CORES.softmax_cycles(8, 64, "fp16")


def test_a_kernel_that_cannot_run_says_what_would():
    plain = snitch(ssr=False)
    with pytest.raises(UnsupportedError, match=r"needs ssr, .* can run: gemm_packed_simd"):
        plain.gemm_cycles(8, 128, 8, "fp16", "gemm_ssr_frep")
    with pytest.raises(UnsupportedError, match="1 to 8"):
        CORES.gemm_cycles(8, 128, 8, "fp16", cores=9)


def test_an_unknown_kernel_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'gemm_ssr_frep'"):
        CORES.gemm_cycles(8, 128, 8, "fp16", "gemm_ssr_frp")
    for kernel in VECTOR_ADDS:
        with pytest.raises(UnknownNameError, match=kernel):
            CORES.vector_add_cycles(8, "fp16", "vector_sub")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tcdm_banks": 24}, "power of two"),
        ({"word": "48 bit"}, "multiple of 32 bit"),
        ({"fp_latency": 4}, "cycles"),
        ({"contention": {**LIMITS, "broadcast": {**RANGE, "typical": 130}}}, "rising"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        snitch(**changes)


def test_contention_makes_nothing_faster():
    with pytest.raises(ValidationError) as caught:
        snitch(contention={**LIMITS, "broadcast": {**RANGE, "typical": 90}})
    assert caught.value.errors()[0]["loc"] == ("contention", "broadcast", "typical")


def test_cores_read_back_what_they_write():
    assert Cores(**CORES.to_text()) == CORES


# ---------------------------------------------------------------- bank arithmetic, by brute force


def banks_of_a_walk(row_words: int, banks: int, length: int = 400) -> list[int]:
    return [(k + j * row_words) % banks for k in range(length // 8) for j in range(8)]


@given(row_words=st.integers(1, 300), train=st.integers(1, 8))
def test_a_train_collides_as_its_walk_says(row_words, train):
    """The core s accesses behind is at the place where the first one was s accesses ago."""
    walk = banks_of_a_walk(row_words, 32)
    meets = any(
        walk[i] == walk[i - behind] for behind in range(1, train) for i in range(8, len(walk))
    )
    assert bool(train_collides(row_words, train, 32)) == meets


@given(m=st.integers(1, 20), stride=st.integers(1, 300))
def test_cores_start_together_as_their_addresses_say(m, stride):
    slices = max(1, 8 // m)
    starts = [(part * stride) % 32 for part in range(slices) for _ in range(min(m, 8))]
    assert starting_together(m, stride, 8, 32) == max(starts.count(bank) for bank in starts)


@given(a=st.integers(-99, 99), b=st.integers(-99, 99))
def test_smaller_and_larger_are_min_and_max(a, b):
    assert (smaller(a, b), larger(a, b)) == (min(a, b), max(a, b))
    assert smaller(np.array([a]), np.array([b])).tolist() == [min(a, b)]
    assert larger(np.array([a]), np.array([b])).tolist() == [max(a, b)]
