"""ONNX files: what exporters write is read as the same layers, and nothing is left out."""

import ast
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridsim.errors import SpecError
from hybridsim.workload import Network, load_network
from tests.workload.graphs import HEADS, INNER, SIZE, TOKENS, Graph
from tests.workload.outcomes import check_outcome

onnx = pytest.importorskip("onnx", reason="the package onnx reads these files")
from onnx import TensorProto, helper  # noqa: E402

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def to(graph: Graph, *outputs: str, opset: int = 17) -> Path:
        return graph.save(tmp_path, *outputs, opset=opset)

    return to


def kinds(network: Network) -> list[str]:
    return [op.kind for op in network.ops if op.kind != "input"]


# --- what PyTorch exports -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "causal", "found"),
    [
        (
            "encoder_dynamo",
            5491,
            False,
            {"linear": 9, "attention": 2, "norm": 4, "activation": 2, "slice": 6, "add": 5},
        ),
        ("bert_torchscript", 5776, False, {"linear": 13, "attention": 2, "norm": 5, "add": 6}),
        ("gpt_torchscript", 6272, True, {"linear": 9, "attention": 2, "norm": 5, "slice": 6}),
    ],
)
def test_an_exported_transformer(
    name: str, parameters: int, causal: bool, found: dict[str, int]
) -> None:
    """The number of parameters is the one that PyTorch counts (data/export.py prints it)."""
    network = load_network(DATA / f"{name}.onnx")
    counted = Counter(kinds(network))
    assert {kind: counted[kind] for kind in found} == found
    assert network.parameters == parameters
    assert (network.name, network.blocks, network.sequence_length) == (name, 2, None)
    attention = next(op for op in network.ops if op.kind == "attention")
    assert (attention.heads, attention.head_dim, attention.causal) == (2, 8, causal)


def test_an_exported_block_has_the_order_and_the_names_of_its_modules() -> None:
    network = load_network(DATA / "bert_torchscript.onnx")
    assert [f"{op.name} {op.kind}" for op in network.ops if op.block == 1] == [
        "block1.query linear",
        "block1.key linear",
        "block1.value linear",
        "block1.attention attention",
        "block1.dense linear",
        "block1.add add",
        "block1.norm1 norm",
        "block1.intermediate linear",
        "block1.activation activation",
        "block1.output linear",
        "block1.add_2 add",
        "block1.norm2 norm",
    ]
    assert network.op("block1.add").inputs == ("block1.dense", "block0.norm2")
    assert [op.name for op in network.ops if op.block is None] == [
        "words", "segments", "add", "positions", "add_2", "norm",
        "first_token", "pooler", "activation",
    ]  # fmt: skip
    assert network.tokens(network.op("pooler"), 8) == 1


def test_a_fused_product_is_taken_apart() -> None:
    """PyTorch's own attention has one layer for queries, keys and values."""
    network = load_network(DATA / "encoder_dynamo.onnx")
    fused = network.op("block1.self_attn.in_proj")
    slices = [op for op in network.ops if op.inputs == (fused.name,)]
    assert [(op.start, op.out_features) for op in slices if op.kind == "slice"] == [
        (0, 16),
        (16, 16),
        (32, 16),
    ]
    assert network.op("block1.self_attn.attention").inputs == tuple(op.name for op in slices)


def test_the_example_of_the_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    section = (ROOT / "docs" / "workloads.md").read_text().split("## An ONNX file")[1]
    _, code, _, printed, *_ = section.split("```")
    shown = StringIO()
    with redirect_stdout(shown):
        exec(compile(code.removeprefix("python"), "workloads.md", "exec"), {})
    assert shown.getvalue().strip() == printed.strip()


# --- every spelling of a layer ------------------------------------------------------------------


def gelu_erf(g: Graph, x: str) -> str:
    erf = g.op("Add", g.op("Erf", g.op("Div", x, g.floats(2**0.5))), g.floats(1.0))
    return g.op("Mul", g.op("Mul", x, erf), g.floats(0.5))


