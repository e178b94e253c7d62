"""ONNX files of published families: rotary embeddings, shared weights, images, and budgets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.errors import SpecError
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from hybridsim.workload import Network, load_network
from hybridsim.workload.onnx_import.values import POINTS, activation, is_multiple
from tests.workload.graphs import HEADS, INNER, SIZE, TOKENS, Graph

onnx = pytest.importorskip("onnx", reason="the package onnx reads these files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

DATA = Path(__file__).parent / "data" / "transformers"
DIM = SIZE // HEADS


def of_kind(network: Network, kind: str) -> list[Any]:
    return [op for op in network.ops if op.kind == kind]


ONE_HOT = "too large" if onnx.__version__ >= "1.17" else "depends on the values that enter"
"""What is said of a OneHot of many classes: onnx 1.16 does not infer its shape at all."""


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize(
    ("name", "layers", "weights", "parameters", "differs", "found"),
    [
        ("llama", 15, 5408, 6288, (0,), {"rotary": 4, "attention": 2, "linear": 15}),
        # norms without shifts are counted with them
        ("modernbert", 8, 5120, 6000, (80,), {"rotary": 4, "attention": 2, "linear": 8}),
        # 13 uses of 7 layers; dynamo cuts the table of 24 positions to the 14 that are left over
        ("albert", 7, 2176, 2992, (0, -80), {"linear": 13, "attention": 2, "norm": 5}),
        ("deit", 13, 7168, 7696, (0,), {"class_token": 2, "linear": 13}),
        # half of the norms' parameters are folded into the weights
        ("resnet", 7, 5992, 6141, (-72,), {"linear": 7, "pool": 2, "window": 6, "add": 2}),
    ],
)
def test_what_pytorch_counts_is_read(
    name: str, layers: int, weights: int, parameters: int, differs: tuple[int, ...],
    found: dict[str, int], exporter: str,
) -> None:  # fmt: skip
    """Layers, weights and parameters are those that PyTorch counts (transformers/export.py)."""
    network = load_network(DATA / f"{name}_{exporter}.onnx")
    assert (len(network.static_linear_layers), network.weights) == (layers, weights)
    assert network.parameters - parameters in differs
    assert {kind: len(of_kind(network, kind)) for kind in found} == found


def test_a_mask_tells_who_attends_to_whom() -> None:
    llama = load_network(DATA / "llama_torchscript.onnx")
    assert [(op.causal, op.window) for op in of_kind(llama, "attention")] == [(True, None)] * 2
    modern = load_network(DATA / "modernbert_dynamo.onnx")
    seen = [(op.causal, op.window) for op in of_kind(modern, "attention")]
    assert seen == [(False, None), (False, 5)]  # two neighbours on each side


def test_a_shared_layer_is_on_tiles_once() -> None:
    network = load_network(DATA / "albert_torchscript.onnx")
    second = [op for op in of_kind(network, "linear") if op.shared]
    assert len(second) == 6
    assert {op.shared for op in second} < {op.name for op in network.static_linear_layers}
    result = simulate(network, load_machine("ahwa_lora_2026"), make_strategy("network", {}), 4)
    assert result.tiles == 7


# --- rotary embeddings, however they are spelt --------------------------------------------------


def table(function: Callable[[Any], Any], columns: int, neighbours: bool = False) -> Any:
    angles = np.outer(np.arange(TOKENS), 100.0 ** -np.linspace(0, 1, columns // 2))
    both = np.repeat(angles, 2, axis=1) if neighbours else np.tile(angles, 2)
    return function(both[:, :columns]).astype(np.float32)


def halves(g: Graph, x: str, size: int = DIM) -> str:
    """x cos + swapped(x) sin, as in transformers."""
    first, second = (
        g.op("Slice", x, g.ints(a), g.ints(b), g.ints(-1))
        for a, b in ((0, size // 2), (size // 2, size))
    )
    turned = g.op("Concat", g.op("Neg", second), first, axis=-1)
    cos, sin = (g.store(table(f, size)) for f in (np.cos, np.sin))
    return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))


def half_by_half(g: Graph, x: str) -> str:
    """(a cos - b sin, b cos + a sin), the halves joined at the end."""
    a, b = g.op("Split", x, g.ints(DIM // 2, DIM // 2), outputs=2, axis=-1)
    place = g.store(np.arange(TOKENS, dtype=np.float32)[:, None] * np.ones(DIM // 2, np.float32))
    cos, sin = g.op("Cos", place), g.op("Sin", place)
    first = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    second = g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin))
    return g.op("Concat", first, second, axis=-1)


def neighbours(g: Graph, x: str) -> str:
    """Every other element is the partner of the one before, as in GPT-J."""
    even, odd = (
        g.op("Slice", x, g.ints(start), g.ints(DIM), g.ints(-1), g.ints(2)) for start in (0, 1)
    )
    pair = [g.op("Unsqueeze", each, g.ints(-1)) for each in (g.op("Neg", odd), even)]
    turned = g.op("Reshape", g.op("Concat", *pair, axis=-1), g.ints(0, 0, 0, DIM))
    cos, sin = (g.store(table(f, DIM, neighbours=True)) for f in (np.cos, np.sin))
    return g.op("Add", g.op("Mul", turned, sin), g.op("Mul", x, cos))


def in_part(g: Graph, x: str) -> str:
    """The first half of each head alone, as in Phi and StableLM."""
    first, rest = g.op("Split", x, g.ints(DIM // 2, DIM // 2), outputs=2, axis=-1)
    return g.op("Concat", halves(g, first, DIM // 2), rest, axis=-1)


def whole(g: Graph, x: str) -> str:
    tables = [g.store(np.zeros((TOKENS, DIM // 2), np.float32)) for _ in range(2)]
    places = g.store(np.zeros((1, TOKENS), np.int64))
    return g.op("RotaryEmbedding", x, places, *tables, domain="com.microsoft")


@pytest.mark.parametrize("spell", [halves, half_by_half, neighbours, in_part, whole])
@pytest.mark.parametrize("fused", [False, True])
def test_a_rotary_embedding_in_any_spelling(
    spell: Callable[[Graph, str], str], fused: bool, tmp_path: Path
) -> None:
    g = Graph()
    if fused:
        parts = g.op("Split", g.linear("x", SIZE, 3 * SIZE), outputs=3, axis=-1)
    else:
        parts = [g.linear("x", SIZE, SIZE) for _ in range(3)]
    q, k, v = (g.heads(part) for part in parts)
    network = load_network(g.save(tmp_path, g.joined(g.attention(spell(g, q), spell(g, k), v))))
    (attention,) = of_kind(network, "attention")
    rotaries = of_kind(network, "rotary")
    assert [(op.heads, op.head_dim) for op in rotaries] == [(HEADS, DIM)] * 2
    assert attention.inputs[:2] == tuple(op.name for op in rotaries)
    read = {network.op(op.inputs[0]).kind for op in rotaries}
    assert read == {"slice" if fused else "linear"}


def cosine_alone(g: Graph, x: str) -> str:
    return g.op("Mul", x, g.store(table(np.cos, DIM)))


def both_cosines(g: Graph, x: str) -> str:
    return g.op("Add", cosine_alone(g, x), cosine_alone(g, x))


@pytest.mark.parametrize("spell", [cosine_alone, both_cosines])
def test_what_turns_no_pairs_is_refused(
    spell: Callable[[Graph, str], str], tmp_path: Path
) -> None:
    g = Graph()
    x = g.heads(g.linear("x", SIZE, SIZE))
    path = g.save(tmp_path, g.linear(g.joined(spell(g, x)), SIZE, SIZE))
    with pytest.raises(SpecError, match="1 node is not modelled"):
        load_network(path)


@pytest.mark.parametrize("inner", [True, False])
def test_heads_outside_of_a_fused_product_are_told_apart(inner: bool, tmp_path: Path) -> None:
    """As in BLOOM and GPT-NeoX: queries, keys and values of a head lie behind each other."""
    g = Graph()
    wide = g.linear("x", SIZE, 3 * SIZE)
    if inner:
        heads = g.op("Reshape", wide, g.ints(0, 0, HEADS, 3, DIM))
        parts = [g.op("Gather", heads, g.store(np.int64(i)), axis=3) for i in range(3)]
    else:
        heads = g.op("Reshape", wide, g.ints(0, 0, HEADS, 3 * DIM))
        parts = g.op("Split", heads, outputs=3, axis=-1)
    q, k, v = (g.op("Transpose", part, perm=[0, 2, 1, 3]) for part in parts)
    network = load_network(g.save(tmp_path, g.joined(g.attention(q, k, v))))
    assert [op.start for op in of_kind(network, "slice")] == [0, SIZE, 2 * SIZE]
    assert of_kind(network, "attention")[0].heads == HEADS


@pytest.mark.parametrize("counts", [(1,), (1, 1), (1, 4)])
def test_trained_tokens_in_front(counts: tuple[int, ...], tmp_path: Path) -> None:
    g = Graph()
    tokens = [g.weight(1, count, SIZE, name=f"token{i}") for i, count in enumerate(counts)]
    joined = g.op("Concat", *tokens, g.linear("x", SIZE, SIZE), axis=1)
    network = load_network(g.save(tmp_path, g.linear(joined, SIZE, SIZE)))
    assert network.parameters == 2 * (SIZE * SIZE + SIZE) + sum(counts) * SIZE
    first, last = network.static_linear_layers
    assert network.tokens(last, TOKENS) - network.tokens(first, TOKENS) == sum(counts)


def test_a_norm_of_each_head(tmp_path: Path) -> None:
    """As in Qwen3: one set of scales for all heads."""
    g = Graph()
    x = g.heads(g.linear("x", SIZE, SIZE, bias=False))
    square = g.op("ReduceMean", g.op("Pow", x, g.floats(2.0)), axes=[-1])
    root = g.op("Sqrt", g.op("Add", square, g.floats(1e-6)))
    normed = g.op("Mul", g.weight(DIM), g.op("Div", x, root))
    network = load_network(g.save(tmp_path, g.linear(g.joined(normed), SIZE, SIZE, bias=False)))
    (norm,) = of_kind(network, "norm")
    assert (norm.function, norm.parts, norm.parameters) == ("rms_norm", HEADS, DIM)


# --- weights that several layers share ----------------------------------------------------------


def twice(g: Graph, first: str, second: str) -> str:
    """The same matrix for two layers, under one name or under two."""
    return g.op("MatMul", g.op("MatMul", "x", first), second)


@pytest.mark.parametrize(
    ("names", "copies", "layers"),
    [
        (("onnx::MatMul_1", "onnx::MatMul_1"), False, 1),  # one tensor
        (("onnx::MatMul_1", "onnx::MatMul_2"), True, 1),  # a copy of the same numbers
        (("onnx::MatMul_1", "onnx::MatMul_2"), False, 2),  # other numbers
        (("a.weight", "b.weight"), True, 2),  # two parameters that happen to be equal
    ],
)
def test_equal_weights_are_shared_if_they_have_no_names_of_their_own(
    names: tuple[str, str], copies: bool, layers: int, tmp_path: Path
) -> None:
    g = Graph()
    for name in dict.fromkeys(names):
        g.weight(SIZE, SIZE, name=name)
    if copies:
        g.stored[1].raw_data = g.stored[0].raw_data
    network = load_network(g.save(tmp_path, twice(g, *names)))
    assert len(of_kind(network, "linear")) == 2
    assert len(network.static_linear_layers) == layers
    assert network.parameters == layers * SIZE * SIZE


@pytest.mark.parametrize("inner", [INNER, SIZE])
@pytest.mark.parametrize("gemm", [False, True])
def test_a_matrix_and_its_transpose_are_one(inner: int, gemm: bool, tmp_path: Path) -> None:
    """An autoencoder with tied weights: one matrix, used twice, and a bias at each end."""
    g = Graph((TOKENS, SIZE))
    matrix = g.weight(SIZE, inner, name="W")
    hidden = g.op("Relu", g.op("Add", g.op("MatMul", "x", matrix), g.weight(inner)))
    if gemm:
        output = g.op("Gemm", hidden, matrix, g.weight(SIZE), transB=1)
    else:
        turned = g.op("Transpose", matrix, perm=[1, 0])
        output = g.op("Add", g.op("MatMul", hidden, turned), g.weight(SIZE))
    network = load_network(g.save(tmp_path, output))
    first, second = of_kind(network, "linear")
    assert (second.shared, second.turned, first.turned) == (first.name, True, False)
    assert (second.in_features, second.out_features) == (inner, SIZE)
    assert network.weights == SIZE * inner
    assert network.parameters == SIZE * inner + inner + SIZE
    assert Network.model_validate(network.to_text()) == network
    adapted = network.with_adapters(rank=4)
    assert adapted.adapter_parameters == 4 * (SIZE + inner)
    machine = load_machine("ahwa_lora_2026")
    assert simulate(adapted, machine, make_strategy("network", {}), tokens=8).latency_ps > 0


def test_shared_weights_in_a_file_beside(tmp_path: Path) -> None:
    g = Graph()
    matrix = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    (tmp_path / "net.bin").write_bytes(matrix.tobytes() * 2)
    model = g.model(
        twice(g, g.weight(SIZE, SIZE, name="val_1"), g.weight(SIZE, SIZE, name="val_2"))
    )
    for i, tensor in enumerate(model.graph.initializer):
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "net.bin"), ("offset", str(i * matrix.nbytes))):
            tensor.external_data.add(key=key, value=value)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert len(load_network(path).static_linear_layers) == 1
    (tmp_path / "net.bin").unlink()
    assert len(load_network(path).static_linear_layers) == 2


def test_a_head_that_is_the_embedding_turned(tmp_path: Path) -> None:
    g = Graph()
    g.inputs.append(helper.make_tensor_value_info("ids", TensorProto.INT64, (1, TOKENS)))
    words = g.weight(50, SIZE, name="words.weight")
    turned = numpy_helper.to_array(g.stored[0]).T
    hidden = g.op("Add", g.op("Gather", words, "ids"), "x")
    head = g.op("MatMul", hidden, g.store(np.ascontiguousarray(turned), "onnx::MatMul_9"))
    network = load_network(g.save(tmp_path, head))
    assert network.static_linear_layers[0].tied
    assert network.parameters == 50 * SIZE


# --- images -------------------------------------------------------------------------------------


def naive_places(size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Count the places at which a kernel lies within a padded row."""
    reach = dilation * (kernel - 1)
    return sum(1 for start in range(0, size + 2 * pad, stride) if start + reach < size + 2 * pad)


