"""Strategies for whole networks: nothing lost, nothing twice, and what their options change."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import load_machine
from hybridsim.engines import engine
from hybridsim.errors import CapacityError, SpecError, UnsupportedError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.strategies import (
    STRATEGIES,
    Job,
    NetworkStrategy,
    Schedule,
    carry_out,
    make_strategy,
)
from hybridsim.strategies.networks.dataflow import Batches, Cuts, FlowOp
from hybridsim.strategies.networks.plans import BlockCopies, _laid_out, _planned
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.work import Work
from hybridsim.workload import Linear
from tests.carried_out import assert_engines_agree, dispatched, durations

NETWORK_STRATEGIES = [
    name for name, kind in STRATEGIES.items() if issubclass(kind, NetworkStrategy)
]
WHOLE_LAYERS = ("serial", "il_par", "il_pipe")
CASES = [
    ("mobilebert", "harp_2026"),
    ("bert_base", "harp_2026:bert_base"),
    ("gpt2", "harp_2026:gpt2"),
    ("t5_small_encoder", "harp_2026:t5"),
    ("minilm_l6", "ahwa_lora_2026"),
]
SMALL = CASES[3]
"""Few blocks, for laws that do not ask for many."""


@lru_cache(maxsize=64)
def job(network: str, machine: str, tokens: int = 64, adapters: bool = False) -> Job:
    loaded, there = hybridsim.load(network, machine)
    return Job(place(loaded if adapters else loaded.without_adapters(), there), tokens)


def options(strategy: str, **more: Any) -> dict[str, Any]:
    return more if strategy in WHOLE_LAYERS else {"batch": 16} | more


@lru_cache(maxsize=256)
def planned(
    strategy: str, network: str, machine: str, adapters: bool = False, **more: Any
) -> Schedule:
    """Return a schedule for 64 tokens, in batches of 16."""
    given = job(network, machine, adapters=adapters)
    return make_strategy(strategy, options(strategy, **more)).schedule(given)


def busy(plan: Plan, machine: str, labels: set[str]) -> int:
    """Return how long tasks with these labels last in all."""
    chosen = [index for index, label in enumerate(plan.labels) if label in labels]
    lasted = durations(plan, load_machine(machine))
    return int(lasted[np.isin(plan.label, chosen)].sum())


@pytest.mark.parametrize("strategy", NETWORK_STRATEGIES)
@pytest.mark.parametrize(("network", "machine"), CASES)
def test_every_token_passes_every_layer_once(strategy: str, network: str, machine: str) -> None:
    schedule = planned(strategy, network, machine)
    plan, placed = schedule.plan, job(network, machine).mapping.layers
    tile = job(network, machine).machine.tile
    mvm = plan.which(lambda work: work.kind == "mvm")
    lasted = durations(plan, job(network, machine).machine)
    spent = np.bincount(plan.op[mvm], lasted[mvm], len(plan.ops))
    for layer in placed:
        carrier = schedule.carried_by.get(layer.name, layer.name)
        own = tile.mvm_ps(layer.op.in_features, layer.op.out_features, 64)
        assert spent[plan.ops.index(carrier)] == own
    others = {decided.op.name for decided in schedule.ops}
    assert others.isdisjoint(layer.name for layer in placed)
    assert others | {layer.name for layer in placed} >= set(plan.ops)


@pytest.mark.parametrize("strategy", NETWORK_STRATEGIES)
@pytest.mark.parametrize(("network", "machine"), CASES)
def test_every_computed_op_is_a_row_or_declared_free(
    strategy: str, network: str, machine: str
) -> None:
    schedule = planned(strategy, network, machine)
    rearranging = {"input", "concat", "slice", "trigram", "first_token", "class_token"}
    told = {decided.op.name for decided in schedule.ops} | set(schedule.free)
    for op in job(network, machine).mapping.network.ops:
        assert (op.name in told) == (not isinstance(op, Linear) and op.kind not in rearranging)


@pytest.mark.parametrize(("network", "machine"), CASES)
def test_work_is_conserved(network: str, machine: str) -> None:
    """Tiles, peripheries and DRAM spend the same under all strategies; batches change no MVM."""
    fixed = [
        busy(planned(strategy, network, machine).plan, machine, {"mvm", "fetch"})
        for strategy in NETWORK_STRATEGIES
    ]
    assert len(set(fixed)) == 1
    # barriers and dispatch only move work: il_xl_pipe and xb_pipe do the very same tasks
    plans = [planned(each, network, machine).plan for each in ("il_xl_pipe", "xb_pipe", "network")]
    every = [
        [busy(plan, machine, {label}) for label in ("attend", "move", "mvm")] for plan in plans
    ]
    assert every[0] == every[1] == every[2]


def works_of(plan: Plan) -> Counter[Work]:
    """Return how many tasks do each work."""
    return Counter(plan.works[number] for number in plan.work)


@pytest.mark.parametrize("strategy", NETWORK_STRATEGIES)
@pytest.mark.parametrize("dispatch", ["online", "reserved"])
def test_dispatch_changes_the_order_and_nothing_else(strategy: str, dispatch: str) -> None:
    case = ("mobilebert", "harp_2026")
    plan = planned(strategy, *case).plan
    other = planned(strategy, *case, dispatch=dispatch)
    assert other.plan.work.tolist() == plan.work.tolist()
    done = carry_out(other, load_machine(case[1]), engine("compiled")).schedule.plan
    assert works_of(done) == works_of(plan)
    assert (done.order is not None) == (dispatch == "reserved")


@pytest.mark.parametrize("strategy", ["serial", "xl_pipe", "xb_pipe"])
@pytest.mark.parametrize("dispatch", ["online", "reserved"])
@pytest.mark.parametrize("adapters", [False, True])
def test_the_engines_agree(strategy: str, dispatch: str, adapters: bool) -> None:
    schedule = planned(strategy, *SMALL, adapters, dispatch=dispatch)
    assert_engines_agree(schedule, load_machine(SMALL[1]))


@pytest.mark.parametrize("strategy", NETWORK_STRATEGIES)
@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize(
    ("network", "machine"), [CASES[0], SMALL, CASES[4]], ids=lambda name: name
)
def test_stamped_blocks_equal_blocks_laid_out_one_by_one(
    strategy: str, network: str, machine: str, adapters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    equals_one_by_one(strategy, network, machine, adapters, monkeypatch)


@pytest.mark.parametrize(("network", "machine"), [*CASES[:2], ("llama_3_2_1b", "llm_2026")])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("adapters", [False, True])
def test_so_do_blocks_whose_sums_are_on_clusters(
    network: str, machine: str, split: bool, adapters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the periphery of the last operand's tile could add as well."""
    cores = {"where": {"add": "cores"}, "split": split}
    equals_one_by_one("il_xl_pipe", network, machine, adapters, monkeypatch, **cores)