def gelu_half_first(g: Graph, x: str) -> str:
    erf = g.op("Erf", g.op("Mul", x, g.floats(0.5**0.5)))
    return g.op("Mul", g.op("Mul", g.floats(0.5), x), g.op("Add", g.floats(1.0), erf))


def gelu_tanh(g: Graph, x: str) -> str:
    cube = g.op("Mul", g.op("Pow", x, g.floats(3.0)), g.floats(0.044715))
    inner = g.op("Mul", g.op("Add", x, cube), g.floats((2 / np.pi) ** 0.5))
    half = g.op("Mul", x, g.floats(0.5))
    return g.op("Mul", half, g.op("Add", g.op("Tanh", inner), g.floats(1.0)))


def silu(g: Graph, x: str) -> str:
    return g.op("Mul", x, g.op("Sigmoid", x))


@pytest.mark.parametrize(
    ("spell", "function"),
    [
        (gelu_erf, "gelu"),
        (gelu_half_first, "gelu"),
        (gelu_tanh, "gelu"),
        (silu, "silu"),
        (lambda g, x: g.op("Gelu", x), "gelu"),
        (lambda g, x: g.op("Gelu", x, approximate="tanh"), "gelu"),
        (lambda g, x: g.op("FastGelu", x, domain="com.microsoft"), "gelu"),
        (lambda g, x: g.op("Relu", x), "relu"),
        (lambda g, x: g.op("Max", x, g.floats(0.0)), "relu"),
        (lambda g, x: g.op("Tanh", x), "tanh"),
        (lambda g, x: g.op("Div", x, g.op("Add", g.floats(1.0), g.op("Exp", g.op("Neg", x)))),
         "silu"),
    ],
)  # fmt: skip
def test_an_activation_in_any_spelling(
    spell: Callable[[Graph, str], str], function: str, save: Save
) -> None:
    g = Graph()
    wide = g.linear("x", SIZE, INNER)
    network = load_network(save(g, g.linear(spell(g, wide), INNER, SIZE)))
    assert kinds(network) == ["linear", "activation", "linear"]
    (active,) = (op for op in network.ops if op.kind == "activation")
    assert (active.function, active.features) == (function, INNER)


def gate_first(g: Graph, a: str, b: str) -> str:
    return g.op("Mul", silu(g, a), b)


def gate_last(g: Graph, a: str, b: str) -> str:
    return g.op("Mul", b, gelu_tanh(g, a))


@pytest.mark.parametrize(("spell", "function"), [(gate_first, "swiglu"), (gate_last, "geglu")])
@pytest.mark.parametrize("fused", [True, False])
def test_a_gated_activation_reads_its_gate_first(
    spell: Callable[[Graph, str, str], str], function: str, fused: bool, save: Save
) -> None:
    g = Graph()
    if fused:
        wide = g.linear("x", SIZE, 2 * INNER)
        a, b = g.op("Split", wide, g.ints(INNER, INNER), outputs=2, axis=-1)
    else:
        a, b = (g.linear("x", SIZE, INNER) for _ in range(2))
    network = load_network(save(g, g.linear(spell(g, a, b), INNER, SIZE)))
    (gate,) = (op for op in network.ops if op.kind == "activation")
    assert gate.function == function
    sources = [network.op(name) for name in gate.inputs]
    assert [op.kind for op in sources] == ["slice" if fused else "linear"] * 2
    order = [op.start if op.kind == "slice" else network.ops.index(op) for op in sources]
    assert order == sorted(order)


def layer_norm_whole(g: Graph, x: str) -> str:
    return g.op("LayerNormalization", x, g.weight(SIZE), g.weight(SIZE), axis=-1)


