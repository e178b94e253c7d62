"""How the .onnx files beside this one were made; needs PyTorch 2.13, onnx and onnxscript.

    python tests/workload/data/export.py

PyTorch is no dependency of the tests: they read the files, and the parameters below are those
that PyTorch counts. Weights are random, as exporters let equal ones share a name.
"""

import math
from pathlib import Path

import onnx
import torch
from torch import nn

SIZE, HEADS, INNER, LAYERS, WORDS, MOST = 16, 2, 32, 2, 50, 12


class Encoder(nn.Module):
    """Embeddings, post-norm layers of PyTorch (ReLU), and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, SIZE), nn.Embedding(MOST, SIZE)
        layer = nn.TransformerEncoderLayer(SIZE, HEADS, INNER, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(SIZE, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.head(self.encoder(self.words(ids) + self.positions(places)))


class BertBlock(nn.Module):
    """A block written as in transformers: products, a mask, GELU, post-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(SIZE, SIZE) for _ in range(3))
        self.dense = nn.Linear(SIZE, SIZE)
        self.norm1, self.norm2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.intermediate, self.output = nn.Linear(SIZE, INNER), nn.Linear(INNER, SIZE)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, SIZE // HEADS).permute(0, 2, 1, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask
        context = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).contiguous()
        x = self.norm1(self.dense(context.view(x.shape[0], x.shape[1], -1)) + x)
        return self.norm2(self.output(nn.functional.gelu(self.intermediate(x))) + x)


class Bert(nn.Module):
    """Three embeddings, two blocks, a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, SIZE), nn.Embedding(MOST, SIZE)
        self.segments, self.norm = nn.Embedding(2, SIZE), nn.LayerNorm(SIZE)
        self.register_buffer("places", torch.arange(MOST)[None])
        self.layer = nn.ModuleList(BertBlock() for _ in range(LAYERS))
        self.pooler = nn.Linear(SIZE, SIZE)

    def forward(self, ids: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.words(ids) + self.segments(torch.zeros_like(ids))
        x = self.norm(x + self.positions(self.places[:, : ids.shape[1]]))
        mask = (1.0 - seen[:, None, None, :].float()) * torch.finfo(torch.float32).min
        for block in self.layer:
            x = block(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


class GptBlock(nn.Module):
    """A pre-norm block with one layer for queries, keys and values, and causal attention."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.c_attn, self.c_proj = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)
        self.c_fc, self.mlp_proj = nn.Linear(SIZE, INNER), nn.Linear(INNER, SIZE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, s, e = x.shape
        qkv = self.c_attn(self.ln_1(x)).split(e, dim=2)
        q, k, v = (t.view(b, s, HEADS, e // HEADS).transpose(1, 2) for t in qkv)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(a.transpose(1, 2).reshape(b, s, e))
        inner = nn.functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh")
        return x + self.mlp_proj(inner)


class Gpt(nn.Module):
    """Two embeddings, two blocks, a norm, an untied head."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(WORDS, SIZE), nn.Embedding(MOST, SIZE)
        self.h = nn.ModuleList(GptBlock() for _ in range(LAYERS))
        self.ln_f, self.lm_head = nn.LayerNorm(SIZE), nn.Linear(SIZE, WORDS, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


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
    """Export each model with one of PyTorch's two exporters."""
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    ids = torch.zeros(2, 8, dtype=torch.long)
    here = Path(__file__).parent
    cases = (
        ("encoder_dynamo", Encoder(), (ids,), ["ids"], True, 18),
        ("bert_torchscript", Bert(), (ids, torch.ones_like(ids)), ["ids", "seen"], False, 13),
        ("gpt_torchscript", Gpt(), (ids,), ["ids"], False, 17),
    )
    for name, model, given, names, dynamo, opset in cases:
        model.eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        print(name, sum(parameter.numel() for parameter in model.parameters()))
        file = here / f"{name}.onnx"
        if dynamo:
            axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=MOST)}
            open_sizes = {"dynamic_shapes": tuple(axes for _ in given), "external_data": False}
        else:
            open_sizes = {"dynamic_axes": {n: {0: "batch", 1: "tokens"} for n in names}}
        torch.onnx.export(
            model, given, file, dynamo=dynamo, opset_version=opset, input_names=names, **open_sizes
        )
        slim(file)


if __name__ == "__main__":
    main()
