"""What a row of HARP's results says about its run: network, strategy, machine, cached tokens.

A row was written by a person from HARP's files, so one thing has several spellings. They are in
tables here: patterns of names, each with what it sets. Names are compared in small letters with
one ``_`` between words. A parameter that is none of them changes nothing, and the case says so in
its notes; where a row leaves something open, what was taken for it is a note as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hybridsim.errors import UnsupportedError
from hybridsim.validation.harp_numbers import bytes_, count, keys, link_bits, whole

T5_DECODER = "t5_small_decoder"
DECODERS = ("gpt2", T5_DECODER)
"""Bundled networks of HARP that generate."""
NETWORKS: tuple[tuple[str, str, str], ...] = (
    (r"mobilebert", "mobilebert", "mobilebert"),
    (r"distilbert", "distilbert", "bert_base"),
    (r"(?<![a-z])bert_?(l|large)(?![a-z])", "bert_large", "bert_large"),
    (r"(?<![a-z])bert(_?(b|base))?(?![a-z])", "bert_base", "bert_base"),
    (r"(gpt_?2|nano_?gpt)", "gpt2", "gpt2"),
    (r"t5.*dec|dec.*t5", T5_DECODER, "t5"),
    (r"t5", "t5_small_encoder", "t5"),
)
"""HARP's name of a network -> bundled network, and variant of the machine. Source: Table III."""
STRATEGIES = {
    "xb": "xb_pipe",
    "il+xl": "il_xl_pipe",
    "il_xl": "il_xl_pipe",
    "ilxl": "il_xl_pipe",
    "il_par": "il_par",
    "ilpar": "il_par",
    "il_pipe": "il_pipe",
    "ilpipe": "il_pipe",
    "xl": "xl_pipe",
    "serial": "serial",
    "sequential": "serial",
}
"""Part of the name of a configuration -> strategy; the first that is found."""
WHOLE_LAYERS = ("serial", "il_par", "il_pipe")
OBJECTIVES = {
    "latency": "latency",
    "area": "area",
    "area_latency_balance": "balance",
    "balance": "balance",
    "balanced": "balance",
}
"""HARP's optimisation level -> ``tile.sharing``."""
CLUSTERS_USED = {"area": 1, "balance": 2}
"""Clusters with an engine that HARP uses under an objective. Source: Fig. 7, for MobileBERT, where
its energies show it; for the other networks the same is taken, and noted."""

