"""How the .onnx files beside this one were made: transformers 5.24, PyTorch 2.13, onnxscript 0.7.

    python tests/workload/data/transformers/export.py

Weights are random, as exporters let equal ones share a name. What is printed is what PyTorch
counts: layers, their weights, and all parameters.
"""

import sys
from pathlib import Path

import onnx
import torch
from torch import nn

sys.modules["torchvision"] = None  # not needed, and it may not fit the torch that is there
import transformers as hf  # noqa: E402

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 50, "max_position_embeddings": 24,
}  # fmt: skip
IMAGE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 16, "patch_size": 8,
}  # fmt: skip
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
MODELS = {
    "llama": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**SMALL, num_key_value_heads=1, tie_word_embeddings=False)
    ),
    "modernbert": lambda: hf.ModernBertModel(
        hf.ModernBertConfig(
            **SMALL, pad_token_id=0, global_attn_every_n_layers=2, local_attention=4
        )
    ),
    "albert": lambda: hf.AlbertModel(
        hf.AlbertConfig(**SMALL, embedding_size=8), add_pooling_layer=False
    ),
    "deit": lambda: hf.DeiTModel(hf.DeiTConfig(**IMAGE), add_pooling_layer=False),
    "resnet": lambda: hf.ResNetForImageClassification(hf.ResNetConfig(**RESNET, num_labels=5)),
}


class First(nn.Module):
    """The first output of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        keys = {"return_dict": False} | ({} if seen is None else {"attention_mask": seen})
        if "use_cache" in self.model.config.to_dict():
            keys["use_cache"] = False
        return self.model(given, **keys)[0]


def slim(path: Path) -> None:
    """Leave out stack traces and the like, but for the modules of the nodes."""
    model = onnx.load(path)
    model.doc_string = ""
    for node in model.graph.node:
        kept = [(p.key, p.value) for p in node.metadata_props if p.key.endswith("name_scopes")]
        node.doc_string = ""
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    del model.graph.value_info[:]
    onnx.save(model, path)


def main() -> None:
    """Export each model with both exporters of PyTorch, with fixed sizes."""
    torch.manual_seed(0)
    for name, make in MODELS.items():
        model = make().eval()
        model.set_attn_implementation("eager")
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        weights = sum(layer.weight.numel() for layer in layers)
        print(name, len(layers), weights, sum(p.numel() for p in model.parameters()))
        image = torch.zeros(1, 3, 16, 16) if name == "deit" else torch.zeros(1, 3, 32, 32)
        ids = torch.zeros(1, 8).long()
        given = (image,) if hasattr(model.config, "num_channels") else (ids, ids + 1)
        for exporter in ("torchscript", "dynamo"):
            file = Path(__file__).parent / f"{name}_{exporter}.onnx"
            dynamo = exporter == "dynamo"
            torch.onnx.export(
                First(model), given, file, dynamo=dynamo, opset_version=18 if dynamo else 17,
                **({"external_data": False, "verbose": False} if dynamo else {}),
            )  # fmt: skip
            slim(file)


if __name__ == "__main__":
    main()