def equals_one_by_one(
    strategy: str, network: str, machine: str, adapters: bool, monkeypatch: pytest.MonkeyPatch,
    **more: Any,
) -> None:  # fmt: skip
    """Assert that blocks which are stamped are what they are without."""
    given = job(network, machine, adapters=adapters)
    chosen = make_strategy(strategy, options(strategy, **more))
    stamped = chosen.schedule(given)
    monkeypatch.setattr(BlockCopies, "find", lambda layout: None)
    _laid_out.cache_clear()
    _planned.cache_clear()
    single = chosen.schedule(given)
    assert len(stamped.plan) == len(single.plan)
    assert (stamped.plan.use == single.plan.use).all()
    there = load_machine(machine)
    one, other = (dispatched(found, there) for found in (stamped, single))
    assert (one.start == other.start).all()
    assert (one.end == other.end).all()
    assert stamped.plan.ops == single.plan.ops
    assert stamped.layers == single.layers
    assert stamped.ops == single.ops


@pytest.mark.parametrize("strategy", ["network", "il_xl_pipe"])
@pytest.mark.parametrize("network", ["llama_3_2_1b", "llama_3_1_8b"])
def test_blocks_of_each_chip_are_stamped_as_they_are_laid_out_one_by_one(
    strategy: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chip's first block reads what another chip has made; one may lie on two chips."""
    own = Job(place(*hybridsim.load(network, "llm_2026")), 6)
    decided = make_strategy(strategy, {"batch": 4, "keep_adapters": "batch"}).decide(own)
    free = replace(decided, dispatch="online", barrier=False)
    _planned.cache_clear()
    assert _planned(structure_of(own), free, True)[2] is not None
    one = decided.plan(own)
    monkeypatch.setattr(BlockCopies, "find", lambda layout: None)
    _planned.cache_clear()
    other = decided.plan(own)
    for name in ("use_first", "use", "need_first", "need", "room", "op", "item"):
        assert (getattr(one, name) == getattr(other, name)).all()
    for task in range(len(one)):
        assert one.works[one.work[task]] == other.works[other.work[task]]
    assert (one.ops, one.loops) == (other.ops, other.loops)
    _planned.cache_clear()


@pytest.mark.parametrize("batch", [1, 5, 8])
@pytest.mark.parametrize(
    ("network", "machine"), [("mobilebert", "ahwa_lora_2026"), ("llama_3_2_1b", "llm_2026")]
)
def test_a_plan_with_a_barrier_is_the_one_without_and_its_needs(
    network: str, machine: str, batch: int
) -> None:
    """The plan that is timed has the very needs of the one that is laid out, in another order."""
    own = Job(place(*hybridsim.load(network, machine)), 8)
    decided = make_strategy("il_xl_pipe", {"batch": batch, "keep_adapters": "batch"}).decide(own)
    timed, told = decided.plan(own), decided.lay_out(own).plan
    free = replace(decided, barrier=False).plan(own)
    assert (len(timed.need) > len(free.need)) == (batch < 8)
    needs = [
        sorted(zip(p.user.tolist(), p.need.tolist(), p.room.tolist(), strict=True))
        for p in (timed, told)
    ]
    assert needs[0] == needs[1]
    assert timed.ops == told.ops
    assert all(timed.works[a] == told.works[b] for a, b in zip(timed.work, told.work, strict=True))
    assert (timed.use == told.use).all()


@pytest.mark.parametrize(("network", "machine"), CASES)
def test_blocks_that_are_alike_are_stamped(
    network: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped = []
    monkeypatch.setattr(BlockCopies, "_copy", lambda copies, own, first: stamped.append(first))
    _laid_out.cache_clear()
    _planned.cache_clear()
    with pytest.raises(KeyError):  # what follows the blocks misses the last copy, or the result
        make_strategy("xb_pipe", {"batch": 16}).schedule(job(network, machine))
    assert len(stamped) == 1


def makespan(
    strategy: str, network: str = "mobilebert", machine: str = "harp_2026", **more: Any
) -> int:
    return dispatched(planned(strategy, network, machine, **more), load_machine(machine)).makespan


@pytest.mark.parametrize("case", CASES[:2])
def test_each_kind_of_overlap_helps_on_these_networks(case: tuple[str, str]) -> None:
    """HARP, Fig. 8. No law: more freedom can make list scheduling slower."""
    serial, par, pipe = (makespan(name, *case) for name in WHOLE_LAYERS)
    assert serial > par >= pipe
    across, both, blocks = (makespan(name, *case) for name in ("xl_pipe", "il_xl_pipe", "xb_pipe"))
    assert across > both > blocks


def test_the_best_batch_is_the_best_of_those_tried() -> None:
    given = job(*SMALL)
    tried = {batch: makespan("xb_pipe", *SMALL, batch=batch) for batch in range(1, 65)}
    best = make_strategy("xb_pipe").schedule(given)
    assert dispatched(best, given.machine).makespan == min(tried.values())
    assert best.layers[0].batch == min(tried, key=lambda batch: tried[batch])


def test_a_batch_as_long_as_the_sequence_is_one_batch() -> None:
    for batch in (64, 1000):
        plan = planned("xb_pipe", "mobilebert", "harp_2026", batch=batch).plan
        assert plan.item.max() == 0


@given(tokens=st.integers(1, 50), copies=st.integers(1, 4),
       batches=st.lists(st.integers(1, 60), min_size=1, max_size=4))  # fmt: skip
def test_batches_as_columns_are_batches_one_by_one(
    tokens: int, copies: int, batches: list[int]
) -> None:
    """And all of them together are all tokens."""
    op = Linear(name="a", in_features=1, out_features=1)
    work = FlowOp("a", op, (), tokens * copies, copies=copies)
    cuts = Cuts.of(work, np.array(batches))
    each = zip(cuts.full.tolist(), cuts.last.tolist(), cuts.count.tolist(), strict=True)
    assert [Batches(*cut) for cut in each] == [Batches.of_work(work, batch) for batch in batches]
    assert (cuts.over(cuts.full, cuts.last) == tokens * copies).all()


def test_a_composed_strategy_equals_the_named_one_with_its_options() -> None:
    composed = {"attention": "sequential", "barrier": True, "dispatch": "reserved"}
    case = ("mobilebert", "harp_2026")
    assert makespan("network", *case, **composed) == makespan("xl_pipe", *case)


@pytest.mark.parametrize("form", ["sequential", "pipelined", "flash"])
@pytest.mark.parametrize("kept", ["reread", "resident"])
def test_every_form_of_attention_runs_in_a_network(form: str, kept: str) -> None:
    if (form, kept) == ("flash", "resident"):
        with pytest.raises(UnsupportedError, match="choose reread"):
            makespan("network", attention=form, keys_values=kept)
        return
    assert makespan("network", attention=form, keys_values=kept) > 0


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("xb_pipe", {"batch": 0}),
        ("xb_pipe", {"batch": "some"}),
        ("xb_pipe", {"chnk": 8}),
        ("network", {"attention": "fast"}),
        ("network", {"dispatch": "greedy"}),
        ("serial", {"split": "maybe"}),
    ],
)
def test_options_of_no_sense_are_refused(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"strategy {name}"):
        make_strategy(name, given)


