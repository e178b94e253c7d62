"""Adapters that PEFT itself has made: every number that it stores is counted here.

Needs ``hybridsim[hf]`` and ``hybridsim[serve]``.
"""

import pytest

from hybridsim.service import read_peft, with_adapters
from hybridsim.workload import load_network

torch = pytest.importorskip("torch", reason="needs hybridsim[hf]")
hf = pytest.importorskip("transformers", reason="needs hybridsim[hf]")
peft = pytest.importorskip("peft", reason="needs hybridsim[hf]")
reader = pytest.importorskip("safetensors.torch", reason="needs hybridsim[serve]")

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "vocab_size": 100, "max_position_embeddings": 64,
}  # fmt: skip
IMAGE = {key: SMALL[key] for key in list(SMALL)[:4]} | {"image_size": 32, "patch_size": 8}


def llama():
    return hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, num_key_value_heads=2))


def bert():
    return hf.BertForSequenceClassification(hf.BertConfig(**SMALL))


def vit():
    return hf.ViTForImageClassification(hf.ViTConfig(**IMAGE))


def t5():
    sizes = {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4}
    return hf.T5ForConditionalGeneration(hf.T5Config(**sizes, vocab_size=100))


def mixtral():
    return hf.MixtralForCausalLM(
        hf.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4)
    )


QV = {"target_modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (llama, QV),
        (llama, QV | {"use_dora": True}),
        (llama, QV | {"use_rslora": True, "lora_alpha": 16.0}),
        (llama, QV | {"lora_bias": True}),
        (llama, QV | {"modules_to_save": ["lm_head"]}),
        (llama, QV | {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 4}}),
        (llama, {"target_modules": ["q_proj", "embed_tokens"]}),
        (llama, QV | {"trainable_token_indices": {"embed_tokens": [1, 2]}}),
        (bert, {"target_modules": "all-linear", "task_type": "SEQ_CLS"}),
        (bert, {"target_modules": ["query"], "bias": "all"}),
        (vit, {"target_modules": "all-linear", "modules_to_save": ["classifier"]}),
        (vit, {"target_modules": ["projection", "q_proj"]}),
        (t5, {"target_modules": "all-linear"}),
        (mixtral, {"target_modules": "all-linear"}),
    ],
)
def test_every_number_that_peft_stores_is_counted(make, options, tmp_path):
    model = make()
    model.config.save_pretrained(tmp_path / "net")
    adapted = peft.get_peft_model(model, peft.LoraConfig(**{"r": 8, "lora_alpha": 16} | options))
    pairs = sum(
        parameter.numel()
        for name, parameter in adapted.named_parameters()
        if any(f".lora_{part}." in name for part in "AB") and name.endswith("weight")
    )
    adapted.save_pretrained(tmp_path / "mine")
    stored = reader.load_file(tmp_path / "mine" / "adapter_model.safetensors").values()
    adapter = read_peft(tmp_path / "mine")
    _, own, _ = with_adapters({"mine": adapter}, lambda head: load_network(tmp_path / "net", head))
    network = own["mine"]
    assert network.adapter_parameters == pairs
    besides = network.adapters.numbers_besides
    assert pairs + besides == sum(tensor.numel() for tensor in stored)
    assert adapter.stored_bytes == sum(t.numel() * t.element_size() for t in stored)