def layer_norm_spelt(g: Graph, x: str) -> str:
    """As the TorchScript exporter does below operator set 17."""
    centered = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    variance = g.op("ReduceMean", g.op("Pow", centered, g.floats(2.0)), axes=[-1])
    root = g.op("Sqrt", g.op("Add", variance, g.floats(1e-5)))
    scaled = g.op("Mul", g.op("Div", centered, root), g.weight(SIZE))
    return g.op("Add", scaled, g.weight(SIZE))


def layer_norm_reciprocal(g: Graph, x: str) -> str:
    centered = g.op("Sub", x, g.op("ReduceMean", x, axes=[2]))
    variance = g.op("ReduceMean", g.op("Mul", centered, centered), axes=[2])
    root = g.op("Pow", g.op("Add", variance, g.floats(1e-12)), g.floats(-0.5))
    scaled = g.op("Mul", g.weight(SIZE), g.op("Mul", root, centered))
    return g.op("Add", g.weight(SIZE), scaled)


def rms_norm_spelt(g: Graph, x: str) -> str:
    square = g.op("ReduceMean", g.op("Pow", x, g.floats(2.0)), axes=[-1])
    root = g.op("Sqrt", g.op("Add", square, g.floats(1e-6)))
    return g.op("Mul", g.weight(SIZE), g.op("Mul", x, g.op("Reciprocal", root)))


def no_norm(g: Graph, x: str) -> str:
    """As in MobileBERT."""
    return g.op("Add", g.op("Mul", x, g.weight(SIZE)), g.weight(SIZE))


@pytest.mark.parametrize(
    ("spell", "function", "parameters"),
    [
        (layer_norm_whole, "layer_norm", 2 * SIZE),
        (layer_norm_spelt, "layer_norm", 2 * SIZE),
        (layer_norm_reciprocal, "layer_norm", 2 * SIZE),
        (rms_norm_spelt, "rms_norm", SIZE),
        (lambda g, x: g.op("RMSNormalization", x, g.weight(SIZE)), "rms_norm", SIZE),
        (no_norm, "no_norm", 2 * SIZE),
    ],
)
def test_a_norm_in_any_spelling(
    spell: Callable[[Graph, str], str], function: str, parameters: int, save: Save
) -> None:
    g = Graph()
    normed = spell(g, g.linear("x", SIZE, SIZE))
    network = load_network(save(g, g.linear(normed, SIZE, SIZE)))
    assert kinds(network) == ["linear", "norm", "linear"]
    (norm,) = (op for op in network.ops if op.kind == "norm")
    assert (norm.function, norm.parameters) == (function, parameters)


def matmul_add(g: Graph, x: str) -> str:
    return g.linear(x, SIZE, INNER)


def gemm(g: Graph, x: str) -> str:
    """As for Conv1D of transformers: the tokens of all sequences in one axis."""
    flat = g.op("Reshape", x, g.ints(-1, SIZE))
    y = g.op("Gemm", flat, g.weight(SIZE, INNER), g.weight(INNER))
    return g.op("Reshape", y, g.ints(1, TOKENS, INNER))


def gemm_transposed(g: Graph, x: str) -> str:
    y = g.op("Gemm", g.op("Squeeze", x), g.weight(INNER, SIZE), g.weight(INNER), transB=1)
    return g.op("Unsqueeze", y, g.ints(0))


def transposed_weight(g: Graph, x: str) -> str:
    weight = g.op("Transpose", g.weight(INNER, SIZE, name="query.weight"), perm=[1, 0])
    return g.op("Add", g.op("MatMul", x, weight), g.weight(INNER, name="query.bias"))


def convolution(g: Graph, x: str) -> str:
    turned = g.op("Transpose", x, perm=[0, 2, 1])
    y = g.op("Conv", turned, g.weight(INNER, SIZE, 1), g.weight(INNER), kernel_shape=[1])
    return g.op("Transpose", y, perm=[0, 2, 1])


