"""Configs without ``model_type``: those of before 2020, and the params.json of Meta's Llama."""

from collections.abc import Mapping
from typing import Any

_KEYS = (
    ("llama", {"dim", "n_layers", "n_heads", "multiple_of"}),
    ("gpt2", {"n_embd", "n_head", "n_layer"}),
    ("distilbert", {"dim", "hidden_dim", "n_heads", "n_layers"}),
    ("t5", {"d_model", "d_kv", "d_ff", "num_layers"}),
    ("albert", {"embedding_size", "num_hidden_groups", "num_attention_heads"}),
    ("mobilebert", {"intra_bottleneck_size", "trigram_input"}),
    ("bert", {"hidden_size", "num_attention_heads", "num_hidden_layers", "type_vocab_size"}),
)
"""Model type -> keys that it alone has, the first that fits first."""


def recognised(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the model type of a config by its keys, or "", and the config in today's keys."""
    keys = {key for key, value in config.items() if value is not None}
    found = next((name for name, own in _KEYS if own <= keys), "")
    if found == "llama":
        return found, _of_meta(config)
    if found == "gpt2" and "n_positions" not in keys and "n_ctx" in keys:
        return found, {**config, "n_positions": config["n_ctx"]}
    # RoBERTa was saved as a BERT whose positions begin behind the padding token's
    if found == "bert" and (config["type_vocab_size"], config.get("max_position_embeddings")) == (
        1, 514,
    ):  # fmt: skip
        found = "roberta"
    return found, config


def _of_meta(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a Llama's params.json as a config.json.

    The inner size is two thirds of four times the size, times the multiplier if there is one,
    rounded up. Source: Meta's llama, ``model.py``, ``FeedForward``.
    """
    keys = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "num_key_value_heads": "n_kv_heads",
        "vocab_size": "vocab_size",
    }
    found = {new: config[old] for new, old in keys.items() if config.get(old) is not None}
    size, multiple = config["dim"], config["multiple_of"]
    if not all(isinstance(each, int) and each > 0 for each in (size, multiple)):
        return found
    inner = int(2 * (4 * size) / 3)
    multiplier = config.get("ffn_dim_multiplier")
    if isinstance(multiplier, int | float) and 0 < multiplier < 100:
        inner = int(multiplier * inner)
    found["intermediate_size"] = multiple * -(-inner // multiple)
    found["max_position_embeddings"] = config.get("max_seq_len") or 2048
    return found
