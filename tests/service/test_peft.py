"""Adapters in PEFT's format: every tensor counts, layers are found by module path."""

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hybridsim.arch import load_machine
from hybridsim.cli.app import app
from hybridsim.errors import SpecError
from hybridsim.library import network_path
from hybridsim.service import Request, adapter_bytes, read_peft, run_service, with_adapters
from hybridsim.workload import load_network, network_from_config

numpy_format = pytest.importorskip("safetensors.numpy")
QUERY = "base_model.model.bert.encoder.layer.{}.attention.self.query"


def _write(folder, layers, rank=4, config=None):
    """Write an adapter as PEFT does; ``layers`` gives (in, out) by module path."""
    tensors = {}
    for module, (features, out) in layers.items():
        tensors[f"{module}.lora_A.weight"] = np.zeros((rank, features), np.float32)
        tensors[f"{module}.lora_B.weight"] = np.zeros((out, rank), np.float32)
    targets = sorted({module.rpartition(".")[2] for module in layers})
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(settings | (config or {})))
    numpy_format.save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def _minilm():
    return load_network(network_path("minilm_l6"))


def _save(folder, tensors, **config):
    """Write any tensors, by name and shape, as PEFT does."""
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    arrays = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    numpy_format.save_file(arrays, folder / "adapter_model.safetensors")
    return folder


