"""What is digested beside single runs: comparisons, generations, sweeps, services, components."""

from typing import Any

Given = dict[str, Any]
"""Fields of a case."""
_CHIPS = {"tile.count": 4, "chips.count": 4, "cluster.count": 3}
_LAYER_STRATEGIES = [
    "all_analog", "layer_serial", "token_parallel", "early_xa", "fused_add", "separate_add",
    "swapped", "split_cores", "multi_cluster", "cross_layer", "auto",
]  # fmt: skip
_NETWORK_STRATEGIES = [
    "serial", "il_par", "il_pipe", "xl_pipe", "il_xl_pipe", "xb_pipe", "network",
]  # fmt: skip

EXPLAINED: tuple[Given, ...] = (
    {"kind": "explain", "network": "layer_512x128", "tokens": 60},
    {"kind": "explain", "network": "layer_512x128", "tokens": 60, "strategy": "early_xa",
     "options": {"last_batch": 1}},
    {"kind": "explain", "network": "small_bert", "tokens": 20},
    {"kind": "explain", "network": "small_mobilebert", "machine": "harp_2026",
     "strategy": "xb_pipe", "tokens": 24, "options": {"chunk": 8}},
    {"kind": "explain", "network": "small_gpt2", "machine": "harp_2026:gpt2",
     "strategy": "network", "tokens": 1, "past": 40, "options": {"chunk": 1}},
    {"kind": "compare", "network": "layer_512x128", "tokens": 80},
    {"kind": "compare", "network": "small_bert", "tokens": 20, "settings": {"cluster.count": 2},
     "options": {"unit": "best", "early_xa": True}, "more": {"strategies": _LAYER_STRATEGIES},
     "title": "layers of small_bert on two clusters"},
    {"kind": "compare", "network": "layer_128x128", "tokens": 30,
     "settings": {"cluster.tcdm.size": "8 KiB"}, "options": {"batch": 16}},
    {"kind": "compare", "network": "small_mobilebert", "machine": "harp_2026", "tokens": 40,
     "more": {"strategies": _NETWORK_STRATEGIES}, "title": "small_mobilebert harp_2026"},
    {"kind": "compare", "network": "small_gpt2", "machine": "harp_2026:gpt2", "tokens": 2,
     "past": 30, "options": {"unit": "cores"}, "more": {"strategies": _NETWORK_STRATEGIES},
     "title": "small_gpt2 harp_2026:gpt2 2 tokens after 30"},
)  # fmt: skip

GENERATED: tuple[Given, ...] = (
    {"kind": "generate", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "settings": _CHIPS, "more": {"prompt": 20, "new": 5}},
    {"kind": "generate", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "settings": _CHIPS, "more": {"prompt": 9, "new": 12, "batch": 3}},
    {"kind": "generate", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "settings": {"chips": None, "tile.count": 100, "memory.sram.size": "96 KiB"},
     "more": {"prompt": 30, "new": 6, "batch": 2}},
    {"kind": "generate", "network": "small_gpt2", "machine": "harp_2026:gpt2",
     "strategy": "il_xl_pipe", "options": {"chunk": 16}, "more": {"prompt": 33, "new": 4}},
    {"kind": "generate", "network": "small_gpt2", "machine": "harp_2026:gpt2",
     "strategy": "network", "options": {"chunk": "best", "keep_adapters": "chunk"},
     "more": {"prompt": 17, "new": 3}},
    {"kind": "generate", "network": "small_gpt2", "machine": "harp_2026:gpt2", "adapters": {},
     "strategy": "network", "options": {"chunk": 8}, "more": {"prompt": 17, "new": 1}},
    {"kind": "generate", "network": "small_llama", "machine": "llm_2026:mesh",
     "strategy": "network", "more": {"prompt": 8, "new": 3}},
    {"kind": "generate", "network": "gpt2", "machine": "harp_2026:gpt2", "strategy": "network",
     "options": {"chunk": 16}, "more": {"prompt": 16, "new": 3}},
    {"kind": "generate", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "settings": _CHIPS | {"energy": None}, "adapters": {}, "more": {"prompt": 8, "new": 3}},
    {"kind": "generate", "network": "small_bert", "machine": "harp_2026", "strategy": "network",
     "more": {"prompt": 8, "new": 3}},
    {"kind": "tokens", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "tokens": 1, "settings": _CHIPS, "more": {"pasts": [1, 7, 8, 200]}},
    {"kind": "tokens", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "tokens": 1, "sequences": 3, "settings": _CHIPS, "more": {"pasts": [5, 64]}},
    {"kind": "tokens", "network": "small_gpt2", "machine": "harp_2026:gpt2", "tokens": 1,
     "strategy": "xb_pipe", "settings": {"memory.sram.size": "160 KiB"},
     "more": {"pasts": [10, 500]}},
    {"kind": "times", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "settings": _CHIPS, "more": {"requests": [(8, 3), (10, 4, 2), (8, 1)]}},
)  # fmt: skip

