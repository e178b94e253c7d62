"""Cases of strategies for single layers: names, options, mixes, shapes and machines."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.digest.case import Case, mixed

LAYER_OPTIONS: dict[str, Sequence[Any]] = {
    "batch": (None, None, 1, 4, 8, 13, 32),
    "unit": ("matrix_engine", "cores", "both", "balanced", "either", "best"),
    "order": ("direct", "swapped", "best"),
    "buffers": (1, 2, 2, 3),
    "early_xa": (False, True),
    "add": ("fused", "separate"),
    "first_batch": (None, 1, 4),
    "last_batch": (None, 1, 2),
    "clusters": (1, 2, "all"),
    "prefetch_weights": (False, True),
    "stream": (False, True),
}
ONLY: dict[str, dict[str, Sequence[Any]]] = {
    "token_parallel": {},
    "early_xa": {"early_xa": (True,)},
    "fused_add": {"add": ("fused",)},
    "separate_add": {"early_xa": (True,), "add": ("separate",)},
    "swapped": {"order": ("swapped",)},
    "split_cores": {"unit": ("either",)},
    "multi_cluster": {"clusters": (2, "all")},
    "cross_layer": {"stream": (True,)},
}
"""Strategies made of options of the pipeline -> values that they leave open."""
LAYER_PLACES: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("layer_512x128", "ahwa_lora_2026", 100, {"cluster.count": 2}),
    ("layer_128x128", "ahwa_lora_2026:128ns", 57, {"cluster.count": 3, "link.count": 2}),
    ("wide", "ahwa_lora_2026", 37, {"cluster.count": 2, "cluster.tcdm.size": "512 KiB"}),
    ("small_bert", "ahwa_lora_2026:512ns", 24, {"cluster.count": 2}),
    ("small_mobilebert", "harp_2026", 20, {}),
    ("small_gpt2", "harp_2026:bert_base", 18, {}),
)
MIXES = 8
"""Mixes of each strategy for single layers, beyond the many of token_parallel."""


def layer_mixes() -> Iterator[Case]:
    """Yield mixes of all options of each strategy for single layers."""
    for strategy, only in ONLY.items():
        values = LAYER_OPTIONS | only
        for number in range(3 * MIXES if strategy == "token_parallel" else MIXES):
            place = LAYER_PLACES[number % len(LAYER_PLACES)]
            options = mixed(values, strategy, number)
            if options["add"] == "separate" and options["unit"] == "balanced":
                options["unit"] = "both"  # a balanced split adds on the engine
            title = f"mix {number} of {strategy} {place[0]} {place[1]} {place[2]} tokens"
            yield Case(*place[:2], strategy, place[2], options, place[3], title=title,
                       tables=number % 3 == 0)  # fmt: skip


def layer_options() -> Iterator[Case]:
    """Yield every value of every option of the pipeline by itself, and of the serial baseline."""
    place = {"settings": {"cluster.count": 2}, "tokens": 75}
    for name, values in LAYER_OPTIONS.items():
        for value in dict.fromkeys(values):
            if value is not None:
                yield Case("layer_512x128", options={name: value}, **place)  # type: ignore[arg-type]
    for unit in LAYER_OPTIONS["unit"]:
        options = {"unit": unit, "order": "best", "batch": 9, "buffers": 1}
        yield Case("layer_512x128", "ahwa_lora_2026", "layer_serial", 75, options)
    for number, order in enumerate(("direct", "swapped")):
        yield Case("small_bert", "ahwa_lora_2026", "layer_serial", 24, {"order": order},
                   tables=number == 0)  # fmt: skip
    yield Case("layer_512x128", tokens=75, options={"add": "separate", "unit": "balanced"})
    yield Case("layer_512x128", tokens=75, options={"first_batch": 2, "last_batch": 2, "batch": 8})
    yield Case("small_bert", tokens=33, options={"stream": True, "prefetch_weights": True})
    yield Case("small_bert", strategy="cross_layer", tokens=33, options={"unit": "best"})


def layer_names() -> Iterator[Case]:
    """Yield every strategy for single layers by name, on layers and small networks."""
    for strategy in ("all_analog", "layer_serial", *ONLY, "auto"):
        yield Case("layer_512x128", "ahwa_lora_2026", strategy, 100, tables=True)
        yield Case("small_mobilebert", "harp_2026", strategy, 24)
        if strategy != "auto":
            yield Case("layer_128x128", "ahwa_lora_2026:128ns", strategy, 320)
            yield Case("minilm_l6", "ahwa_lora_2026", strategy, 24)
    for options in ({"stream": True}, {"stream": True, "batch": 8}):
        yield Case("small_bert", "ahwa_lora_2026", "all_analog", 33, options)
    for settings in ({}, {"cluster.count": 2, "tile.integration_time": "96 ns"}):
        for across in (True, False):
            options = {"across_layers": across}
            yield Case("small_bert", "ahwa_lora_2026", "auto", 24, options, settings)


def layer_shapes() -> Iterator[Case]:
    """Yield ranks, lengths, bundled networks, and scratchpads that are too small."""
    for rank in (1, 3, 16, 64):
        yield Case("layer_512x128", tokens=64, adapters={"rank": rank})
    for tokens in (1, 2, 7, 128, 512):
        yield Case("layer_512x128", tokens=tokens)
    for options in ({}, {"unit": "best", "order": "best"}, {"buffers": 3}, {"batch": 64}):
        yield Case("wide", tokens=50, options=options)
    for size in ("1 KiB", "8 KiB", "24 KiB", "32 KiB", "48 KiB", "64 KiB"):
        settings = {"cluster.tcdm.size": size}
        yield Case("layer_512x128", tokens=40, settings=settings)
        yield Case("wide", tokens=40, settings=settings, options={"early_xa": True})
        yield Case("small_bert", strategy="cross_layer", tokens=40, settings=settings)
    yield Case("layer_512x128", tokens=40, options={"batch": 40}, settings=settings)
    for network in ("distilbert", "gpt2", "t5_small_encoder", "t5_small_decoder", "vit_b_16"):
        tokens = None if network == "vit_b_16" else 8
        yield Case(network, tokens=tokens, adapters={"rank": 4})
    yield Case("minilm_l6", tokens=16, adapters={"rank": 8, "targets": ["*query*", "*value*"]})
    yield Case("minilm_l6", tokens=16, adapters={})
    some = {"targets": ["*query*", "*output*"]}
    for strategy in ("layer_serial", "token_parallel", "cross_layer", "auto"):
        yield Case("small_bert", "ahwa_lora_2026", strategy, 20, adapters=some)
    ramps = {"stream": True, "first_batch": 1, "last_batch": 1, "prefetch_weights": True}
    yield Case("small_bert", tokens=20, options=ramps, adapters=some)
    yield Case("small_bert", strategy="cross_layer", tokens=20, adapters={})
    for strategy in ("all_analog", "token_parallel", "auto"):
        yield Case("small_bert", "ahwa_lora_2026", strategy, 20, {}, {"cluster": None}, {})
    yield Case("mobilebert", tokens=128, tables=True)
    yield Case("mobilebert_squad", tokens=32, options={"unit": "best", "order": "best"})
    yield Case("bert_base_squad", tokens=16, options={"early_xa": True, "last_batch": 1})
    yield Case("bert_large_squad", tokens=4, options={"unit": "both"})
    yield Case("layer_512x128", tokens=20, options={"unit": "cores"},
               settings={"cluster.precision": "int8"})  # fmt: skip


def layer_machines() -> Iterator[Case]:
    """Yield every variant of the machines, and parts of machines that are missing."""
    for variant in (
        "128ns", "256ns", "512ns", "served", "tile_power", "hermes_1_phase", "hermes_4_phase",
        "speech_chip", "gated_engine", "harp_powers", "redmule_2022", "sram_operands",
        "static_tenth",
    ):  # fmt: skip
        machine = f"ahwa_lora_2026:{variant}"
        options = {"unit": "both"} if variant.startswith("harp") else {}
        yield Case("layer_512x128", machine, tokens=48, options=options)
        yield Case("small_bert", machine, "network", 24, {"chunk": 8, "unit": "best"})
    for setting in (
        {"cluster.matrix_engine": None},
        {"cluster": None},
        {"energy": None},
        {"energy.tile": None},
        {"energy.cluster": None},
        {"energy.cluster.dma_byte": "1 pJ/B"},
        {"energy.cluster.cores_power": None},
        {"energy.link": None},
        {"area": None},
        {"tile.output_buffers": 1},
        {"tile.output_buffers": 3},
        {"link.count": 2, "cluster.count": 2},
        {"link.latency": "7 cycles"},
        {"cluster.precision": "fp32", "cluster.matrix_engine": None},
        {"cluster.precision": "int8"},
        {"cluster.clock.frequency": "1 GHz"},
        {"tile.rows": 100, "tile.columns": 60},
        {"tile.periphery.lanes": 8, "tile.periphery.setup": "3 cycles"},
        {"tile.sharing": "packed"},
        {"tile.sharing": "area", "tile.tiers": 4, "tile.count": 20},
        {"tile.sharing": "balance", "tile.tiers": 4, "tile.count": 20},
        {"tile.sharing": "latency", "tile.tiers": 4, "tile.count": 20},
        {"tile.count": 1},
    ):
        for strategy, network in (("token_parallel", "layer_512x128"), ("network", "small_bert")):
            options = {"unit": "cores"} if "cluster.matrix_engine" in setting else {}
            yield Case(network, "ahwa_lora_2026", strategy, 20, options, setting)
    for strategy, unit in (("token_parallel", "matrix_engine"), ("network", "both")):
        missing = {"cluster.matrix_engine": None}
        yield Case("small_bert", "ahwa_lora_2026", strategy, 20, {"unit": unit}, missing)