_LINK = r"(link|bus|noc|comm|communication|interconnect)"
SETTINGS: tuple[tuple[str, str, str], ...] = (
    (rf"{_LINK}(_(width|bw|bandwidth))?(_?(b|bits?))?(_(per|p|/)_?(cycle|clk))?", "link", "b"),
    (rf"(bits|bit)_per_cycle|{_LINK}_bit_?width|{_LINK}_bits?", "link", "b"),
    (rf"{_LINK}(_(width|bw|bandwidth))?_bytes?(_per_cycle)?", "link", "B"),
    (r"(n_|num_)?srams?(_?(size|capacity|tiles?|count|used|needed))?(_?(mib|mb))?", "sram", "MiB"),
    (r"srams?(_?(size|capacity))?_(kib|kb)", "sram", "KiB"),
    (r"srams?(_?(size|capacity))?_(bytes?|b)", "sram", "B"),
    (r"(ddr|dram)(_(bw|bandwidth))?(_(mib|mb)(_?p?e?r?_?s)?)?", "dram", "MiB/s"),
    (r"(n_|num_)?(pmcas?|clusters?)_?\+?_?(red|mace|redmule)(_(used|count))?", "engines", ""),
    (r"(n_|num_)?(red|mace|redmule)_?(pmcas?|clusters?)(_(used|count))?", "engines", ""),
    (r"(n_|num_)?(plain_?)?(pmcas?|clusters?)(_(plain|used|count|number))?", "plain", ""),
    (r"(n_|num_|aimc_)tiles?|tiles?_(count|number)|tiles?_(available|total)", "tiles", ""),
    (r"(n_|num_)?tiers?(_per_tile)?", "tiers", ""),
    (r"(t_?int|integration(_?time|_ns)?|mvm_latency|t_?mvm)(_ns)?", "integration", "ns"),
    (r"(xbar|crossbar|tile|array)_size", "crossbar", ""),
    (r"dma(_(width|bw|bandwidth))?(_(b|bytes?)(_per_cycle)?)?", "dma", "B"),
    (r"tcdm(_size)?(_(kib|kb))?|l1(_size)?(_(kib|kb))?", "tcdm", "KiB"),
    (r"opt(_?level)?|objective|mapping(_objective)?|optimi[sz]ation(_level)?", "objective", ""),
    (r"pre_?fill(_?(len|length|tokens?|size|seq_?len))?", "prefill", ""),
    (r"(kv|k_v)(_?(cache|length|len|size|tokens?|seq_?len|cache_len(gth)?))?", "prefill", ""),
    (
        r"(past|context|ctx|prompt|cache|cached|history)(_?(len|length|tokens?|size))?",
        "prefill",
        "",
    ),
    (r"decode|decoding|is_decode|generat(e|ion)", "decode", ""),
    (r"(mode|phase|stage|step)", "phase", ""),
    (r"(use_|with_)?(flash|flash_?attention|flash_?attn|fa)(_enabled)?", "flash", ""),
    (r"attention|attn|attention_(type|form|mode)", "attention", ""),
    (r"(kv_|flash_|fa_)?warp(_?size)?|(kv|flash)_(block|tile)(_size)?", "warp", ""),
    (r"(attention|attn|q|query)_?chunk(_size)?", "queries", ""),
    (r"chunk(_size)?", "chunk", ""),
    (r"(seq_?len(gth)?|sl)", "tokens", ""),
)
"""Name of a parameter -> what it sets, and its unit where the value has none. Plain clusters are
those without an engine, but for MobileBERT, whose platform has none of them."""
FLAGS = ("flash", "decode")
"""What a remark without a value sets."""
RESULTS = re.compile(
    r"(tile_tiers?(_slots|_used)?|tiles?_used|tops|.*(energy|power|area|tdp|edp|utili[sz]ation"
    r"|throughput|speed_?up|efficiency|occupancy|gain|saving|reduction|ratio|percent|overhead).*"
    r"|(.*_)?(mj|uj|nj|pj|j|w|mw|mm2|fps|tops|ms|us|tokens_per_s|w_per_mm2))"
)
"""Parameters that are results of HARP, not settings."""
REMARKS = re.compile(
    r"((chunk|link|sram|seq_?len|sequence|mapping|objective|attention|prefill|area|latency)s?_?)*"
    r"(sweep|search|searched|study|best|auto|scan|default|baseline)(_.*)?"
)
"""Remarks that say nothing about the run."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row as a run."""

    network: str
    variant: str
    overrides: tuple[tuple[str, str | int], ...]
    strategy: str
    batch: int | str
    tokens: int
    past: int = 0
    """Tokens whose keys and values are kept."""
    options: tuple[tuple[str, str | int], ...] = ()
    """Options of the strategy beside the batch."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was taken for something that the row leaves open."""


