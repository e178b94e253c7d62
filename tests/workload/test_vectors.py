"""How many vectors ops work on, where that is not one per token: experts, windows, encoders."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim import generate, load_machine, simulate
from hybridsim.errors import InputError, SpecError
from hybridsim.mapping import place
from hybridsim.simulation import execute
from hybridsim.specs import validate
from hybridsim.strategies import make_strategy
from hybridsim.workload import (
    Combine,
    Experts,
    Input,
    Linear,
    Network,
    Router,
    Select,
    load_network,
    network_from_config,
)

DATA = json.loads((Path(__file__).parent / "data" / "families.json").read_text())
MACHINE = load_machine("ahwa_lora_2026")


def network(name: str, **changes: Any) -> Network:
    config = {k: v for k, v in (DATA[name]["config"] | changes).items() if v is not ...}
    return network_from_config(config, name="net", source="test")


def tokens(net: Network, op: str, length: int) -> int:
    return net.tokens(net.op(op), length)


# --- experts ------------------------------------------------------------------------------------


def bank(experts: int, active: int, load: tuple[float, ...] = ()) -> Experts:
    return Experts(
        name="bank", in_features=8, out_features=8, experts=experts, active=active, load=load
    )


@given(st.data())
def test_every_vector_has_an_expert_and_no_token_has_one_twice(data: st.DataObject) -> None:
    experts = data.draw(st.integers(1, 12))
    active = data.draw(st.integers(1, experts))
    shares = st.lists(st.integers(1, 9), min_size=experts, max_size=experts)
    op = bank(experts, active, tuple(data.draw(shares)))
    vectors = active * data.draw(st.integers(1, 50))
    loads = op.loads(vectors)
    assert sum(loads) == vectors
    assert max(loads) <= vectors // active


@given(st.integers(1, 64), st.integers(1, 500))
def test_a_uniform_load_is_even_to_one_vector(experts: int, vectors: int) -> None:
    loads = bank(experts, 1).loads(vectors)
    assert max(loads) - min(loads) <= 1


def test_a_load_is_shared_in_proportion() -> None:
    assert bank(4, 1, (5, 3, 2, 0)).loads(20) == (10, 6, 4, 0)
    assert bank(4, 2, (90, 5, 5, 0)).loads(20) == (10, 5, 5, 0)  # ten tokens, each once at most


def routed(load: tuple[float, ...] = (), rank: int | None = None) -> Network:
    """Return eight experts of 512 x 512, two of which each token passes through."""
    shape = {"in_features": 512, "out_features": 512, "bias": False}
    more = {"experts": 8, "active": 2, "load": load, "all_linear": 1}
    ops = (
        Input(name="x", features=512),
        Router(name="router", inputs=("x",), in_features=512, out_features=8, bias=False),
        Select(name="choice", inputs=("router",), features=8, active=2),
        Experts(name="bank", inputs=("x", "choice"), **shape, **more),
        Combine(name="sum", inputs=("bank", "choice"), features=512, experts=8, active=2),
        Linear(name="out", inputs=("sum",), **shape),
    )
    net = Network(name="routed", source="made up", ops=ops)
    return net.with_adapters(rank=rank) if rank else net


def run(net: Network, length: int = 64, **options: Any) -> Any:
    return simulate(net, MACHINE, make_strategy("network", options), tokens=length)


def test_a_file_gives_the_load_of_the_experts(tmp_path: Path) -> None:
    """And one for another number of experts, or for none, is refused."""
    config = DATA["qwen2-moe-sparse-step"]["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))

    def loaded(load: str, name: str = "config.json") -> Network:
        text = f"source: test\nhuggingface: {name}\nexpert_load: {load}\n"
        (tmp_path / "net.yaml").write_text(text)
        return load_network(tmp_path / "net.yaml")

    banks = [op for op in loaded("[8, 1, 1, 1, 1, 1, 1, 0]").ops if isinstance(op, Experts)]
    assert len(banks) == 2 * 2  # of blocks 1 and 5: one of two, but for block 3
    assert {op.loads(20) for op in banks} == {(10, 2, 2, 2, 2, 1, 1, 0)}
    with pytest.raises(
        InputError, match=r"net.yaml: expert_load: found 2 shares; one for each of 8"
    ):
        loaded("[1, 2]")
    (tmp_path / "plain.json").write_text(json.dumps(DATA["gpt2"]["config"]))
    with pytest.raises(InputError, match="expert_load: the network has no experts"):
        loaded("[1, 2]", "plain.json")


def test_layers_one_by_one_cannot_have_experts() -> None:
    with pytest.raises(InputError, match="choose a strategy for whole networks such as network"):
        simulate(routed(), MACHINE, tokens=4)


def test_all_experts_are_resident_and_each_has_tiles_of_its_own() -> None:
    mapping = place(routed(), MACHINE)
    layer = next(layer for layer in mapping.layers if layer.name == "bank")
    assert len(layer.tiles_of) == 8
    assert len({tile for tiles in layer.tiles_of for tile in tiles}) == 8
    assert mapping.crossbars == 8 + 1 + 1
    assert mapping.network.weights_on_tiles == (8 + 1) * 512 * 512 + 512 * 8


def busy(result: Any, layer: str) -> int:
    return next(each.latency_ps for each in result.layers if each.name == layer)


def test_the_busiest_expert_sets_the_pace_and_energy_counts_what_is_done() -> None:
    """All 64 tokens pass through expert 0: four times the 16 vectors of an even load."""
    loads: list[tuple[float, ...]] = [(), (1000, 1, 1, 1, 1, 1, 1, 1)]
    even, skewed = (run(routed(load), batch="all") for load in loads)
    longer = skewed.latency_ps - even.latency_ps - 48 * MACHINE.tile.mvm_ps(512, 512, 1)
    assert 0 <= longer < 100_000  # experts of two loads send two pieces, a burst each
    mvms = [each.energy.component_aj["tile"] for each in (even, skewed) if each.energy]
    assert len(set(mvms)) == 1  # as many MVMs, on whatever experts


def test_idle_experts_are_never_busy() -> None:
    """One token of two experts: six of eight tiles of the bank have no task."""
    job = execute(routed(), MACHINE, make_strategy("network", {}), tokens=1)
    plan = job.schedule.plan
    mvms = plan.which(lambda work: work.kind == "mvm")
    own = (plan.op == list(plan.ops).index("bank")) & mvms
    tiles = sum(plan.resources[use].parts for task in own.nonzero()[0] for use in uses(plan, task))
    assert tiles == 2


def uses(plan: Any, task: int) -> list[int]:
    return plan.use[plan.use_first[task] : plan.use_first[task + 1]].tolist()


@given(st.integers(1, 70), st.integers(1, 20), st.lists(st.integers(0, 9), min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_every_batch_sends_each_vector_to_an_expert(
    length: int, batch: int, load: list[int]
) -> None:
    """Whatever the batches leave to the last one: MVMs are two for each token."""
    shares = tuple(float(each) for each in load)
    net = routed(shares if sum(each > 0 for each in load) > 1 else ())
    plan = execute(net, MACHINE, make_strategy("network", {"batch": batch}), length).schedule.plan
    mvms = plan.which(lambda work: work.kind == "mvm")
    own = (plan.op == list(plan.ops).index("bank")) & mvms
    assert plan.tokens[own].sum() == 2 * length


def test_a_token_goes_to_all_its_experts_at_once() -> None:
    """64 vectors, not one for each of two experts; what comes back is one of each."""
    ops = [*routed().ops]
    ops[3] = ops[3].model_copy(update={"inputs": ("before", "choice")})
    ops.insert(1, Linear(name="before", inputs=("x",), in_features=512, out_features=512))
    net = Network(name="routed", source="made up", ops=tuple(ops))
    plan = execute(net, MACHINE, make_strategy("network", {"batch": 16}), 64).schedule.plan

    def moved(op: str) -> int:
        moves = plan.which(lambda work: work.kind == "move") & (plan.op == plan.ops.index(op))
        return sum(plan.works[work].shape[0] for work in plan.work[moves].tolist())

    vectors = 64 * 512 * MACHINE.activation_bits // 8
    assert moved("bank") == vectors + moved("choice")
    assert moved("sum") == 2 * vectors


def test_each_expert_has_an_adapter_of_its_own() -> None:
    """PEFT's target_parameters: rank x (in + out) for each expert, and time for each of them."""
    net = routed(rank=8)
    assert net.adapter_parameters == (8 + 1) * 8 * 1024
    assert run(net).latency_ps > run(routed()).latency_ps


