"""Published figures of the bundled networks, one test per figure, to the digit."""

from collections import Counter
from os.path import relpath
from pathlib import Path

import pytest

from hybridsim.workload import Linear, Network, load_network

WORKLOADS = Path(__file__).parents[2] / "workloads"
NAMES = (
    "bert_base",
    "bert_base_squad",
    "bert_large",
    "bert_large_squad",
    "distilbert",
    "gpt2",
    "layer_128x128",
    "layer_512x128",
    "minilm_l6",
    "mobilebert",
    "mobilebert_squad",
    "t5_small_decoder",
    "t5_small_encoder",
)


def bundled(name: str) -> Network:
    return load_network(WORKLOADS / f"{name}.yaml")


def shapes(network: Network) -> Counter[tuple[int, int]]:
    return Counter((op.in_features, op.out_features) for op in network.static_linear_layers)


def test_all_bundled_networks_load_under_their_own_name() -> None:
    found = {path.stem for path in WORKLOADS.glob("*.y*ml")}
    assert found >= set(NAMES)
    for name in found:
        assert load_network(WORKLOADS / f"{name}.yaml").name == name


@pytest.mark.parametrize("name", NAMES)
def test_bundled_networks_carry_the_adapters_of_the_paper(name: str) -> None:
    """AHWA-LoRA training scripts: rank 8, alpha 32."""
    network = bundled(name)
    assert network.sequence_length is not None
    assert network.adapters is not None
    assert (network.adapters.rank, network.adapters.alpha) == (8, 32)
    assert network.adapted_layers == network.static_linear_layers


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mobilebert_squad", 1_633_296),  # authors' training log, commit 2788821: trainable
        ("bert_base_squad", 1_333_264),  # published as 1.3 M
        ("bert_large_squad", 3_547_152),  # published as 3.5 M
        ("mobilebert", 1_629_184),  # the first, without 8 * (512 + 2) of the head
        ("minilm_l6", 331_776),  # 6 * 8 * (4 * 768 + 2 * 1920)
        ("distilbert", 663_552),  # 6 * 8 * (4 * 1536 + 2 * 3840)
        ("gpt2", 1_179_648),  # 12 * 8 * (3072 + 1536 + 2 * 3840)
        ("t5_small_encoder", 442_368),  # 6 * 8 * (4 * 1024 + 2 * 2560)
        ("vit_b_16", 1_327_104),  # 12 * 8 * (4 * 1536 + 2 * 3840): the blocks alone
        ("layer_128x128", 8 * 256),
        ("layer_512x128", 8 * 640),
    ],
)
def test_adapter_parameters_at_rank_8(name: str, parameters: int) -> None:
    """AHWA-LoRA (arXiv 2411.17367): rank 8 on every linear layer, the head included."""
    assert bundled(name).adapter_parameters == parameters


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("mobilebert", 361, 20_250_624),
        ("mobilebert_squad", 362, 20_251_648),
        ("bert_base", 72, 84_934_656),
        ("bert_large", 144, 301_989_888),
        ("minilm_l6", 36, 10_616_832),
        ("distilbert", 36, 42_467_328),
        ("gpt2", 48, 84_934_656),
        ("t5_small_encoder", 36, 18_874_368),
        ("vit_b_16", 73, 84_934_656 + 768 * 1000),  # the patch embedding is a convolution
    ],
)
def test_static_linear_layers(name: str, layers: int, weights: int) -> None:
    """Linear modules of transformers' models, instantiated from the same configs."""
    network = bundled(name)
    assert (len(network.static_linear_layers), network.weights) == (layers, weights)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "mobilebert_squad",
            {(512, 128): 168, (128, 512): 120, (128, 128): 72, (384, 512): 1, (512, 2): 1},
        ),
        ("bert_base", {(768, 768): 48, (768, 3072): 12, (3072, 768): 12}),
        ("bert_large", {(1024, 1024): 96, (1024, 4096): 24, (4096, 1024): 24}),
        ("minilm_l6", {(384, 384): 24, (384, 1536): 6, (1536, 384): 6}),
        ("distilbert", {(768, 768): 24, (768, 3072): 6, (3072, 768): 6}),
        ("gpt2", {(768, 2304): 12, (768, 768): 12, (768, 3072): 12, (3072, 768): 12}),
        ("t5_small_encoder", {(512, 512): 24, (512, 2048): 6, (2048, 512): 6}),
        (
            "vit_b_16",
            {(768, 768): 48, (768, 3072): 12, (3072, 768): 12, (768, 1000): 1},
        ),
        ("layer_128x128", {(128, 128): 1}),
        ("layer_512x128", {(512, 128): 1}),
    ],
)
def test_shapes_of_the_linear_layers(name: str, expected: dict[tuple[int, int], int]) -> None:
    assert shapes(bundled(name)) == expected


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mobilebert_squad", 24_582_914),
        ("bert_base_squad", 108_893_186),
        ("bert_large_squad", 334_094_338),
        ("distilbert", 66_362_880),  # DistilBertModel
        ("gpt2", 124_439_808),  # GPT2Model, and GPT2LMHeadModel, whose head is tied
        ("t5_small_encoder", 35_330_816),  # T5EncoderModel: no biases, one table of distances
        ("vit_b_16", 86_567_656),  # ViTForImageClassification with 1000 classes
    ],
)
def test_all_parameters(name: str, parameters: int) -> None:
    """Parameters of transformers' models: every table, norm, bias and token counts."""
    assert bundled(name).parameters == parameters