_LORA = {"in": 512, "out": 128, "rank": 8, "tokens": 24}
_ASKED = [
    ("matrix_engine", "gemm", {"m": 24, "n": 512, "k": 8}),
    ("cores", "gemm", {"m": 24, "n": 512, "k": 8}),
    ("cores", "vector_add", {"elements": 1000}),
    ("cores", "layernorm", {"rows": 9, "features": 128}),
    ("cores", "rmsnorm", {"rows": 9, "features": 128}),
    ("cores", "softmax", {"rows": 9, "columns": 77}),
    ("cores", "gelu", {"elements": 1000}),
    ("cores", "relu", {"elements": 1000}),
    ("dma", "transfer", {"bytes": 4096, "rows": 3}),
    ("tcdm", "lora", _LORA),
    ("offload", "program_engine", {}),
    ("tile", "mvm", {"in": 1300, "out": 700, "tokens": 5}),
    ("link", "transfer", {"bytes": 4097}),
    ("energy", "lora", _LORA),
    ("cluster", "lora", _LORA),
    ("cluster", "lora_stream", _LORA | {"tile": 8}),
]
_MANY = [
    ("matrix_engine", "gemm", {"m": [1, 24, 300], "n": [512, 1, 77], "k": [8, 640, 13]}),
    ("cores", "gemm", {"m": [1, 24, 300], "n": [512, 1, 77], "k": [8, 640, 13]}),
    ("cores", "softmax", {"rows": [1, 9, 64], "columns": [3, 77, 512]}),
    ("dma", "transfer", {"bytes": [1, 64, 4097]}),
    ("tile", "mvm", {"in": [128, 1300], "out": [700, 20], "tokens": [5, 1]}),
    ("cluster", "lora", _LORA | {"tokens": [1, 8, 60]}),
]
"""Questions for several sizes at once."""
QUESTIONS: tuple[Given, ...] = tuple(
    {"kind": "ask", "network": "", "strategy": "", "machine": machine, "title": title or machine,
     "more": {"questions": asked}}
    for machine, title, asked in (
        ("ahwa_lora_2026", "", _ASKED),
        ("harp_2026", "", _ASKED),
        ("llm_2026", "", _ASKED),
        ("ahwa_lora_2026:harp_powers", "", _ASKED),
        ("ahwa_lora_2026", "several sizes at once", _MANY),
    )
)  # fmt: skip

_REQUESTS = [(0, "qa", 20), (10**6, "sst2", 12), (10**6, "qa", 20), (3 * 10**6, "mnli", 8)]
_WRITTEN = [(0, "qa", 10, 3), (10**6, "sst2", 12, 2), (10**6, "qa", 10, 3)]
SERVED: tuple[Given, ...] = (
    {"kind": "serve", "network": "small_bert", "machine": "ahwa_lora_2026:served",
     "more": {"requests": _REQUESTS, "most": 2, "mix": "mixed"}, "title": "mixed batches"},
    {"kind": "serve", "network": "small_bert", "machine": "ahwa_lora_2026:served",
     "more": {"requests": _REQUESTS, "most": 2, "overlap": True, "store_bytes": 300000},
     "title": "a small store"},
    {"kind": "serve", "network": "small_llama", "machine": "llm_2026", "strategy": "network",
     "options": {"chunk": 8}, "settings": _CHIPS, "more": {"requests": _WRITTEN, "most": 2},
     "title": "requests that generate"},
    {"kind": "alternatives", "network": "small_bert", "machine": "ahwa_lora_2026:served",
     "tokens": 16, "more": {"tasks": [1, 4, 16]}},
)  # fmt: skip