# --- shared weights -----------------------------------------------------------------------------


def test_the_blocks_of_albert_lie_on_tiles_once() -> None:
    net = network("albert-base-v2")
    one = network("albert-base-v2", num_hidden_layers=1)
    assert len(net.on_tiles) == 12 * 6 + 1
    assert place(net, MACHINE).crossbars == place(one, MACHINE).crossbars
    assert (net.weights, net.parameters) == (one.weights, one.parameters)
    adapted = net.with_adapters(rank=8)
    shared = adapted.op("block11.attention.query")
    assert adapted.adapter(shared) == adapted.adapter(adapted.op("block0.attention.query"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"turned": False}, "found 'up'; one of the same kind and sizes with its own would do"),
        ({"shared": None}, "turned: found true; true beside shared, which names the layer"),
        ({"out_features": 9}, "found 'up'; one of the same kind and sizes with its own would do"),
    ],
)
def test_weights_the_other_way_round(wrong: dict[str, object], message: str) -> None:
    """They lie on tiles once, and the second bias is its own."""
    up = {"kind": "linear", "name": "up", "in_features": 20, "out_features": 30}
    down = {"kind": "linear", "name": "down", "in_features": 30, "out_features": 20,
            "inputs": ("up",), "shared": "up", "turned": True}  # fmt: skip

    def pair(changes: dict[str, object]) -> Network:
        fields = {"name": "net", "source": "made up", "ops": (up, down | changes)}
        return validate(Network, fields, "net.yaml")

    net = pair({})
    assert (net.weights, net.parameters) == (600, 600 + 30 + 20)
    assert place(net, MACHINE).crossbars == 1
    with pytest.raises(SpecError, match=message):
        pair(wrong)


