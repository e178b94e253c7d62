"""Adapters in PEFT's format: sizes from the header alone, layers by module path."""

import json

import numpy as np
import pytest

from hybridsim.errors import SpecError
from hybridsim.library import network_path
from hybridsim.service import read_peft
from hybridsim.workload import load_network

numpy_format = pytest.importorskip("safetensors.numpy")
QUERY = "base_model.model.bert.encoder.layer.{}.attention.self.query"


def _write(folder, layers, rank=4, config=None):
    """Write an adapter as PEFT does; ``layers`` gives (in, out) by module path."""
    tensors = {}
    for module, (features, out) in layers.items():
        tensors[f"{module}.lora_A.weight"] = np.zeros((rank, features), np.float32)
        tensors[f"{module}.lora_B.weight"] = np.zeros((out, rank), np.float32)
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "target_modules": ["query"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings | (config or {})))
    numpy_format.save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def _minilm():
    return load_network(network_path("minilm_l6"))


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