@given(
    size=st.integers(4, 20), kernel=st.integers(1, 4), stride=st.integers(1, 3),
    pad=st.integers(0, 2), dilation=st.integers(1, 2), channels=st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_convolution_is_a_matrix_and_one_product_per_position(
    tmp_path_factory: pytest.TempPathFactory, size: int, kernel: int, stride: int, pad: int,
    dilation: int, channels: int,
) -> None:  # fmt: skip
    """Kernel x channels by outputs, at every place where the kernel lies."""
    places = naive_places(size, kernel, stride, pad, dilation)
    if not places:
        return
    g = Graph((1, 2, size, size))
    first = g.op("Conv", "x", g.weight(channels, 2, 1, 1))
    y = g.op(
        "Conv", g.op("Relu", first), g.weight(7, channels, kernel, kernel), g.weight(7),
        strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2,
    )  # fmt: skip
    network = load_network(g.save(tmp_path_factory.mktemp("conv"), y))
    one, layer = network.static_linear_layers
    assert (layer.in_features, layer.out_features) == (channels * kernel * kernel, 7)
    assert network.tokens(one, 1) == size * size
    assert network.tokens(layer, 1) == places * places
    assert network.parameters == 2 * channels + 7 * channels * kernel**2 + 7


def inverted_residual(g: Graph) -> str:
    """A block of MobileNetV2, and its head: widen, each channel by itself, narrow, add, mean."""
    stem = g.op("Conv", "x", g.weight(8, 3, 3, 3), g.weight(8), strides=[2, 2], pads=[0, 0, 1, 1])
    wide = g.op("Conv", stem, g.weight(24, 8, 1, 1), g.weight(24))
    wide = g.op("Clip", wide, g.floats(0.0), g.floats(6.0))
    wide = g.op("Conv", wide, g.weight(24, 1, 3, 3), g.weight(24), group=24, pads=[1, 1, 1, 1])
    wide = g.op("Clip", wide, g.floats(0.0), g.floats(6.0))
    narrow = g.op("Conv", wide, g.weight(8, 24, 1, 1), g.weight(8))
    mean = g.op("GlobalAveragePool", g.op("Add", stem, narrow))
    return g.op("Gemm", g.op("Flatten", mean), g.weight(10, 8), g.weight(10), transB=1)


def test_depthwise_convolutions_are_no_matrices(tmp_path: Path) -> None:
    g = Graph((1, 3, 32, 32))
    network = load_network(g.save(tmp_path, inverted_residual(g)))
    sizes = [(op.in_features, op.out_features) for op in network.static_linear_layers]
    assert sizes == [(27, 8), (8, 24), (24, 8), (8, 10)]
    (depthwise,) = of_kind(network, "depthwise")
    assert (depthwise.features, depthwise.kernel) == (24, 9)
    assert network.tokens(depthwise, 1) == 16 * 16
    assert network.tokens(network.static_linear_layers[-1], 1) == 1
    assert network.sequence_length == 1
    machine = load_machine("ahwa_lora_2026")
    layers = simulate(network, machine)
    mvm = machine.tile.integration_time
    assert layers.layers[0].latency_ps >= 256 * mvm  # a product for each of 16 x 16 positions
    strategy = make_strategy("network", {})
    assert simulate(network, machine, strategy).latency_ps > layers.latency_ps


def test_pools_norms_and_all_pixels_at_once(tmp_path: Path) -> None:
    """As in LeNet and VGG: the image is flattened, and a norm of channels is part of weights."""
    g = Graph((1, 3, 12, 12))
    y = g.op("Conv", g.op("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1)), g.weight(6, 3, 3, 3))
    y = g.op("BatchNormalization", y, *(g.weight(6) for _ in range(4)))
    y = g.op("MaxPool", g.op("Relu", y), kernel_shape=[2, 2], strides=[2, 2])
    y = g.op("Gemm", g.op("Flatten", y), g.weight(10, 6 * 36), g.weight(10), transB=1)
    network = load_network(g.save(tmp_path, y))
    conv, dense = network.static_linear_layers
    assert network.tokens(conv, 1) == 144
    assert conv.bias
    assert (dense.in_features, network.tokens(dense, 1)) == (216, 1)
    (pool,) = of_kind(network, "pool")
    assert (pool.kernel, pool.positions) == (4, 36)


def test_a_convolution_of_neighbouring_tokens(tmp_path: Path) -> None:
    """As in the stems of Whisper: along a sequence, whose length stays open."""
    g = Graph()
    turned = g.op("Transpose", "x", perm=[0, 2, 1])
    y = g.op("Conv", turned, g.weight(24, SIZE, 3), g.weight(24), strides=[2], pads=[1, 1])
    network = load_network(g.save(tmp_path, g.op("Transpose", y, perm=[0, 2, 1])))
    (window,) = of_kind(network, "window")
    assert (window.kernel, window.stride, window.padding) == (3, 2, 2)
    assert network.weights == 3 * SIZE * 24


# --- budgets ------------------------------------------------------------------------------------


def stored(name: str, dims: list[int], kind: int = TensorProto.FLOAT) -> Any:
    return TensorProto(name=name, dims=dims, data_type=kind)


def product(weight: Any) -> Graph:
    g = Graph()
    g.stored.append(weight)
    g.op("MatMul", "x", weight.name)
    return g


def made(op: str, *given: Any, **attributes: Any) -> Graph:
    g = Graph()
    g.op(op, *(g.store(np.asarray(each)) for each in given), **attributes)
    g.op("Identity", "x")
    return g


def outer() -> Graph:
    g = Graph()
    row = g.op("Range", *(g.store(np.int64(i)) for i in (0, 2**20, 1)))
    g.op("Mul", row, g.op("Unsqueeze", row, g.ints(1)))
    return g


def reshaped(*shape: int) -> Graph:
    g = Graph()
    g.op("Reshape", "x", g.ints(*shape))
    return g


def entering(*shape: int) -> Graph:
    g = Graph(shape)
    g.op("Identity", "x")
    return g


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: product(stored("w", [2**15, 2**15])), "has 1,073,741,824 elements, but the file"),
        (lambda: product(stored("w", [-8, 8])), "initializer 'w': has sizes of no use"),
        (lambda: product(stored("w", [2**40, 2**40])), "initializer 'w': has sizes of no use"),
        (lambda: made("ConstantOfShape", np.array([2**20, 2**20])), "would be too large"),
        (lambda: made("RandomNormal", shape=[2**20, 2**20]), "would be too large"),
        (lambda: made("OneHot", np.array([1]), np.int64(2**40), np.array([0, 1])), ONE_HOT),
        (lambda: made("Tile", np.zeros(9), np.array([2**40])), "would be too large"),
        (
            lambda: made("Einsum", *[np.zeros(2048, np.float32)] * 4, equation="a,b,c,d->"),
            "its result would be too large",
        ),
        (outer, "its result would be too large"),
        (
            lambda: made("GatherND", np.zeros((4, 4)), np.zeros((1, 1), np.int64), batch_dims=-9),
            "its batch_dims are no axes",  # onnx 1.23 ends the process on it
        ),
        (lambda: reshaped(*[1] * 2000), "it asks for 2000 axes; at most 16 would do"),
        (lambda: entering(-4, 8), "input 'x': axis 0 has -4 steps; 1 to"),
        (lambda: entering(2**40, 8), "input 'x': axis 0 has 1099511627776 steps; 1 to"),
        (lambda: entering(*[1] * 100), "input 'x': has 100 axes; 16 would do"),
    ],
)
def test_a_small_file_cannot_ask_for_much(
    build: Callable[[], Graph], message: str, tmp_path: Path
) -> None:
    g = build()
    path = g.save(tmp_path, f"t{len(g.nodes) - 1}_0")
    assert path.stat().st_size < 40_000
    with pytest.raises(SpecError) as caught:
        load_network(path)
    assert message in str(caught.value)