def _pairs(modules, rank=8, name=""):
    """Return the shapes of A and B of each module; ``modules`` gives (in, out) by path."""
    found = {}
    for module, (features, out) in modules.items():
        found[f"base_model.model.{module}.lora_A{name}.weight"] = (rank, features)
        found[f"base_model.model.{module}.lora_B{name}.weight"] = (out, rank)
    return found


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 5,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
}  # fmt: skip
BERT = {
    "model_type": "bert", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 64,
    "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip
VIT = {
    "model_type": "vit", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 32, "patch_size": 8, "hidden_act": "gelu",
}  # fmt: skip
QV = {
    f"model.layers.{i}.self_attn.{part}_proj": (64, size)
    for i in range(4)
    for part, size in (("q", 64), ("v", 32))
}


def _network(config, head=None):
    return network_from_config(config, name="net", source="made up", head=head or "none")


def test_shapes_ranks_and_targets_are_read(tmp_path):
    layers = {QUERY.format(i): (384, 384) for i in range(6)}
    layers["base_model.model.bert.encoder.layer.2.output.dense"] = (1536, 384)
    found = read_peft(_write(tmp_path, layers))
    assert (found.rank, found.alpha) == (4, 16)
    assert found.parameters == 6 * 4 * 768 + 4 * 1920
    assert found.stored_bytes == 4 * found.parameters
    adapted = found.on(_minilm())
    names = {layer.name for layer in adapted.adapted_layers}
    assert names == {f"block{i}.attention.self.query" for i in range(6)} | {"block2.output"}
    assert adapted.adapter_parameters == found.parameters


@pytest.mark.parametrize(
    ("network", "module", "sizes", "layer"),
    [
        (
            "mobilebert",
            "mobilebert.encoder.layer.7.ffn.2.output.dense",
            (512, 128),
            "block7.ffn.2.output",
        ),
        (
            "mobilebert",
            "mobilebert.embeddings.embedding_transformation",
            (384, 512),
            "embedding_transformation",
        ),
        ("gpt2", "transformer.h.3.attn.c_attn", (768, 2304), "block3.attn.c_attn"),
        (
            "distilbert",
            "distilbert.transformer.layer.5.attention.q_lin",
            (768, 768),
            "block5.attention.q_lin",
        ),
        (
            "vit_b_16",
            "vit.encoder.layer.0.attention.attention.query",
            (768, 768),
            "block0.attention.attention.query",
        ),
        ("vit_b_16", "classifier", (768, 1000), "classifier"),
    ],
)
def test_layers_are_found_by_their_module_path(tmp_path, network, module, sizes, layer):
    found = read_peft(_write(tmp_path, {f"base_model.model.{module}": sizes}))
    adapted = found.on(load_network(network_path(network)))
    assert [op.name for op in adapted.adapted_layers] == [layer]


def test_a_layer_that_does_not_exist_is_named(tmp_path):
    found = read_peft(_write(tmp_path, {QUERY.format(6): (384, 384)}))
    with pytest.raises(SpecError, match=r"layer\.6\.attention\.self\.query: is no static linear"):
        found.on(_minilm())


def test_other_sizes_are_refused(tmp_path):
    found = read_peft(_write(tmp_path, {QUERY.format(0): (768, 768)}))
    with pytest.raises(SpecError, match="adapts 768 x 768 features, but block0"):
        found.on(_minilm())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: found 'IA3'; only 'LORA'"),
        ({"r": 0}, "r: found 0; write a whole number"),
        ({"r": 8}, "has rank 4, but adapter_config.json says r = 8"),
        ({"lora_alpha": 0}, "lora_alpha: found 0; write a number above 0"),
        ({"lora_alpha": True}, "lora_alpha: found true; write a number above 0"),
        ({"rank_pattern": 4}, "rank_pattern: found 4; names of modules with numbers"),
        ({"layer_replication": [[0, 2]]}, "layer_replication: repeats layers of the base"),
        ({"use_qalora": True}, "use_qalora: pools the inputs of A"),
        ({"target_modules": ["foo", "ery"]}, "target_modules: names no module that adapter_mod"),
        ({"use_dora": True}, "use_dora: found true, but adapter_model.safetensors holds no magn"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens: acts on some tokens"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tmp_path, config, message):
    with pytest.raises(SpecError, match=message):
        read_peft(_write(tmp_path, {QUERY.format(0): (384, 384)}, config=config))


def test_broken_folders_are_refused(tmp_path):
    with pytest.raises(SpecError, match="no such folder"):
        read_peft(tmp_path / "nothing")
    _write(tmp_path, {QUERY.format(0): (384, 384)})
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(SpecError, match="is no safetensors file"):
        read_peft(tmp_path)
    weights.unlink()
    with pytest.raises(SpecError, match="no such file"):
        read_peft(tmp_path)


# --- every tensor counts ------------------------------------------------------------------------


BESIDES = {
    "nothing": ({}, 0, ""),
    "dora": (
        {f"base_model.model.{m}.lora_magnitude_vector": (out,) for m, (_, out) in QV.items()},
        384, "magnitudes of DoRA",
    ),
    "biases of B": (
        {f"base_model.model.{m}.lora_B.bias": (out,) for m, (_, out) in QV.items()},
        384, "biases of B",
    ),
    "a head": ({"base_model.model.lm_head.weight": (100, 64)}, 6400, "trained as a whole"),
    "an embedding": (
        {
            "base_model.model.model.embed_tokens.lora_embedding_A": (8, 100),
            "base_model.model.model.embed_tokens.lora_embedding_B": (64, 8),
            "base_model.model.model.embed_tokens.base_layer.weight": (100, 64),
        },
        800 + 512 + 6400, "adapters of an embedding",
    ),
    "tokens": (
        {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": (3, 64)},
        192, "rows of an embedding",
    ),
    "what nobody knows": ({"base_model.model.spin.lora_spin": (7, 3, 2)}, 42, "not known here"),
}  # fmt: skip


@pytest.mark.parametrize("case", BESIDES)
def test_what_a_task_has_besides_is_told_and_swapped(tmp_path, case):
    """PEFT trains 7,168 parameters of A and B here, and the numbers of each case besides."""
    tensors, numbers, said = BESIDES[case]
    found = read_peft(_save(tmp_path, _pairs(QV) | tensors, use_dora=case == "dora"))
    network = found.on(_network(LLAMA))
    assert (len(network.adapted_layers), network.adapter_parameters) == (8, 7168)
    assert network.adapters.numbers_besides == numbers
    assert found.stored_bytes == 4 * (7168 + numbers)
    machine = load_machine("ahwa_lora_2026:served")
    assert adapter_bytes(network, machine) == (7168 + numbers) * machine.cluster.element_bytes
    requests = [Request(0, "mine", 8)]
    told = run_service(_network(LLAMA), machine, requests, adapters={"mine": network}).result
    assert told.adapter_bytes == {"mine": adapter_bytes(network, machine)}
    text = "\n".join(told.notes)
    assert "mine: A and B on 8 layers have 7,168 parameters, rank 8" in text
    assert said in text
    assert all(name in text for name in list(tensors)[:3])


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_number_of_a_file_is_counted_or_refused(tmp_path_factory, data):
    """A and B of layers that exist, and whatever else: nothing is left out without a word."""
    chosen = data.draw(st.lists(st.sampled_from(sorted(QV)), min_size=1, unique=True))
    tensors = _pairs({module: QV[module] for module in chosen})
    ends = st.sampled_from(
        ("weight", "bias", "lora_B.bias", "lora_A.x.weight", "lora_embedding_A", "lora_C.weight")
    )
    starts = st.sampled_from(("model.norm", "score", *sorted(QV), "\x1b[31mred", "n" * 300))
    shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
    more = st.dictionaries(st.tuples(starts, ends).map(".".join), shapes, max_size=4)
    tensors |= {f"base_model.model.{name}": shape for name, shape in data.draw(more).items()}
    folder = _save(tmp_path_factory.mktemp("peft"), tensors)
    try:
        network = read_peft(folder).on(_network(LLAMA))
    except SpecError as error:
        said = str(error)
    else:
        said = ""
    assert said.isprintable()
    assert len(said) < 1000
    if said:
        return
    counted = network.adapter_parameters + network.adapters.numbers_besides
    assert counted == sum(int(np.prod(shape)) for shape in tensors.values())


@pytest.mark.parametrize(
    ("alpha", "more", "scale"),
    [
        (16.0, {}, 2),
        (12.5, {}, 12.5 / 8),
        (16, {"use_rslora": True}, 16 / 8**0.5),
        (16, {"alpha_pattern": {"v_proj": 4, "layers.0.self_attn.q_proj": 40}}, 5),
        (
            16,
            {"alpha_pattern": {"^base_model\\.model\\.model\\.layers\\.0.self_attn.q_proj": 8}},
            1,
        ),
    ],
)
def test_the_scale_of_an_adapter(tmp_path, alpha, more, scale):
    """PEFT scales by alpha / r, or alpha / sqrt(r) where it is told to stabilize ranks."""
    network = read_peft(_save(tmp_path, _pairs(QV), lora_alpha=alpha, **more)).on(_network(LLAMA))
    layer = network.op("block0.self_attn.q_proj")
    assert float(network.adapter(layer).scale) == pytest.approx(scale)
    assert network.adapter_parameters == 7168


def test_ranks_of_their_own(tmp_path):
    low = {m: size for m, size in QV.items() if "v_proj" in m}
    tensors = _pairs(QV) | _pairs(low, rank=2)
    found = read_peft(_save(tmp_path, tensors, rank_pattern={".*v_proj": 2}))
    network = found.on(_network(LLAMA))
    ranks = {op.name.split(".")[-1]: network.adapter(op).rank for op in network.adapted_layers}
    assert ranks == {"q_proj": 8, "v_proj": 2}
    assert network.adapter_parameters == found.parameters == 4 * (8 * 128 + 2 * 96)
    assert (
        network.adapters.to_text()
        == type(network.adapters)(**network.adapters.to_text()).to_text()
    )


def test_adapters_with_a_name(tmp_path):
    """A state that was saved as it is has the adapter's name in it; that of two is refused."""
    found = read_peft(_save(tmp_path, _pairs(QV, name=".mine")))
    assert found.on(_network(LLAMA)).adapter_parameters == 7168
    _save(tmp_path, _pairs(QV, name=".mine") | _pairs(QV, name=".yours"))
    with pytest.raises(
        SpecError, match=r"holds several adapters \(mine and yours\); one would do"
    ):
        read_peft(tmp_path)


# --- which layer a module is --------------------------------------------------------------------


def test_a_head_that_an_adapter_names_is_taken(tmp_path):
    """all-linear on a classifier: 13 layers with the pooler, 15,490 trained numbers."""
    sizes = {
        "attention.self.query": (64, 64), "attention.self.key": (64, 64),
        "attention.self.value": (64, 64), "attention.output.dense": (64, 64),
        "intermediate.dense": (64, 128), "output.dense": (128, 64),
    }  # fmt: skip
    modules = {f"bert.encoder.layer.{i}.{k}": v for i in range(2) for k, v in sizes.items()}
    tensors = _pairs(modules | {"bert.pooler.dense": (64, 64)})
    head = {
        "base_model.model.classifier.weight": (2, 64),
        "base_model.model.classifier.bias": (2,),
    }
    adapter = read_peft(_save(tmp_path, tensors | head))
    with pytest.raises(SpecError, match=r"bert\.pooler\.dense: is no static linear layer"):
        adapter.on(_network(BERT))
    network, own, said = with_adapters({"t": adapter}, lambda head: _network(BERT, head))
    assert said == ("network 'net' is taken with head 'pooler', which an adapter names",)
    assert len(own["t"].adapted_layers) == len(network.static_linear_layers) == 13
    assert own["t"].adapter_parameters == 15_360
    assert own["t"].adapters.numbers_besides == 130


def test_an_adapter_on_a_classifier_is_refused_for_the_classifier(tmp_path):
    """As PEFT makes it of all-linear without a task_type; the pooler is a head that there is."""
    modules = {"bert.pooler.dense": (64, 64), "classifier": (64, 2)}
    adapter = read_peft(_save(tmp_path, _pairs(modules)))
    refused = r"model\.classifier: is a classifier, which .* where it is told the task_type"
    with pytest.raises(SpecError, match=refused):
        with_adapters({"t": adapter}, lambda head: _network(BERT, head))


def _served(folder, config, tensors):
    """Serve five requests of one task with its own adapters from the command line."""
    (folder / "net").mkdir()
    (folder / "net" / "config.json").write_text(json.dumps(config))
    (folder / "mine").mkdir()
    _save(folder / "mine", tensors)
    given = ["serve", str(folder / "net"), "ahwa_lora_2026:served", "--tasks", "1", "--count", "5"]
    return CliRunner().invoke(
        app, [*given, "--tokens", "8", "--json", "--adapter", f"task0={folder / 'mine'}"]
    )


def test_the_command_line_says_what_it_chose_and_what_comes_besides(tmp_path):
    tensors = _pairs(
        {"bert.pooler.dense": (64, 64), "bert.encoder.layer.1.output.dense": (128, 64)}
    )
    tensors["base_model.model.classifier.weight"] = (3, 64)
    done = _served(tmp_path, BERT, tensors)
    assert done.exit_code == 0
    assert "network 'net' is taken with head 'pooler', which an adapter names" in done.stderr
    document = json.loads(done.stdout)
    assert document["adapter_bytes"] == {"task0": 2 * (8 * 128 + 8 * 192 + 192)}
    assert any("192 numbers (768 B as stored) are weights trained" in n for n in document["notes"])


def test_the_command_line_refuses_an_adapter_for_another_model(tmp_path):
    done = _served(tmp_path, LLAMA, _pairs({"bert.pooler.dense": (64, 64)}))
    assert done.exit_code == 2
    assert "adapter_model.safetensors: base_model.model.bert.pooler.dense: is no" in done.stderr
    assert done.stdout == ""


def test_names_of_a_later_release_are_found_by_their_part(tmp_path):
    """transformers 5 calls the parts of a ViT otherwise than transformers 4."""
    parts = {
        "attention.q_proj": (64, 64), "attention.k_proj": (64, 64), "attention.v_proj": (64, 64),
        "attention.o_proj": (64, 64), "mlp.fc1": (64, 128), "mlp.fc2": (128, 64),
    }  # fmt: skip
    modules = {f"vit.layers.{i}.{k}": v for i in range(2) for k, v in parts.items()}
    adapter = read_peft(_save(tmp_path, _pairs(modules)))
    _, own, said = with_adapters({"t": adapter}, lambda head: _network(VIT, head))
    names = [op.name for op in own["t"].adapted_layers]
    assert names[:6] == [
        "block0.attention.attention.query", "block0.attention.attention.key",
        "block0.attention.attention.value", "block0.attention.output",
        "block0.intermediate", "block0.output",
    ]  # fmt: skip
    assert own["t"].adapter_parameters == adapter.parameters == 14_336
    assert said[-1].startswith("t: base_model.model.vit.layers.0.attention.k_proj is taken as")


STACKS = {
    f"{stack}.block.{i}.layer.0.SelfAttention.{part}": (512, 512)
    for stack in ("encoder", "decoder")
    for i in range(6)
    for part in "qv"
}


@pytest.mark.parametrize(
    ("network", "kept", "said"),
    [
        ("t5_small_decoder", "ed", "is of the encoder, which network 't5_small_decoder'"),
        ("t5_small_decoder", "e", "is of the encoder, which network 't5_small_decoder'"),
        ("t5_small_encoder", "ed", "is of the decoder, which network 't5_small_encoder'"),
        ("t5_small_decoder", "d", ""),
        ("t5_small_encoder", "e", ""),
    ],
)
def test_the_other_stack_of_an_encoder_decoder_is_refused(tmp_path, network, kept, said):
    modules = {module: size for module, size in STACKS.items() if module[0] in kept}
    found = read_peft(_save(tmp_path, _pairs(modules)))
    if said:
        with pytest.raises(SpecError, match=said):
            found.on(load_network(network_path(network)))
    else:
        adapted = found.on(load_network(network_path(network)))
        assert adapted.adapter_parameters == 12 * 8 * 1024


@pytest.mark.parametrize("kept", ["ed", "e", "d"])
def test_each_stack_of_a_whole_encoder_decoder_has_its_adapters(tmp_path, kept):
    """As PEFT trains all of T5-small: 36 modules of both stacks, 294,912 parameters."""
    crossed = {
        f"decoder.block.{i}.layer.1.EncDecAttention.{p}": (512, 512)
        for i in range(6)
        for p in "qv"
    }
    modules = {m: size for m, size in (STACKS | crossed).items() if m[0] in kept}
    config = network_path("t5_small_encoder").parent / "hf" / "t5_small" / "config.json"
    network = read_peft(_save(tmp_path, _pairs(modules))).on(
        _network(json.loads(config.read_text()))
    )
    stacks = [layer.name.split(".")[1][0] for layer in network.adapted_layers]
    assert {stack: stacks.count(stack) for stack in kept} == {
        s: 12 if s == "e" else 24 for s in kept
    }
    assert network.adapter_parameters == 8192 * len(modules)


def test_two_modules_are_not_one_layer(tmp_path):
    modules = dict.fromkeys((f"{QUERY.format(0)}", f"{QUERY.format(0)}.dense"), (384, 384))
    found = read_peft(_write(tmp_path, modules))
    with pytest.raises(
        SpecError, match=r"query\.dense: falls on layer block0\.attention\.self\.qu"
    ):
        found.on(_minilm())


def test_a_module_of_a_block_is_no_layer_outside_of_blocks(tmp_path):
    """``block0.classifier`` is not ``classifier``, though its name ends so."""
    found = read_peft(_write(tmp_path, {"base_model.model.layers.0.classifier": (768, 1000)}))
    with pytest.raises(SpecError, match="is no static linear layer"):
        found.on(load_network(network_path("vit_b_16")))


# --- files of another kind ----------------------------------------------------------------------


def test_long_and_strange_names_are_cut_in_messages(tmp_path):
    module = "base_model.model." + "a" * 5000 + "\x1b[31m"
    with pytest.raises(SpecError) as caught:
        read_peft(_write(tmp_path, {module: (64, 64)})).on(_minilm())
    assert len(str(caught.value)) < 800
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("header", [10**12, 2**63, 2**64 - 1, 300])
def test_a_header_that_no_file_holds(tmp_path, header):
    _write(tmp_path, {QUERY.format(0): (384, 384)})
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(struct.pack("<Q", header) + b"{}" + bytes(100))
    with pytest.raises(SpecError, match="is no safetensors file: its header has"):
        read_peft(tmp_path)


def test_what_is_no_file_of_weights(tmp_path):
    _write(tmp_path, {QUERY.format(0): (384, 384)})
    weights = tmp_path / "adapter_model.safetensors"
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(SpecError, match="is no regular file"):
        read_peft(tmp_path)
    weights.unlink()
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(SpecError, match=r"adapter_model\.bin: is a pickle, which is not read"):
        read_peft(tmp_path)
    inner = tmp_path / "mine"
    inner.mkdir()
    (tmp_path / "adapter_config.json").rename(inner / "adapter_config.json")
    with pytest.raises(SpecError, match=r"is in the folder 'mine' below; give that one"):
        read_peft(tmp_path)


def test_an_empty_tensor_is_refused(tmp_path):
    """As shards that were not gathered leave behind."""
    tensors = _pairs(QV)
    tensors[next(iter(tensors))] = (0,)
    with pytest.raises(SpecError, match=r"has no element \(shape 0\)"):
        read_peft(_save(tmp_path, tensors))


# --- what a folder says besides -----------------------------------------------------------------


def test_an_adapter_of_embeddings_alone_is_named(tmp_path):
    tensors = {
        "base_model.model.model.embed_tokens.lora_embedding_A": (8, 100),
        "base_model.model.model.embed_tokens.lora_embedding_B": (64, 8),
    }
    with pytest.raises(SpecError, match="adapts embeddings alone"):
        read_peft(_save(tmp_path, tensors))


def test_an_adapter_in_several_files_is_named(tmp_path):
    folder = _write(tmp_path, {QUERY.format(0): (384, 384)})
    weights = folder / "adapter_model.safetensors"
    weights.rename(folder / "adapter_model-00001-of-00001.safetensors")
    (folder / "adapter_model.safetensors.index.json").write_text("{}")
    with pytest.raises(SpecError, match=r"index\.json: spreads the adapter over several files"):
        read_peft(folder)


def test_settings_that_nobody_knows_are_told_if_they_are_set(tmp_path):
    config = {"use_newthing": True, "new_off": False, "new_none": None, "use_rslora": True}
    found = read_peft(_write(tmp_path, {QUERY.format(0): (384, 384)}, config=config))
    assert found.unknown == ("use_newthing",)
    _, _, told = with_adapters({"mine": found}, lambda _: _minilm())
    assert [line for line in told if "use_newthing" in line] == [
        "mine: settings that are not known here, left aside: use_newthing"
    ]