# --- windows, stems and encoders -----------------------------------------------------------------


def test_a_second_of_sound_is_49_frames_of_wav2vec2() -> None:
    """Receptive field of 400 samples every 320 (Baevski et al., NeurIPS 2020): 25 ms and 20 ms."""
    net = network("wav2vec2-base")
    assert tokens(net, "input_features", 1) == 400
    assert tokens(net, "input_features", 49) == 400 + 48 * 320
    stem = net.op("feature_extractor.conv_layers.0.conv")
    assert (net.tokens(stem, 49), stem.matrices) == (3151, (1, 10, 512))
    grouped = net.op("encoder.pos_conv_embed.conv")
    assert isinstance(grouped, Linear)
    assert grouped.matrices == (16, 128 * 48, 48)
    assert grouped.weights == 768 * 48 * 128


def test_whisper_halves_its_frames_and_reads_them_once() -> None:
    """3000 frames of 80 values, 1500 positions (Radford et al., 2022)."""
    net = network("whisper-tiny")
    assert [tokens(net, f"encoder.conv{i}", 448) for i in (1, 2)] == [3000, 1500]
    assert net.op("encoder.conv1").takes == (3 * 80,)
    cross = net.op("block4.decoder.encoder_attn")
    assert net.keys(cross, 1, past=99) == 1500  # type: ignore[arg-type]
    first, later = (len(flow(net, past)) for past in (0, 5))
    assert first - later > 60  # the encoder is not computed again


def test_who_halves_the_frames_fetches_all_of_them() -> None:
    """Sixty-four frames for thirty-two positions, in whatever batches."""
    small = {"max_source_positions": 32, "encoder_layers": 1, "decoder_layers": 1}
    net = network("whisper-tiny", **small, vocab_size=64)
    plan = execute(net, MACHINE, make_strategy("network", {"batch": 8}), 4).schedule.plan
    moves = plan.which(lambda work: work.kind == "move")
    moves &= plan.op == plan.ops.index("encoder.conv2")
    moved = sum(plan.works[work].shape[0] for work in plan.work[moves].tolist())
    assert moved == 64 * 384 * MACHINE.activation_bits // 8


def flow(net: Network, past: int) -> tuple[str, ...]:
    from hybridsim.strategies.machine_shape import MachineShape
    from hybridsim.strategies.networks.dataflow import dataflow

    works = dataflow(net, MachineShape.of(MACHINE), 1, past).works
    return tuple(work.name for work in works)


def test_swin_merges_patches_from_stage_to_stage() -> None:
    """3136 patches of 4 x 4 become 49 (Liu et al., ICCV 2021); windows have 49 of them."""
    net = network("swin-base")
    assert net.sequence_length == 49
    stages = [tokens(net, f"block{i}.attention.output", 49) for i in (0, 2, 4, 22)]
    assert stages == [3136, 784, 196, 49]
    assert net.keys(net.op("block0.attention.attention"), 49) == 49  # type: ignore[arg-type]


def test_a_sliding_window_bounds_the_keys_and_what_is_kept() -> None:
    net = network("mistral-7b-v0.1")
    attention = net.op("block3.self_attn")
    assert attention.kind == "attention"
    assert [net.keys(attention, 1, past) for past in (9, 5000)] == [10, 4096]
    kinds = [op.window for op in network("gemma-3-1b").ops if op.kind == "attention"]
    assert [bool(window) for window in kinds[:6]] == [True] * 5 + [False]


def test_an_encoder_decoder_is_one_network_and_reads_its_prompt_once() -> None:
    """The decoder's blocks follow the encoder's; the encoder is part of the first token alone."""
    net = network("mt5-small")
    assert net.has_source
    assert tokens(net.after_source(77), "block0.encoder.layer.0.SelfAttention.q", 5) == 77
    assert tokens(net.after_source(77), "block8.decoder.layer.1.EncDecAttention.k", 5) == 77
    assert tokens(net.after_source(77), "block8.decoder.layer.1.EncDecAttention.q", 5) == 5
    short, long = (generate(net, MACHINE, prompt=prompt, new=3) for prompt in (8, 64))
    first = long.prefill.latency_ps - short.prefill.latency_ps
    assert first > 8 * (long.token_ps[0] - short.token_ps[0]) > 0  # more keys, but no encoder


@pytest.mark.parametrize("which", ["encoder", "decoder"])
def test_one_stack_of_a_pair_by_itself(which: str) -> None:
    config = DATA["bart-base"]["config"]
    net = network_from_config(config, name="n", source="s", stack=which)  # type: ignore[arg-type]
    assert len(net.static_linear_layers) == (36 if which == "encoder" else 60)
    assert not net.has_source