def simulated(network: str, machine: str, strategy: str, **more: Any) -> hybridsim.Result:
    overrides = more.pop("overrides", {})
    adapters = more.pop("adapters", True)
    tokens = more.pop("tokens", 32)
    loaded, there = hybridsim.load(network, machine, overrides)
    if not adapters:
        loaded = loaded.without_adapters()
    chosen = make_strategy(strategy, options(strategy, **more))
    return hybridsim.simulate(loaded, there, chosen, tokens=tokens)


@pytest.mark.parametrize("strategy", NETWORK_STRATEGIES)
def test_overhead_is_measured_against_the_same_strategy(strategy: str) -> None:
    bare = simulated("mobilebert", "harp_2026", strategy, adapters=False)
    full = simulated("mobilebert", "harp_2026", strategy)
    assert bare.overhead_percent == 0
    assert full.yardstick_ps == bare.latency_ps
    assert full.latency_ps > bare.latency_ps
    assert len(full.layers) == 361
    assert {op.kind for op in full.ops} == {"embedding", "attention", "add"}
    assert "embeddings.norm" in full.free_ops
    assert hybridsim.Result.from_json(full.to_json()) == full


def test_early_products_and_kept_adapters() -> None:
    """Twice the tasks per batch; and A and B that stay need room for all of them."""
    late = planned("xb_pipe", "mobilebert", "harp_2026", True).plan
    early = planned("xb_pipe", "mobilebert", "harp_2026", True, early_xa=True).plan
    adapted = (late.label == late.labels.index("adapt")).sum()
    assert (early.label == early.labels.index("x a")).sum() == adapted
    assert (early.label == early.labels.index("u b + y")).sum() == adapted
    with pytest.raises(CapacityError, match="keep_adapters=best"):
        planned("xb_pipe", "mobilebert", "harp_2026", True, keep_adapters="network")