def test_many_constants_have_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them would fit, all together do not."""
    monkeypatch.setattr("hybridsim.workload.onnx_import.known.MOST_BYTES", 2**20)
    g = Graph()
    size = g.ints(2**15)  # of 4 bytes each
    for _ in range(12):
        g.op("ConstantOfShape", size)
    with pytest.raises(
        SpecError, match=r"4 nodes are not modelled.*its result would be too large"
    ):
        load_network(g.save(tmp_path, g.op("Identity", "x")))


@pytest.mark.parametrize(("depth", "calls", "message"), [
    (1, 1, "function 'f0': calls itself"),
    (40, 2, "has more than 1,048,576 nodes"),
])  # fmt: skip
def test_functions_end(depth: int, calls: int, message: str, tmp_path: Path) -> None:
    """A function that calls itself, and functions that double the nodes forty times."""
    functions = []
    for i in range(depth):
        names = ["a", *(f"b{j}" for j in range(calls))]
        called = f"f{(i + 1) % depth if depth == 1 else i + 1}"
        nodes = [
            helper.make_node(called, [names[j]], [names[j + 1]], domain="own")
            for j in range(calls)
        ]
        imports = [helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{i}", ["a"], [names[-1]], nodes, imports))
    g = Graph()
    g.op("f0", "x", domain="own")
    model = g.model("t0_0")
    model.functions.extend(functions)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SpecError, match=message):
        load_network(path)


def test_a_node_with_a_graph_of_its_own_is_not_run(tmp_path: Path) -> None:
    g = Graph()
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("c", "c2"), ("s", "s2"))], "body",
        [value("i", 7, []), value("c", 9, []), value("s", 1, [1])],
        [value("c2", 9, []), value("s2", 1, [1])],
    )  # fmt: skip
    given = (np.int64(10**12), np.array(True), np.zeros(1, np.float32))
    g.op("Loop", *(g.store(each) for each in given), body=body)
    with pytest.raises(SpecError, match=r"\(Loop\): it has a graph of its own"):
        load_network(g.save(tmp_path, g.op("Identity", "x")))


@pytest.mark.filterwarnings("error")
def test_functions_that_leave_the_numbers_are_no_activations() -> None:
    """A division by zero makes infinities, and those are no multiple of anything."""
    with np.errstate(all="ignore"):
        for odd in (POINTS / 0.0, 0.0 * POINTS / 0.0, np.full_like(POINTS, np.inf)):
            assert not is_multiple(odd)
            assert activation(odd) is None