@pytest.mark.parametrize(
    ("folder", "parameters"),
    [
        ("bert_base", 109_482_240),
        ("bert_large", 335_141_888),
        ("minilm_l6", 22_713_216),
    ],
)
def test_all_parameters_with_a_pooler(folder: str, parameters: int, tmp_path: Path) -> None:
    """Parameters of transformers' ``BertModel``, which has a pooler."""
    file = tmp_path / "net.yaml"
    config = relpath(WORKLOADS / "hf" / folder, tmp_path)
    file.write_text(f"source: test\nhuggingface: {config}\nhead: pooler\n")
    assert load_network(file).parameters == parameters


def test_the_20_4_million_on_analog_tiles() -> None:
    """The paper's 20.4 M: weights, biases, a scale per output column, an input range per layer.

    Which parts the paper sums is not said; this reading gives 20,437,358, others 20.25 M
    (weights alone) and 20.34 M (with biases).
    """
    network = bundled("mobilebert_squad")
    layers = network.static_linear_layers
    scales = sum(op.out_features for op in layers)
    assert (network.biases, scales) == (92_674, 92_674)
    assert network.weights + network.biases + scales + len(layers) == 20_437_358


def test_the_share_of_trained_parameters() -> None:
    """The paper's 6.6 %: adapters over all that full AHWA training changes (24.67 M)."""
    network = bundled("mobilebert_squad")
    full = network.parameters + network.biases + len(network.static_linear_layers)
    assert full == 24_675_950
    assert round(100 * network.adapter_parameters / full, 1) == 6.6


@pytest.mark.parametrize(
    ("targets", "millions"),
    [
        (["*.query", "*.key", "*.value", "*.attention.output"], 0.59),
        (["*.query", "*.value"], 0.29),
    ],
)
def test_smaller_target_sets_do_not_give_the_published_count(
    targets: list[str], millions: float
) -> None:
    """BERT-base is published as 1.3 M, so its targets are more than the attention layers."""
    network = bundled("bert_base").with_adapters(targets=targets)
    assert round(network.adapter_parameters / 1e6, 2) == millions


def test_a_mobilebert_block_runs_in_the_order_of_the_model() -> None:
    """Order of transformers' ``MobileBertLayer.forward``."""
    block = [op for op in bundled("mobilebert").ops if op.block == 3]
    linear = [op.name.removeprefix("block3.") for op in block if isinstance(op, Linear)]
    assert linear == [
        "bottleneck.input",
        "bottleneck.attention",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output",
        *(f"ffn.{i}.{part}" for i in range(3) for part in ("intermediate", "output")),
        "intermediate",
        "output",
        "output.bottleneck",
    ]
    assert len(block) == 34


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("block0.bottleneck.input", ["embeddings.norm"]),
        ("block0.bottleneck.attention", ["embeddings.norm"]),
        ("block0.attention.self.query", ["block0.bottleneck.attention.norm"]),
        ("block0.attention.self.key", ["block0.bottleneck.attention.norm"]),
        ("block0.attention.self.value", ["embeddings.norm"]),
        (
            "block0.attention.output.add",
            ["block0.attention.output", "block0.bottleneck.input.norm"],
        ),
        ("block0.ffn.0.output.add", ["block0.ffn.0.output", "block0.attention.output.norm"]),
        ("block0.output.add", ["block0.output", "block0.ffn.2.output.norm"]),
        ("block0.output.bottleneck.add", ["block0.output.bottleneck", "embeddings.norm"]),
        ("block1.bottleneck.input", ["block0.output.bottleneck.norm"]),
        ("qa_outputs", ["block23.output.bottleneck.norm"]),
    ],
)
def test_what_the_ops_of_mobilebert_read(name: str, inputs: list[str]) -> None:
    """Residuals and bottlenecks as in transformers' ``modeling_mobilebert.py``."""
    assert list(bundled("mobilebert_squad").op(name).inputs) == inputs


