"""Networks that are made up for the digest: small ones of each family, and single layers."""

from typing import Any

_BERT: dict[str, Any] = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 256, "intermediate_size": 640,
    "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 512,
    "type_vocab_size": 2, "vocab_size": 1000,
}  # fmt: skip
_MOBILEBERT: dict[str, Any] = {
    "model_type": "mobilebert", "embedding_size": 128, "hidden_act": "relu", "hidden_size": 512,
    "intermediate_size": 512, "intra_bottleneck_size": 128, "key_query_shared_bottleneck": True,
    "max_position_embeddings": 512, "normalization_type": "no_norm", "num_attention_heads": 4,
    "num_feedforward_networks": 4, "num_hidden_layers": 2, "trigram_input": True,
    "true_hidden_size": 128, "type_vocab_size": 2, "use_bottleneck": True,
    "use_bottleneck_attention": False, "vocab_size": 30522, "classifier_activation": False,
}  # fmt: skip
_GPT2: dict[str, Any] = {
    "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024, "n_embd": 192,
    "n_head": 3, "n_layer": 2, "n_positions": 1024, "vocab_size": 1000,
}  # fmt: skip
_T5: dict[str, Any] = {
    "model_type": "t5", "d_ff": 512, "d_kv": 32, "d_model": 128, "num_heads": 4, "num_layers": 2,
    "n_positions": 512, "is_encoder_decoder": True, "relative_attention_num_buckets": 32,
    "vocab_size": 1000,
}  # fmt: skip
_LLAMA: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 600,
    "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip
_MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral", "vocab_size": 1000, "hidden_size": 128, "intermediate_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_local_experts": 6, "num_experts_per_tok": 2, "max_position_embeddings": 4096,
}  # fmt: skip

CONFIGS: dict[str, tuple[dict[str, Any], str, int]] = {
    "small_bert": (_BERT, "pooler", 8),
    "small_mobilebert": (_MOBILEBERT, "question_answering", 8),
    "small_gpt2": (_GPT2, "lm_head", 4),
    "small_t5": (_T5 | {"is_encoder_decoder": False}, "none", 8),
    "small_t5_decoder": (_T5 | {"is_decoder": True}, "lm_head", 8),
    "small_llama": (_LLAMA, "lm_head", 16),
    "small_mixtral": (_MIXTRAL, "lm_head", 8),
}
"""Name -> the config.json, the head, and the rank of its adapters."""

ONE_LAYER: dict[str, dict[str, Any]] = {
    "wide": {
        "name": "wide",
        "source": "made up: more rows and columns than a tile has",
        "ops": [{"name": "wide", "kind": "linear", "in_features": 1300, "out_features": 700}],
        "adapters": {"rank": 12, "alpha": 24},
    },
}
"""Name -> a network of one layer."""