@pytest.mark.parametrize(
    "spell", [matmul_add, gemm, gemm_transposed, transposed_weight, convolution]
)
def test_a_linear_layer_in_any_spelling(spell: Callable[[Graph, str], str], save: Save) -> None:
    g = Graph()
    network = load_network(save(g, spell(g, "x")))
    assert kinds(network) == ["linear"]
    (layer,) = network.static_linear_layers
    assert (layer.in_features, layer.out_features, layer.bias) == (SIZE, INNER, True)
    if spell is transposed_weight:
        assert layer.name == "query"


def test_a_layer_without_a_bias(save: Save) -> None:
    g = Graph()
    network = load_network(save(g, g.linear("x", SIZE, INNER, bias=False)))
    assert network.parameters == SIZE * INNER


def products(g: Graph, q: str, k: str, v: str) -> str:
    return g.joined(g.attention(*(g.heads(t) for t in (q, k, v))))


def products_by_sequence_and_head(g: Graph, q: str, k: str, v: str) -> str:
    """As PyTorch's multi-head attention: one axis for sequences and heads together."""
    parts = []
    for t in (q, k, v):
        first = g.op("Transpose", t, perm=[1, 0, 2])
        cut = g.op("Reshape", first, g.ints(TOKENS, HEADS, SIZE // HEADS))
        parts.append(g.op("Transpose", cut, perm=[1, 0, 2]))
    turned = g.op("Transpose", parts[1], perm=[0, 2, 1])
    scores = g.op("MatMul", g.op("Mul", parts[0], g.floats(0.5)), turned)
    context = g.op("MatMul", g.op("Softmax", scores, axis=2), parts[2])
    back = g.op("Reshape", g.op("Transpose", context, perm=[1, 0, 2]), g.ints(TOKENS, 1, SIZE))
    return g.op("Transpose", back, perm=[1, 0, 2])


def whole_in_heads(g: Graph, q: str, k: str, v: str) -> str:
    return g.joined(g.op("Attention", *(g.heads(t) for t in (q, k, v))))


def whole_flat(g: Graph, q: str, k: str, v: str) -> str:
    return g.op("Attention", q, k, v, q_num_heads=HEADS, kv_num_heads=HEADS)


def of_onnxruntime(g: Graph, q: str, k: str, v: str) -> str:
    return g.op("MultiHeadAttention", q, k, v, num_heads=HEADS, domain="com.microsoft")


def guarded(g: Graph, q: str, k: str, v: str) -> str:
    """With a mask that enters, and zeros where a row is masked altogether."""
    g.inputs.append(helper.make_tensor_value_info("seen", TensorProto.BOOL, (1, TOKENS)))
    cut = [g.heads(t) for t in (q, k, v)]
    turned = g.op("Transpose", cut[1], perm=[0, 1, 3, 2])
    allowed = g.op("Unsqueeze", "seen", g.ints(1, 2))
    scores = g.op("Where", allowed, g.op("MatMul", cut[0], turned), g.floats(-1e30))
    shares = g.op("Softmax", scores, axis=-1)
    shares = g.op("Where", g.op("IsNaN", shares), g.floats(0.0), shares)
    return g.joined(g.op("MatMul", shares, cut[2]))


@pytest.mark.parametrize(
    "spell",
    [
        products, products_by_sequence_and_head, whole_in_heads, whole_flat, of_onnxruntime,
        guarded,
    ],
)  # fmt: skip
def test_attention_in_any_spelling(
    spell: Callable[[Graph, str, str, str], str], save: Save
) -> None:
    g = Graph()
    qkv = [g.linear("x", SIZE, SIZE) for _ in range(3)]
    out = g.linear(spell(g, *qkv), SIZE, SIZE)
    network = load_network(save(g, out, opset=23))
    assert kinds(network) == ["linear"] * 3 + ["attention", "linear"]
    (found,) = (op for op in network.ops if op.kind == "attention")
    assert (found.heads, found.kv_heads, found.head_dim) == (HEADS, HEADS, SIZE // HEADS)
    assert not found.causal
    assert found.inputs == tuple(op.name for op in network.static_linear_layers[:3])
    assert network.sequence_length == TOKENS


def test_packed_attention_is_a_layer_and_an_attention(save: Save) -> None:
    g = Graph()
    out = g.op(
        "Attention", "x", g.weight(SIZE, 3 * SIZE), g.weight(3 * SIZE),
        num_heads=HEADS, unidirectional=1, domain="com.microsoft",
    )  # fmt: skip
    network = load_network(save(g, out))
    assert kinds(network) == ["linear", "slice", "slice", "slice", "attention"]
    (found,) = (op for op in network.ops if op.kind == "attention")
    assert found.causal
    assert network.parameters == 3 * SIZE * SIZE + 3 * SIZE


def triangle(g: Graph) -> str:
    lower = np.tril(np.ones((TOKENS, TOKENS), np.float32))
    return g.store((1 - lower) * np.float32(-1e9))


def triangle_of_a_buffer(g: Graph) -> str:
    """A table for the longest sequence, cut and turned into numbers in the graph."""
    buffer = g.store(np.tril(np.ones((1, 1, 32, 32), bool)))
    cut = g.op("Slice", buffer, g.ints(0, 0), g.ints(TOKENS, TOKENS), g.ints(2, 3))
    return g.op("Where", cut, g.floats(0.0), g.floats(-np.inf))


def triangle_with_a_mask_that_enters(g: Graph) -> str:
    g.inputs.append(helper.make_tensor_value_info("seen", TensorProto.INT64, (1, TOKENS)))
    seen = g.op("Cast", g.op("Unsqueeze", "seen", g.ints(1, 2)), to=TensorProto.FLOAT)
    hidden = g.op("Mul", g.op("Sub", g.floats(1.0), seen), g.floats(-1e9))
    return g.op("Add", hidden, triangle(g))


def zeros(g: Graph) -> str:
    return g.store(np.zeros((TOKENS, TOKENS), np.float32))


@pytest.mark.parametrize(
    ("mask", "causal"),
    [
        (triangle, True),
        (triangle_of_a_buffer, True),
        (triangle_with_a_mask_that_enters, True),
        (zeros, False),
    ],
)
def test_a_mask_tells_whether_attention_is_causal(
    mask: Callable[[Graph], str], causal: bool, save: Save
) -> None:
    g = Graph()
    q, k, v = (g.heads(g.linear("x", SIZE, SIZE)) for _ in range(3))
    network = load_network(save(g, g.joined(g.attention(q, k, v, mask(g)))))
    (found,) = (op for op in network.ops if op.kind == "attention")
    assert found.causal is causal


@pytest.mark.parametrize("shared", [1, 2])
def test_queries_that_share_heads_of_keys(shared: int, save: Save) -> None:
    g, dim = Graph(), SIZE // HEADS
    q = g.heads(g.linear("x", SIZE, SIZE))
    parts = []
    for _ in range(2):
        t = g.heads(g.linear("x", SIZE, shared * dim), shared)
        t = g.op("Unsqueeze", t, g.ints(2))
        t = g.op("Expand", t, g.ints(1, shared, HEADS // shared, TOKENS, dim))
        parts.append(g.op("Reshape", t, g.ints(1, HEADS, TOKENS, dim)))
    network = load_network(save(g, g.joined(g.attention(q, *parts))))
    (found,) = (op for op in network.ops if op.kind == "attention")
    assert (found.heads, found.kv_heads, found.head_dim) == (HEADS, shared, dim)


# --- around the blocks --------------------------------------------------------------------------


def test_tables_are_embeddings_and_a_tied_head_counts_once(save: Save) -> None:
    g = Graph()
    g.inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch", "tokens"))]
    words = g.weight(50, SIZE, name="words.weight")
    length = g.op("Gather", g.op("Shape", "ids"), g.store(np.int64(1)), axis=0)
    places = g.op("Range", g.store(np.int64(0)), length, g.store(np.int64(1)))
    total = g.op("Add", g.op("Gather", words, "ids"), g.op("Gather", g.weight(12, SIZE), places))
    head = g.op("MatMul", total, g.op("Transpose", words, perm=[1, 0]))
    network = load_network(save(g, head))
    assert kinds(network) == ["embedding", "embedding", "add", "linear"]
    assert (network.op("words").rows, network.op("words").features) == (50, SIZE)
    assert network.weights == 50 * SIZE
    assert network.parameters == (50 + 12) * SIZE
    assert network.sequence_length is None


def test_a_stored_table_that_is_added_is_an_embedding(save: Save) -> None:
    g = Graph()
    network = load_network(save(g, g.op("Add", "x", g.weight(1, TOKENS, SIZE, name="places"))))
    assert kinds(network) == ["embedding", "add"]
    assert network.op("places").rows == TOKENS


def test_an_image_becomes_patches_with_a_class_token(save: Save) -> None:
    g = Graph((1, 3, 12, 8))
    sizes = {"kernel_shape": [4, 4], "strides": [4, 4]}
    y = g.op("Conv", "x", g.weight(SIZE, 3, 4, 4), g.weight(SIZE), **sizes)
    y = g.op("Transpose", g.op("Reshape", y, g.ints(0, SIZE, -1)), perm=[0, 2, 1])
    y = g.op("Concat", g.weight(1, 1, SIZE), y, axis=1)
    y = g.op("Add", y, g.weight(1, 7, SIZE))
    first = g.op("Gather", y, g.store(np.int64(0)), axis=1)
    network = load_network(save(g, g.linear(first, SIZE, 5)))
    assert kinds(network) == ["linear", "class_token", "embedding", "add", "first_token", "linear"]
    patch, head = network.static_linear_layers
    assert (patch.in_features, patch.out_features) == (3 * 4 * 4, SIZE)
    assert (network.tokens(patch, 7), network.tokens(head, 7)) == (6, 1)


def test_joined_vectors(save: Save) -> None:
    g = Graph()
    both = g.op("Concat", g.linear("x", SIZE, 4), "x", axis=-1)
    network = load_network(save(g, g.linear(both, SIZE + 4, 3)))
    (joined,) = (op for op in network.ops if op.kind == "concat")
    assert joined.features == (4, SIZE)


def shifted(g: Graph, x: str, start: int) -> str:
    """The next token's vector for a start of 1, that of the token before for 0."""
    cut = g.op("Slice", x, g.ints(start), g.ints(TOKENS - 1 + start), g.ints(1))
    return g.op("Pad", cut, g.ints(0, 1 - start, 0, 0, start, 0), g.floats(0.0))


def test_the_neighbours_of_each_token_joined_are_a_trigram(save: Save) -> None:
    """As the embeddings of MobileBERT."""
    g = Graph()
    y = g.op("Concat", shifted(g, "x", 1), "x", shifted(g, "x", 0), axis=2)
    network = load_network(save(g, g.linear(y, 3 * SIZE, SIZE)))
    assert kinds(network) == ["trigram", "linear"]


def test_a_constant_factor_belongs_to_the_weights(save: Save) -> None:
    g = Graph()
    scaled = g.op("Mul", g.linear("x", SIZE, SIZE), g.floats(4.0))
    network = load_network(save(g, g.op("Add", scaled, "x")))
    assert kinds(network) == ["linear", "add"]


def test_weights_that_are_stored_elsewhere_are_not_needed(tmp_path: Path) -> None:
    g = Graph()
    model = g.model(g.linear("x", SIZE, SIZE))
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="gone.bin")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_network(path).weights == SIZE * SIZE


def test_a_file_beyond_the_limit_of_text_files(save: Save) -> None:
    g = Graph((1, TOKENS, 1024))
    path = save(g, g.linear("x", 1024, 512))
    assert path.stat().st_size > 2**20
    assert load_network(path).weights == 1024 * 512


# --- what is refused ----------------------------------------------------------------------------


def rotated(g: Graph) -> str:
    return g.linear(g.op("Sin", "x"), SIZE, SIZE)


def gathered(g: Graph) -> str:
    return g.op("Gather", "x", g.store(np.int64(3)), axis=1)


def pooled(g: Graph) -> str:
    return g.op("ReduceMean", "x", axes=[1])


def over_tokens(g: Graph) -> str:
    return g.op("MatMul", g.op("Transpose", "x", perm=[0, 2, 1]), g.weight(TOKENS, TOKENS))


def of_channels(g: Graph) -> str:
    return g.op("MatMul", g.op("Transpose", "x", perm=[0, 2, 1]), "x")


def without_softmax(g: Graph) -> str:
    scores = g.op("MatMul", "x", g.op("Transpose", "x", perm=[0, 2, 1]))
    return g.op("MatMul", scores, "x")


def softmax(g: Graph) -> str:
    return g.op("Softmax", "x", axis=-1)


def odd_activation(g: Graph) -> str:
    return g.linear(g.op("Exp", g.linear("x", SIZE, SIZE)), SIZE, SIZE)


def scaled_activation(g: Graph) -> str:
    doubled = g.op("Mul", g.op("Relu", g.linear("x", SIZE, SIZE)), g.floats(3.0))
    return g.op("Add", doubled, "x")


def scaled_sum(g: Graph) -> str:
    total = g.op("Add", "x", g.linear("x", SIZE, SIZE))
    return g.op("Add", g.op("Mul", total, g.floats(3.0)), "x")


def shifted_alone(g: Graph) -> str:
    return g.linear(shifted(g, "x", 1), SIZE, SIZE)


def odd_end(g: Graph) -> str:
    return g.op("Sigmoid", g.linear("x", SIZE, 2))


def scores_leave(g: Graph) -> str:
    return g.op("MatMul", "x", g.op("Transpose", "x", perm=[0, 2, 1]))


def wrong_size(g: Graph) -> str:
    return g.op("MatMul", "x", g.weight(SIZE + 1, SIZE))


def multiplied(g: Graph) -> str:
    return g.op("Mul", "x", g.linear("x", SIZE, SIZE))


def other_domain(g: Graph) -> str:
    return g.op("Magic", "x", domain="com.example")


def weights_that_enter(g: Graph) -> str:
    g.inputs.append(helper.make_tensor_value_info("w", TensorProto.INT64, (SIZE, SIZE)))
    return g.op("MatMul", "x", g.op("Cast", "w", to=TensorProto.FLOAT))


def huge(g: Graph) -> str:
    return g.op("Add", "x", g.op("ConstantOfShape", g.ints(2**20, 2**20)))


def shape_that_enters(g: Graph) -> str:
    g.inputs.append(helper.make_tensor_value_info("n", TensorProto.INT64, (3,)))
    return g.op("Reshape", "x", "n")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (rotated, "'/Sin_0' (Sin): no rule for this kind of node"),
        (gathered, "'/Gather_0' (Gather): it takes some of the tokens; only the first one"),
        (pooled, "'/ReduceMean_0' (ReduceMean): it takes no mean over the elements of a vector"),
        (over_tokens, "'/MatMul_1' (MatMul): it works on an axis that is not the elements"),
        (of_channels, "'/MatMul_1' (MatMul): it multiplies over an axis that is not the elem"),
        (without_softmax, "'/MatMul_2' (MatMul): it is an attention without a softmax"),
        (softmax, "'/Softmax_0' (Softmax): a softmax is modelled in an attention only"),
        (odd_activation, "(MatMul): it reads an element-wise function that is no known activ"),
        (scaled_activation, "(Add): it reads an element-wise function that is no known activ"),
        (scaled_sum, "(Add): it scales the output of an op of kind 'add'"),
        (shifted_alone, "(MatMul): it reads tokens that were moved; all three neighbours joined"),
        (odd_end, "output 't2_0': it reads an element-wise function that is no known activation"),
        (scores_leave, "output 't1_0': is no vector per token"),
        (wrong_size, "'/MatMul_0' (MatMul): it takes 17 features, but its input gives 16"),
        (multiplied, "it multiplies vectors that are not gated by GELU or SiLU"),
        (other_domain, "'/Magic_0' (com.example.Magic): no rule for this kind of node"),
        (weights_that_enter, "its input 1 is computed; trained numbers would do"),
        (huge, "'/ConstantOfShape_0' (ConstantOfShape): its result would be too large"),
        (shape_that_enters, "(Reshape): a shape or index depends on the values that enter"),
    ],
)
def test_what_is_not_modelled_is_named(
    build: Callable[[Graph], str], message: str, save: Save
) -> None:
    g = Graph()
    path = save(g, build(g))
    with pytest.raises(SpecError) as caught:
        load_network(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 1 node is not modelled: ")
    assert message in text
    assert "\n" not in text


def test_all_nodes_that_are_not_modelled_are_counted(save: Save) -> None:
    g = Graph()
    made = [g.op(name, "x") for name in ("Sin", "Cos", "Tan", "Atan")]
    with pytest.raises(
        SpecError, match=r"4 nodes are not modelled: .*Sin.*Cos.*Tan.*; and 1 more"
    ):
        load_network(save(g, *made))


def test_what_follows_such_a_node_is_not_blamed(save: Save) -> None:
    g = Graph()
    y = g.linear(g.op("Sin", "x"), SIZE, SIZE)
    with pytest.raises(SpecError, match="1 node is not modelled"):
        load_network(save(g, g.op("Relu", y)))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "holds no graph; an exported model would do"),
        (b"no protobuf at all", "is no ONNX model: "),
    ],
)
def test_a_file_that_is_no_model(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        load_network(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@given(path=st.sampled_from(sorted(DATA.glob("*.onnx"))), data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_a_file_is_refused_or_harmless(
    path: Path, data: st.DataObject, tmp_path: Path
) -> None:
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2]))]))
    check_outcome(damaged, SpecError)