_MINIMISE = {"latency_ps": "minimise", "tcdm_bytes": "minimise"}
_OVERHEAD = {"overhead_percent": "minimise"}
_KEPT = ["latency_ps", "all_analog_ps", "overhead_percent", "tcdm_bytes", "buffers", "tiles"]
_ALL_KEPT = [*_KEPT, "batch", "bound", "tasks", "crossbars"]
_STUDIES: tuple[dict[str, Any], ...] = (
    {
        "name": "one_percent_pipelines",
        "machine": "ahwa_lora_2026",
        "scheduler": {"kind": "multi_cluster", "order": "direct"},
        "set": {"adapters.rank": 8},
        "axes": {
            "network": ["mobilebert"],
            "clusters": {
                "1": {"cluster.count": 1},
                "4_with_4_links": {"cluster.count": 4, "link.count": 4},
            },
            "strategy": {
                "plain": {"scheduler.unit": "matrix_engine"},
                "early": {
                    "scheduler.unit": "matrix_engine",
                    "scheduler.early_xa": True,
                    "scheduler.add": "separate",
                    "scheduler.last_batch": 1,
                },
                "both": {
                    "scheduler.unit": "both",
                    "scheduler.early_xa": True,
                    "scheduler.last_batch": 1,
                },
            },
            "array": {
                "4x8": {
                    "cluster.matrix_engine.array_height": 4,
                    "cluster.matrix_engine.array_width": 8,
                    "cluster.matrix_engine.port_width": "256 bit",
                },
                "8x24": {
                    "cluster.matrix_engine.array_height": 8,
                    "cluster.matrix_engine.array_width": 24,
                    "cluster.matrix_engine.port_width": "512 bit",
                },
            },
            "tokens": [128],
            "scheduler.batch": [4, 16],
            "tile.integration_time": ["128 ns", "512 ns"],
        },
        "per": ["network", "tile.integration_time"],
        "objectives": _OVERHEAD,
        "keep": _KEPT,
    },
    {
        "name": "one_percent_auto",
        "machine": "ahwa_lora_2026",
        "network": "layer_512x128",
        "scheduler": {"kind": "auto", "across_layers": False},
        "set": {"adapters.rank": 8, "cluster.clock.frequency": "1 GHz"},
        "tokens": 64,
        "axes": {"tile.integration_time": ["128 ns", "256 ns"], "cluster.count": [1, 2]},
        "objectives": _OVERHEAD,
        "keep": [*_KEPT, "batch"],
    },
    {
        "name": "many_points_of_a_layer",
        "machine": "ahwa_lora_2026",
        "axes": {
            "network": ["layer_128x128", "layer_512x128"],
            "scheduler.batch": {"from": 1, "to": 64, "factor": 2},
            "tile.integration_time": {"from": "64 ns", "to": "576 ns", "step": "64 ns"},
            "scheduler.buffers": [1, 2],
            "cluster.tcdm.size": ["32 KiB", "128 KiB"],
            "cluster.clock.frequency": ["400 MHz", "500 MHz"],
            "tokens": [16, 100],
        },
        "objectives": _MINIMISE,
    },
    {
        "name": "many_points_of_a_pipeline",
        "machine": "ahwa_lora_2026",
        "network": "layer_512x128",
        "scheduler": {"kind": "early_xa", "order": "swapped", "add": "separate"},
        "axes": {
            "scheduler.batch": [4, 8, 16],
            "cluster.matrix_engine.array_width": [4, 8, 12],
            "link.width": ["32 B/cycle", "64 B/cycle"],
            "cluster.dma.bytes_per_cycle": ["32 B/cycle", "64 B/cycle"],
            "tile.integration_time": {"from": "64 ns", "to": "576 ns", "step": "32 ns"},
            "adapters.rank": [4, 8],
            "tokens": [33],
        },
        "objectives": _MINIMISE,
    },
    {
        "name": "many_points_of_a_network",
        "machine": "ahwa_lora_2026",
        "network": "minilm_l6",
        "tokens": 24,
        "axes": {
            "scheduler.batch": [4, 8],
            "tile.integration_time": ["128 ns", "256 ns"],
            "cluster.tcdm.size": ["8 KiB", "128 KiB"],
            "scheduler": ["token_parallel", "layer_serial", "multi_cluster"],
        },
        "objectives": _MINIMISE,
        "constraints": ["overhead_percent <= 50"],
    },
    {
        "name": "every_column",
        "machine": "ahwa_lora_2026",
        "network": "layer_512x128",
        "tokens": 40,
        "axes": {
            "scheduler": ["token_parallel", "early_xa", "layer_serial"],
            "scheduler.unit": ["matrix_engine", "cores"],
            "adapters.rank": [4, 8],
        },
        "objectives": _MINIMISE,
        "keep": _ALL_KEPT,
    },
    {
        "name": "long_sequences",
        "machine": "ahwa_lora_2026",
        "network": "layer_512x128",
        "axes": {
            "tokens": [2000, 100000],
            "scheduler.batch": [8, None],
            "scheduler.early_xa": [False, True],
        },
        "objectives": _MINIMISE,
    },
    {
        "name": "harp_chunks",
        "scheduler": "xb_pipe",
        "set": {"adapters": "none"},
        "axes": {
            "pair": {
                "mobilebert": {"network": "mobilebert", "machine": "harp_2026:mobilebert"},
                "t5": {"network": "t5_small_encoder", "machine": "harp_2026:t5"},
            },
            "tokens": [64],
            "scheduler.chunk": [8, 16, 64],
        },
        "per": ["pair", "tokens"],
        "objectives": {"latency_ps": "minimise"},
        "keep": ["latency_ps", "tcdm_bytes", "batch", "tasks"],
    },
    {
        "name": "networks_with_adapters",
        "network": "minilm_l6",
        "machine": "harp_2026:bert_base",
        "tokens": 16,
        "scheduler": "network",
        "axes": {
            "scheduler.chunk": [8, "best"],
            "scheduler.unit": ["matrix_engine", "best"],
            "cluster.clock.frequency": ["500 MHz", "800 MHz"],
        },
        "objectives": _MINIMISE,
    },
)
SWEPT: tuple[Given, ...] = tuple(
    {"kind": "sweep", "network": "", "machine": "", "strategy": "", "title": study["name"],
     "more": {"study": study}}
    for study in _STUDIES
)  # fmt: skip
