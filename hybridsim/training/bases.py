"""Encoders that are told in terms of BERT: RoBERTa, DistilBERT and MobileBERT.

Sources: Liu et al., RoBERTa, arXiv 1907.11692; Sanh et al., DistilBERT, arXiv 1910.01108; names
and settings as Hugging Face's transformers has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybridsim.errors import SpecError, UnsupportedError

SEGMENTS = "embeddings.token_type_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
_DISTILLED = (
    ("encoder.layer.", "transformer.layer."),
    ("attention.self.query", "attention.q_lin"), ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"), ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"), ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"), ("output.LayerNorm", "output_layer_norm"),
)  # fmt: skip
_SIZES_OF_DISTILBERT = {
    "hidden_size": "dim", "intermediate_size": "hidden_dim", "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers", "hidden_act": "activation",
}  # fmt: skip


_MOBILE: dict[str, Any] = {
    "embedding_size": 128, "trigram_input": True, "use_bottleneck": True,
    "intra_bottleneck_size": 128, "use_bottleneck_attention": False,
    "key_query_shared_bottleneck": True, "num_feedforward_networks": 4,
    "normalization_type": "no_norm", "hidden_act": "relu",
}  # fmt: skip
"""What a config.json of MobileBERT means where it is silent."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a family calls what BERT has."""

    prefix: str
    """Before the names of a model with a head."""
    names: tuple[tuple[str, str], ...] = ()
    """Parts of BERT's names and what they are called instead, the longer ones first."""
    first_position: int = 0
    """Rows of the table of positions before that of the first token."""
    segments: bool = True
    """Whether it tells the first sentence from the second."""

    def name(self, ours: str) -> str:
        """Return what the family calls a parameter or layer of BERT."""
        for part, theirs in self.names:
            ours = ours.replace(part, theirs)
        return ours

    def weight(self, ours: str, stored: Mapping[str, torch.Tensor], width: int) -> torch.Tensor:
        """Return a parameter of BERT from those of a file.

        Raises:
            KeyError: It has none.
        """
        if ours == SEGMENTS and not self.segments:
            return torch.zeros((1, width))
        name = self.name(ours)
        value = stored[name if name in stored else self.prefix + name].float()
        return value[self.first_position :] if ours == POSITIONS else value


ROBERTA_PADDING = 2
"""Positions of RoBERTa count from the padding token's 1."""
BASES: dict[str, Base] = {
    "bert": Base("bert."),
    "roberta": Base("roberta.", first_position=ROBERTA_PADDING),
    "distilbert": Base("distilbert.", _DISTILLED, segments=False),
    "mobilebert": Base("mobilebert."),
}


def in_terms_of_bert(config: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return a config.json with BERT's keys, ``model_type`` as it was.

    Raises:
        SpecError: A RoBERTa has fewer positions than it skips.
        UnsupportedError: It is of another family.
    """
    kind, found = config.get("model_type"), dict(config)
    if kind not in BASES:
        known = ", ".join(map(repr, BASES))
        raise UnsupportedError(f"{file}: model_type: found {kind!r}; one of {known} would do")
    if kind == "distilbert":
        found |= {ours: config.get(theirs) for ours, theirs in _SIZES_OF_DISTILBERT.items()}
        found["type_vocab_size"] = 1
        # with sinusoidal_pos_embds the table in the file holds the sines, so that it may be read
    if kind == "mobilebert":
        found = _MOBILE | found
        _check_mobile(found, file)
    if kind == "roberta":
        most = config.get("max_position_embeddings")
        if not isinstance(most, int) or most <= ROBERTA_PADDING:
            problem = f"found {most!r}; more than {ROBERTA_PADDING} would do"
            raise SpecError(str(file), "max_position_embeddings", problem)
        found["max_position_embeddings"] = most - ROBERTA_PADDING
    return found


def _check_mobile(config: Mapping[str, Any], file: Path) -> None:
    """Refuse settings of MobileBERT that mean nothing.

    Raises:
        SpecError: A size is no number above zero, the norm is unknown, or queries are narrow
            where nothing makes them so.
    """
    for key in ("embedding_size", "intra_bottleneck_size", "num_feedforward_networks"):
        if type(config[key]) is not int or config[key] < 1:
            raise SpecError(str(file), key, f"found {config[key]!r}; a whole number would do")
    if config["normalization_type"] not in ("no_norm", "layer_norm"):
        problem = f"found {config['normalization_type']!r}; 'no_norm' or 'layer_norm' would do"
        raise SpecError(str(file), "normalization_type", problem)
    narrowed = config["use_bottleneck_attention"] or config["key_query_shared_bottleneck"]
    same = config["intra_bottleneck_size"] == config.get("hidden_size")
    if config["use_bottleneck"] and not narrowed and not same:
        problem = "found false: nothing makes queries as narrow as their layer; true would do"
        raise SpecError(str(file), "key_query_shared_bottleneck", problem)