@given(path=st.sampled_from(sorted(DATA.glob("*.onnx"))), data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_node_is_refused_or_read(
    path: Path, data: st.DataObject, tmp_path: Path
) -> None:
    """Other inputs, another kind, fewer inputs or no attributes: never a bare error."""
    model = onnx.load(path)
    node = data.draw(st.sampled_from(list(model.graph.node)))
    known = sorted({n.op_type for n in model.graph.node} | {"Gemm", "Conv", "Attention", "Concat"})
    change = data.draw(st.sampled_from(("kind", "input", "fewer", "attributes")))
    if change == "kind":
        node.op_type = data.draw(st.sampled_from(known))
    elif change == "input" and node.input:
        names = [name for n in model.graph.node for name in n.output]
        node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(
            st.sampled_from(names)
        )
    elif change == "fewer" and node.input:
        del node.input[-1]
    else:
        del node.attribute[:]
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(model.SerializeToString())
    check_outcome(damaged, SpecError)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        load_network(tmp_path / "gone.onnx")


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(
        SpecError, match=r"pip install 'hybridsim\[onnx\]' \('\.\[onnx\]' in a clone\) would do"
    ):
        load_network(DATA / "bert_torchscript.onnx")


def test_the_package_is_imported_only_when_a_file_is_read() -> None:
    """Importing hybridsim stays light: no module of the import room imports onnx at its top."""
    for path in sorted((ROOT / "hybridsim" / "workload" / "onnx_import").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in named if name.split(".")[0] == "onnx"], path.name