def test_adapters_that_stay_are_not_fetched() -> None:
    big = {"cluster.tcdm.size": "8 MiB"}
    batchwise = {"keep_adapters": "batch"}
    fetched = simulated("mobilebert", "harp_2026", "xb_pipe", overrides=big, **batchwise)
    kept = simulated("mobilebert", "harp_2026", "xb_pipe", overrides=big)
    assert kept.latency_ps < fetched.latency_ps
    assert kept.tcdm_bytes > 2 * 1_600_000
    assert kept.notes == ("A and B of all 361 adapters stay in every cluster",)


def test_adapters_of_a_batch_that_does_not_fit_go_in_batches() -> None:
    result = simulated("mobilebert", "harp_2026", "serial", tokens=128)
    wide = next(layer for layer in result.layers if layer.name == "block0.bottleneck.input")
    assert wide.batch < 128
    assert wide.tcdm_bytes <= 128 * 1024


@pytest.mark.parametrize(
    "network", ["mobilebert_squad", "bert_base_squad", "distilbert", "vit_b_16"]
)
def test_heads_and_class_tokens_run(network: str) -> None:
    result = simulated(network, "ahwa_lora_2026", "network", tokens=33, adapters=False)
    assert result.latency_ps > 0
    assert {op.cost_from for op in result.ops} == {"model"}


def test_a_lone_layer_is_a_network() -> None:
    result = simulated("layer_128x128", "ahwa_lora_2026", "xb_pipe")
    assert (len(result.layers), result.ops, result.free_ops) == (1, (), ())


def test_what_is_computed_needs_a_cluster() -> None:
    with pytest.raises(CapacityError, match=r"no cluster for embeddings\.add"):
        simulated(
            "bert_base", "ahwa_lora_2026", "serial", overrides={"cluster": None}, adapters=False
        )


def test_the_engine_computes_in_its_own_format() -> None:
    with pytest.raises(UnsupportedError, match="computed in fp16, not fp32"):
        simulated(
            "mobilebert",
            "harp_2026",
            "serial",
            overrides={"cluster.precision": "fp32"},
            adapters=False,
        )