@dataclass
class _Reading:
    """A row on its way to a case."""

    model: str
    config: str
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What is set -> value and unit."""
    notes: list[str] = field(default_factory=list)


def read_row(model: str, seq_len: str, config: str, chunk: str, parameters: str) -> Case:
    """Return the run that a row describes.

    Raises:
        UnsupportedError: The network is not known, or a value is no sensible one.
    """
    row = _Reading(plain(model), plain(config))
    _read_parameters(row, parameters)
    _read_config(row, config)
    if "decode" in row.model.replace("decoder", ""):
        row.settings.setdefault("decode", ("1", ""))
    network, variant = _network(row)
    strategy = _strategy(row)
    tokens, past = _tokens(row, seq_len, network)
    batch = _chunk(row, strategy, chunk, tokens)
    options = tuple(_options(row, strategy, chunk, tokens))
    overrides = tuple(_overrides(row, network))
    return Case(
        network, variant, overrides, strategy, batch, tokens, past, options,
        tuple(row.notes),
    )  # fmt: skip


def plain(text: str) -> str:
    """Return a name in small letters, with one ``_`` for all that separates its words."""
    return re.sub(r"[^a-z0-9+]+", "_", text.strip().lower()).strip("_")


# --- what the columns say -------------------------------------------------------------------


def _network(row: _Reading) -> tuple[str, str]:
    for pattern, network, variant in NETWORKS:
        if re.search(pattern, row.model):
            if network == "t5_small_encoder" and {"prefill", "decode"} & set(row.settings):
                row.notes.append("T5 that generates: its decoder is taken")
                return T5_DECODER, variant
            return network, variant
    raise UnsupportedError(f"no bundled network is HARP's {row.model!r}")


def _strategy(row: _Reading) -> str:
    for part, strategy in STRATEGIES.items():
        if part in row.config:
            return strategy
    row.notes.append("no strategy is named: XB-pipe is taken, as in Fig. 7")
    return "xb_pipe"


def _read_config(row: _Reading, config: str) -> None:
    """Take from the name of a configuration what other rows have as parameters."""
    if "decod" in row.config or "generat" in row.config:
        row.settings.setdefault("decode", ("1", ""))
    if "flash" in row.config:
        row.settings.setdefault("flash", ("1", ""))
    if found := re.search(r"(mapping|opt(_level)?|objective)_([a-z_]+)", row.config):
        row.settings.setdefault("objective", (found[3], ""))
    for part in re.findall(r"[\w+]+\s*=\s*[\w.(+]+", config):
        _read_parameters(row, part)


def _read_parameters(row: _Reading, text: str) -> None:
    """Take the parameters of a row, ``name=value`` each, and its remarks."""
    for part in filter(None, (part.strip() for part in re.split(r"[;,|\n]", text))):
        name, sign, value = re.sub(r"[:=]", "=", part, count=1).partition("=")
        if not sign:
            name, value = _split_remark(part)
        setting = _setting(plain(name))
        if setting is not None and (value.strip() or setting[0] in FLAGS):
            row.settings.setdefault(setting[0], (value.strip() or "1", setting[1]))
        elif setting is not None and not sign:
            continue  # it names what a figure varies
        elif not RESULTS.fullmatch(plain(name)) and not REMARKS.fullmatch(plain(part)):
            row.notes.append(f"parameter {part!r} is not known, and changes nothing")


def _split_remark(part: str) -> tuple[str, str]:
    """Return name and value of ``prefill 128`` or ``256-bit link``; no value if there is none."""
    if found := re.fullmatch(r"([A-Za-z_+ -]+?)\s*(\d[\w./ +()]*)", part):
        return found[1], found[2]
    if found := re.fullmatch(r"(\d[\d.]*)[\s-]*(b|bits?|[KMG]i?B)[\s-]+([A-Za-z_ ]+)", part):
        return found[3], f"{found[1]} {found[2]}"
    return part, ""


def _setting(name: str) -> tuple[str, str] | None:
    for pattern, setting, unit in SETTINGS:
        if re.fullmatch(pattern, name):
            return setting, unit
    return None


def _tokens(row: _Reading, seq_len: str, network: str) -> tuple[int, int]:
    """Return how many tokens are computed, and how many are kept from before.

    HARP counts the token itself among the keys of ``prefill``; ``k(+1)`` tells it apart. Keys and
    values of an encoder are paid at a ``prefill`` of 1 and less.

    Raises:
        UnsupportedError: There is no number of tokens, or no prefill where a token is generated.
    """
    numbers = [int(number) for number in re.findall(r"\d+", re.sub(r"\.0*(?!\d)", "", seq_len))]
    if not numbers and "tokens" in row.settings:
        numbers = [whole("seq_len", row.settings["tokens"][0])]
    if not numbers:
        raise UnsupportedError(f"seq_len {seq_len!r} is no number of tokens")
    tokens = numbers[-1]
    prefill = row.settings.get("prefill", (seq_len if len(numbers) > 1 else "", ""))[0]
    decodes = _is_on(row, "decode") or "decod" in row.settings.get("phase", ("", ""))[0].lower()
    decodes = decodes or "+" in prefill
    generates = network == T5_DECODER or (network in DECODERS and tokens == 1)
    if not prefill and (decodes or generates):
        raise UnsupportedError(
            f"{row.model} generates, and the row names no prefill, so its keys are not known; "
            "write prefill=512(+1) in other_params where 512 tokens are before this one"
        )
    there = keys(prefill) if prefill else 0
    if not there:
        return (1 if decodes else _positive(seq_len, tokens)), 0
    if decodes or tokens <= 1 or tokens == there:
        if tokens > 1:
            row.notes.append(f"one token with {there} keys is taken")
        return 1, there - 1
    return _positive(seq_len, tokens), there


def _positive(text: str, tokens: int) -> int:
    if tokens < 1:
        raise UnsupportedError(f"seq_len {text!r} is no number of tokens")
    return tokens


def _chunk(row: _Reading, strategy: str, text: str, tokens: int) -> int | str:
    """Return the chunk of a row; strategies of whole layers have none, or search it themselves."""
    if strategy in WHOLE_LAYERS:
        return "all"
    text = text or row.settings.get("chunk", ("", ""))[0]
    if found := re.search(r"(?<![-\d])\d+", text):
        if int(found[0]):
            return int(found[0])  # what HARP's own search found, too
    elif text.strip().lower() in ("all", "sl", "whole"):
        return "all"
    elif text.strip() and "-" not in text:
        return "best"
    elif not text.strip():
        if tokens > 1:
            row.notes.append("no chunk is given: the best is taken")
        return "best"
    raise UnsupportedError(f"chunk {text!r} is no number of tokens")


def _options(
    row: _Reading, strategy: str, chunk: str, tokens: int
) -> Iterator[tuple[str, str | int]]:
    """Yield what the parameters of a row set on the strategy."""
    attention = row.settings.get("attention", ("", ""))[0].lower()
    if _is_on(row, "flash") or "flash" in attention:
        yield "flash", "always"
    if "warp" in row.settings:
        yield "warp", whole("warp", row.settings["warp"][0])
    if strategy in WHOLE_LAYERS:
        given = row.settings.get("queries", row.settings.get("chunk", (chunk, "")))[0]
        number = re.search(r"\d+", given)
        if number and 0 < int(number[0]) < tokens:
            yield "queries", int(number[0])


# --- what the parameters change on the machine ----------------------------------------------


def _overrides(row: _Reading, network: str) -> Iterator[tuple[str, str | int]]:
    yield from _objective(row, network)
    for setting, (text, unit) in row.settings.items():
        if setting == "link":
            yield "link.width", f"{link_bits(text, unit)} b/cycle"
        elif setting == "sram":
            yield "memory.sram.size", f"{bytes_('sram', text, unit)} B"
        elif setting == "tcdm":
            yield "cluster.tcdm.size", f"{bytes_('tcdm', text, unit)} B"
        elif setting == "dram":
            yield "memory.dram.bandwidth", f"{whole('dram', text)} MiB/s"
        elif setting == "dma":
            yield "cluster.dma.bytes_per_cycle", f"{whole('dma', text)} B/cycle"
        elif setting == "tiles":
            yield "tile.count", whole("tiles", text)
        elif setting == "tiers":
            yield "tile.tiers", whole("tiers", text)
        elif setting == "integration":
            yield "tile.integration_time", f"{whole('integration time', text)} ns"
        elif setting == "crossbar":
            yield "tile.rows", whole("crossbar size", text)
            yield "tile.columns", whole("crossbar size", text)


def _objective(row: _Reading, network: str) -> Iterator[tuple[str, str | int]]:
    """Yield the mapping objective, and the clusters that HARP uses under it."""
    level = plain(row.settings.get("objective", ("latency", ""))[0])
    if level not in OBJECTIVES:
        raise UnsupportedError(f"opt_level {level!r} is none of {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[level]
    yield "tile.sharing", objective
    engines = row.settings.get("engines", ("", ""))[0]
    others = row.settings.get("plain", ("", ""))[0]
    if network == "mobilebert":
        engines, others = engines or (others if others != "0" else ""), ""
    if objective != "latency":
        if not engines:
            engines = str(CLUSTERS_USED[objective])
            if network != "mobilebert":
                row.notes.append(f"{engines} PMCA+MACE are taken, as for MobileBERT")
        if not others and network != "mobilebert":
            others = "0"
    if engines:
        yield "cluster.count", whole("pmca_red", engines)
    if others:
        yield "cluster.plain_count", count("pmca", others)


def _is_on(row: _Reading, setting: str) -> bool:
    text = row.settings.get(setting, ("no", ""))[0].strip().lower()
    return text not in ("0", "no", "false", "off", "none", "")
