"""HARP's published latencies, one test per figure and row.

Source: Ferro, Benmeziane, Boybat, HARP, IEEE TPDS 37(9) 2026, DOI 10.1109/TPDS.2026.3706975, and
the result files of its repository (IBM/HARP at c19a799), regression_checks/figures.
"""

import pytest

import hybridsim
from hybridsim.mapping import place
from hybridsim.programs.attention import Attention
from hybridsim.programs.attention_runs import attend
from hybridsim.validation.harp import TABLE, Case, compare, simulated_ms, summary


def latency_ms(
    strategy: str,
    batch: int | str = "all",
    network: str = "mobilebert",
    variant: str = "mobilebert",
    **overrides: str | int,
) -> float:
    changed = tuple((key.replace("__", "."), value) for key, value in overrides.items())
    return simulated_ms(Case(network, variant, changed, strategy, batch, 128))


@pytest.mark.parametrize(
    ("strategy", "batch", "published_ms"),
    [
        ("serial", "all", 25.507772),
        ("il_par", "all", 18.735723),
        ("il_pipe", "all", 18.242972),
        ("xl_pipe", 8, 7.162998),
        ("il_xl_pipe", 8, 4.931997),
        ("xb_pipe", 8, 3.861117),
    ],
)
def test_figure_8_mobilebert(strategy: str, batch: int | str, published_ms: float) -> None:
    """Fig. 8: the six strategies on MobileBERT, 128 tokens.

    IL-Pipe is no prediction: one cost was fitted to that row.
    """
    assert latency_ms(strategy, batch) == pytest.approx(published_ms, rel=0.0003)


@pytest.mark.parametrize(
    ("strategy", "batch", "published_ms"),
    [("serial", "all", 31.816359), ("il_par", "all", 6.436942), ("xb_pipe", 8, 2.745757)],
)
def test_figure_8_bert_base(strategy: str, batch: int | str, published_ms: float) -> None:
    """Fig. 8: BERT-base on 96 tiles, 12 clusters with and 20 without an engine."""
    found = latency_ms(strategy, batch, "bert_base", "bert_base")
    assert found == pytest.approx(published_ms, rel=0.0002)


def test_figure_8_t5_encoder() -> None:
    """Fig. 8: the encoder of T5-small, Serial."""
    found = latency_ms("serial", network="t5_small_encoder", variant="t5")
    assert found == pytest.approx(10.256408, rel=0.0001)


@pytest.mark.parametrize(
    ("batch", "published_ms", "within"),
    [(4, 5.215059, 0.0001), (8, 3.861, 0.0003), (16, 4.557, 0.0005), (32, 6.361, 0.0015)],
)
def test_figure_10_batch_sweep(batch: int, published_ms: float, within: float) -> None:
    """Fig. 10: XB-pipe on MobileBERT over batches; the row of 16 had a cost fitted to it."""
    assert latency_ms("xb_pipe", batch) == pytest.approx(published_ms, rel=within)


def test_figure_7_area() -> None:
    """Fig. 7: mapped for area, one cluster."""
    found = latency_ms("xb_pipe", 8, tile__sharing="area", cluster__count=1)
    assert found == pytest.approx(10.243889, rel=0.0006)


def test_figure_7_balance() -> None:
    """Fig. 7: mapped for balance, two clusters; nothing was fitted to it."""
    found = latency_ms("xb_pipe", 8, tile__sharing="balance", cluster__count=2)
    assert found == pytest.approx(7.166274, rel=0.00001)


@pytest.mark.parametrize(
    ("objective", "published"), [("latency", 84), ("area", 78), ("balance", 79)]
)
def test_figure_7_crossbars(objective: str, published: int) -> None:
    """Fig. 7: tile-tiers that MobileBERT takes under each objective."""
    network, machine = hybridsim.load("mobilebert", "harp_2026", {"tile.sharing": objective})
    assert place(network, machine).crossbars == published


def test_bert_large_fills_its_platform_exactly() -> None:
    """Table III: 144 tiles of 8 tiers, which is what BERT-large needs on its own crossbars."""
    network, machine = hybridsim.load("bert_large", "harp_2026:bert_large")
    assert place(network, machine).crossbars == 144 * 8


@pytest.mark.parametrize(
    ("network", "variant", "sum_ms"),
    [("bert_large", "bert_large", 8.275726 + 24 * 16 * 0.170068 + 6.530359)],
)
def test_serial_is_a_sum(network: str, variant: str, sum_ms: float) -> None:
    """Without any overlap the latency is that of tiles, link and DRAM, attention, and the rest.

    The three terms were inferred one by one from published latencies and energies.
    """
    assert latency_ms("serial", "all", network, variant) == pytest.approx(sum_ms, rel=0.0002)


@pytest.mark.parametrize(
    ("head_dim", "form", "batch", "microseconds"),
    [
        (32, "sequential", None, 94.0562),
        (64, "sequential", None, 170.0680),
        (32, "sequential", 8, 200.711),
        (64, "sequential", 8, 335.945),
        (32, "pipelined", 8, 93.849),
        (64, "pipelined", 8, 149.279),
    ],
)
def test_attention_of_one_head(
    head_dim: int, form: str, batch: int | None, microseconds: float
) -> None:
    """Times of one head, 128 tokens, inferred from the published energies alone."""
    cluster = hybridsim.load_machine("harp_2026").cluster
    assert cluster is not None
    run = attend(Attention(cluster, 128, 128, head_dim, 1, form), batch)  # type: ignore[arg-type]
    assert run.duration_ps / 1e6 == pytest.approx(microseconds, abs=0.0015)


@pytest.mark.parametrize("heads", [2, 4])
def test_heads_of_one_cluster_overlap(heads: int) -> None:
    """Energies of Fig. 7: each further head of a cluster saves 2.304 us."""
    cluster = hybridsim.load_machine("harp_2026").cluster
    assert cluster is not None
    one = attend(Attention(cluster, 128, 128, 32, 1, "pipelined"), 8).duration_ps
    all_heads = attend(Attention(cluster, 128, 128, 32, heads, "pipelined"), 8).duration_ps
    assert (heads * one - all_heads) / 1e6 == pytest.approx(2.304 * (heads - 1), abs=0.005)


def test_every_bundled_row_is_compared() -> None:
    compared = compare()
    told = summary(compared)
    assert told["rows"] == sum(1 for line in TABLE.read_text().splitlines() if line[0] != "#") - 1
    # the network of Fig. 6 is not published
    assert set(compared[compared["reason"] != ""]["figure"]) == {"6"}
    assert told["within_0.2_percent"] == told["simulated"]
    assert told["largest_absolute_error_percent"] < 0.13
