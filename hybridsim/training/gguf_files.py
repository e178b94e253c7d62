"""A Llama from a GGUF file, its weights as they come out of their quantization.

Needs the package ``gguf``, which knows the formats of blocks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.training.llama import Llama, LlamaShape, filled, frequencies

_BLOCK = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}  # fmt: skip
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 cuts text into words. Source: its tokenizer.json."""


def read_gguf(file: Path) -> tuple[Llama, Tokenizer]:
    """Return the model of a GGUF file, and its tokenizer.

    Raises:
        SpecError: The file cannot be read, or weights are missing.
        UnsupportedError: It holds no Llama, its tokenizer is of another kind, or the package
            ``gguf`` is not installed.
    """
    reader = _opened(file)
    told = {name: field.contents() for name, field in reader.fields.items()}
    kind = told.get("general.architecture")
    if kind != "llama":
        raise UnsupportedError(f"{file}: general.architecture: found {kind!r}; 'llama' would do")
    stored = {tensor.name: tensor for tensor in reader.tensors}
    shape = _shape(told, stored, file)
    weights = {}
    for name, tensor in stored.items():
        ours = _name_of(name)
        if ours is not None:
            weights[ours] = torch.from_numpy(_values(tensor, shape))
    return filled(shape, weights, file), _tokenizer(told, file)


def _opened(file: Path) -> Any:
    try:
        from gguf import GGUFReader  # only where a GGUF file is read
    except ImportError:
        raise UnsupportedError(
            f"{file}: a GGUF file needs the package gguf; pip install gguf would do"
        ) from None
    try:
        return GGUFReader(str(file))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise SpecError(str(file), "", f"cannot be read as GGUF: {error}") from None


def _shape(told: Mapping[str, Any], stored: Mapping[str, Any], file: Path) -> LlamaShape:
    try:
        width, heads = told["llama.embedding_length"], told["llama.attention.head_count"]
        head = told.get("llama.attention.key_length", width // heads)
        base = float(told.get("llama.rope.freq_base", 10000.0))
        turning = np.array(frequencies(base, head))
        if "rope_freqs.weight" in stored:  # what Llama 3.1 divides frequencies by
            turning = turning / stored["rope_freqs.weight"].data.astype(np.float64).ravel()
        return LlamaShape(
            width, told["llama.feed_forward_length"], told["llama.block_count"], heads,
            told.get("llama.attention.head_count_kv", heads), head,
            int(stored["token_embd.weight"].shape[1]),
            float(told["llama.attention.layer_norm_rms_epsilon"]), tuple(turning.tolist()),
            "output.weight" not in stored,
        )  # fmt: skip
    except KeyError as error:
        raise SpecError(str(file), str(error.args[0]), "is missing; a Llama has it") from None


def _name_of(name: str) -> str | None:
    """Return Hugging Face's name of a tensor, None for one that is no weight."""
    if name in _WHOLE:
        return _WHOLE[name]
    first, _, rest = name.partition(".")
    number, _, what = rest.partition(".")
    own = _BLOCK.get(what.removesuffix(".weight"))
    return f"model.layers.{number}.{own}.weight" if first == "blk" and own else None


def _values(tensor: Any, shape: LlamaShape) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return weights (out, in), rows of queries and keys in Hugging Face's order.

    GGUF pairs neighbours for rotary positions, Hugging Face the halves of a head.
    """
    from gguf import dequantize

    values = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
    for part, heads in (("attn_q.", shape.heads), ("attn_k.", shape.key_heads)):
        if part in tensor.name:
            pairs = values.reshape(heads, shape.head // 2, 2, -1)
            values = np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))
    return values


def _tokenizer(told: Mapping[str, Any], file: Path) -> Tokenizer:
    """Return the byte-level BPE that a file describes."""
    kind, cut = told.get("tokenizer.ggml.model"), told.get("tokenizer.ggml.pre", "default")
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    by_word = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ways = {
        "default": by_word,
        "gpt-2": by_word,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), by_word]),
        "llama-bpe": pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(_LLAMA_3), "isolated"), whole]
        ),
    }
    if kind != "gpt2" or cut not in ways:
        known = ", ".join(ways)
        raise UnsupportedError(
            f"{file}: tokenizer: found {kind!r} with {cut!r}; 'gpt2' with one of {known} would do"
        )
    words = told["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in told["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    made.pre_tokenizer, made.decoder = ways[cut], decoders.ByteLevel()
    control = [w for w, t in zip(words, told["tokenizer.ggml.token_type"], strict=True) if t == 3]
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    return made