def test_heads_of_the_networks() -> None:
    """4 x 32 in MobileBERT, 16 x 64 in BERT-large, 8 x 64 in T5-small, 12 x 32 in MiniLM."""
    found = {}
    for name in (
        "mobilebert", "bert_base", "bert_large", "minilm_l6", "distilbert", "gpt2",
        "t5_small_encoder", "vit_b_16",
    ):  # fmt: skip
        (heads,) = {
            (op.heads, op.kv_heads, op.head_dim, op.causal)
            for op in bundled(name).ops
            if op.kind == "attention"
        }
        found[name] = heads
    assert found == {
        "mobilebert": (4, 4, 32, False),
        "bert_base": (12, 12, 64, False),
        "bert_large": (16, 16, 64, False),
        "minilm_l6": (12, 12, 32, False),
        "distilbert": (12, 12, 64, False),
        "gpt2": (12, 12, 64, True),
        "t5_small_encoder": (8, 8, 64, False),
        "vit_b_16": (12, 12, 64, False),
    }


def block(name: str, index: int) -> list[str]:
    """Return the ops of a block as ``name kind``, without the block's prefix."""
    prefix = f"block{index}."
    return [
        f"{op.name.removeprefix(prefix)} {op.kind}"
        for op in bundled(name).ops
        if op.block == index
    ]


def test_a_gpt2_block_runs_in_the_order_of_the_model() -> None:
    """Order of transformers' ``GPT2Block.forward``, which is that of HARP's graph as well."""
    assert block("gpt2", 3) == [
        "ln_1 norm",
        "attn.c_attn linear",
        "attn.query slice",
        "attn.key slice",
        "attn.value slice",
        "attn attention",
        "attn.c_proj linear",
        "attn.add add",
        "ln_2 norm",
        "mlp.c_fc linear",
        "mlp.act activation",
        "mlp.c_proj linear",
        "mlp.add add",
    ]
    network = bundled("gpt2")
    assert [op.kind for op in network.ops[:3]] == ["embedding", "embedding", "add"]
    assert network.op("block3.attn.add").inputs == ("block3.attn.c_proj", "block2.mlp.add")
    slices = [network.op(f"block3.attn.{name}") for name in ("query", "key", "value")]
    assert [op.start for op in slices if op.kind == "slice"] == [0, 768, 1536]
    assert network.ops[-1].name == "ln_f"


def test_a_t5_block_runs_in_the_order_of_the_model() -> None:
    """Order of transformers' ``T5Block.forward``; the first block holds the position biases."""
    attention, wide = "layer.0.SelfAttention", "layer.1.DenseReluDense"
    assert block("t5_small_encoder", 3) == [
        "layer.0.layer_norm norm",
        *(f"{attention}.{name} linear" for name in "qkv"),
        f"{attention} attention",
        f"{attention}.o linear",
        "layer.0.add add",
        "layer.1.layer_norm norm",
        f"{wide}.wi linear",
        f"{wide}.act activation",
        f"{wide}.wo linear",
        "layer.1.add add",
    ]
    network = bundled("t5_small_encoder")
    biases = f"{attention}.relative_attention_bias embedding"
    assert [line for line in block("t5_small_encoder", 0) if biases in line] == [biases]
    assert network.biases == 0
    assert network.max_sequence_length is None


def test_a_vit_puts_its_class_token_in_front_of_the_patches() -> None:
    """196 patches of 16 x 16 x 3 pixels, then 197 tokens; the classifier reads the first."""
    network = bundled("vit_b_16")
    counted = {op.name: network.tokens(op, 197) for op in network.ops}
    assert counted["pixel_values"] == 196
    assert counted["embeddings.patch_embeddings.projection"] == 196
    assert counted["embeddings.cls_token"] == counted["block11.output"] == 197
    assert counted["classifier"] == 1
    assert network.max_sequence_length == 197
    assert [op.name for op in network.matrices if network.adapter(op) is None] == [
        "embeddings.patch_embeddings.projection",
        "classifier",
    ]


def test_a_distilbert_block_is_named_after_the_modules() -> None:
    """Order of transformers' ``TransformerBlock.forward``."""
    assert [line.split()[0] for line in block("distilbert", 5) if "linear" in line] == [
        *(f"attention.{name}_lin" for name in ("q", "k", "v", "out")),
        "ffn.lin1",
        "ffn.lin2",
    ]


def test_a_tied_head_adds_a_layer_but_no_parameters(tmp_path: Path) -> None:
    """GPT2LMHeadModel has the parameters of GPT2Model: the head's are those of ``wte``."""
    file = tmp_path / "net.yaml"
    config = relpath(WORKLOADS / "hf" / "gpt2", tmp_path)
    file.write_text(f"source: test\nhuggingface: {config}\nhead: lm_head\n")
    network, without = load_network(file), bundled("gpt2")
    assert network.static_linear_layers[-1].name == "lm_head"
    assert network.weights - without.weights == 768 * 50257
    assert network.parameters == without.parameters == 124_439_808


def test_both_stacks_of_t5_small_hold_its_parameters() -> None:
    """google-t5/t5-small has 60,506,624 parameters; both stacks share the word embedding."""
    stacks = bundled("t5_small_encoder"), bundled("t5_small_decoder")
    assert sum(stack.parameters for stack in stacks) - 32128 * 512 == 60_506_624