def test_activations_that_do_not_fit_on_chip_pass_the_dram() -> None:
    """4 x 32 tokens x 128 elements of 8 bits are 16 KiB (HARP's check of one block)."""
    fits, too_small = {"memory.sram.size": "16 KiB"}, {"memory.sram.size": "15 KiB"}
    fitting = simulated("mobilebert", "harp_2026", "serial", overrides=fits)
    spilling = simulated("mobilebert", "harp_2026", "serial", overrides=too_small)
    assert fitting.notes == ()
    assert "24 of 24 attentions: 48 KiB pass the DRAM" in spilling.notes[0]
    # each waits for 1 KiB out and 1 KiB back at 800 MiB/s, beside the way over the link
    each = -(-2048 * 10**12 // (800 * 2**20))
    busy = {row.name: row.busy_ps for row in spilling.resources}["dram"]
    assert busy - {row.name: row.busy_ps for row in fitting.resources}["dram"] == 24 * each
    assert fitting.latency_ps < spilling.latency_ps < fitting.latency_ps + 24 * each
    with pytest.raises(CapacityError, match=r"no DRAM; raise memory\.sram\.size"):
        simulated("mobilebert", "harp_2026", "serial", overrides=too_small | {"memory.dram": None})


def test_a_pattern_of_free_ops_must_say_something() -> None:
    with pytest.raises(SpecError, match="free_ops"):
        simulated("mobilebert", "harp_2026", "serial", overrides={"free_ops": ["norm:"]})


def test_what_is_not_free_takes_time() -> None:
    costly = simulated("mobilebert", "harp_2026", "serial", overrides={"free_ops": []})
    free = simulated("mobilebert", "harp_2026", "serial")
    assert costly.free_ops == ()
    assert len(costly.ops) == len(free.ops) + len(free.free_ops)
    assert costly.latency_ps > free.latency_ps


def test_clusters_without_an_engine_take_norms_but_no_attention() -> None:
    result = simulated("bert_base", "harp_2026:bert_base", "il_par", adapters=False, tokens=128)
    split = {op.kind: op.pieces for op in result.ops if op.block == 0}
    assert split == {"attention": 12, "add": 1, "norm": 16, "activation": 20}
    resources = {row.name: row for row in result.resources}
    assert resources["engine clusters"].busy_ps < resources["clusters"].busy_ps


def test_transfers_are_the_labels_on_the_link() -> None:
    plan = planned("xb_pipe", "mobilebert", "harp_2026", True).plan
    link = next(i for i, r in enumerate(plan.resources) if r.kind == "link")
    holder = np.repeat(np.arange(len(plan)), np.diff(plan.use_first))
    on_link = set(plan.label[holder[plan.use == link]])
    # U crosses the link only where clusters share an adapter: test_shared_adapters.py
    assert {plan.labels[index] for index in on_link} | {"move u"} == {
        "move",
        "move y",
        "move u",
        "load a b",
    }


def test_attention_goes_where_it_is_sent() -> None:
    chosen = {
        where: planned("xb_pipe", "bert_base", "harp_2026:bert_base", **{"where.attention": where})
        for where in ("matrix_engine", "cores", "best")
    }
    engines = next(
        i for i, r in enumerate(chosen["cores"].plan.resources) if r.kind == "engine_cluster"
    )
    assert engines in chosen["matrix_engine"].plan.use
    assert engines not in chosen["cores"].plan.use
    spent = {
        where: busy(found.plan, "harp_2026:bert_base", {"attend"})
        for where, found in chosen.items()
    }
    assert spent["matrix_engine"] != spent["cores"]
    assert spent["best"] in (spent["matrix_engine"], spent["cores"])


def test_sums_go_where_they_are_sent() -> None:
    found = {
        where: {op.where for op in planned("serial", "mobilebert", "harp_2026",
                                           **{"where.add": where}).ops if op.op.kind == "add"}
        for where in ("periphery", "cores", "best")
    }  # fmt: skip
    # three cycles of a periphery are less than any kernel
    assert found == {"periphery": {"periphery"}, "cores": {"cluster"}, "best": {"periphery"}}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("where.softmax", "matrix_engine", "cores"),
        ("where.norm", "periphery", "cores"),
        ("where.adds", "cores", "did you mean 'add'"),
        ("where", "cores", "where"),
    ],
)
def test_a_part_that_cannot_do_it_is_refused(path: str, value: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        make_strategy("xb_pipe", {path: value})
