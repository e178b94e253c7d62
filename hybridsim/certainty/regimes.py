"""Regimes: kernels whose models can be wrong in the same way, and the unit of that error.

A residual (measured - simulated cycles) is told as a *score*: in units of what the model itself
is unsure of. Where cores meet in the banks of the TCDM that is the square root of the conflicts
that may be, from least to most: each access may lose its cycle or not, and what is independent
adds up so. On the matrix engine it is the square root of the number of tiles for the same reason:
each may wait for the port, a little more or less than the model says. Elsewhere it is one cycle:
starts, ends and fences. Whether a kernel streams its operands or counts instructions makes no
difference to that.

How it was chosen, on the rows that calibrate alone, each left out in turn (27 with conflicts,
bound by their ceil(0.9 n)-th score): half an interval is 4.1 % of the cycles in the median with
the root of the range, 5.8 % with the range, 6.1 % without a unit; with other powers of these, of
the cycles simulated or of those streamed, 4.4 to 6.8 %; each of them covers 25 rows. (With the
range the one that is missed most, a broadcast without padding, is missed by less.) Residuals of
kernels with streams and of those without cannot be told apart (16 and 22 rows, Kolmogorov-
Smirnov: 0.8 of all permutations are further apart), so they are one regime.

Source of the form: nonconformity scores that are normalised by the difficulty of an example,
Papadopoulos, Gammerman and Vovk, *Normalized nonconformity measures for regression conformal
prediction*, 2008; Lei et al., *Distribution-free predictive inference for regression*, JASA 2018,
Sec. 5.2; scores per class of examples ("Mondrian"): Vovk, Gammerman and Shafer, *Algorithmic
Learning in a Random World*, 2005, Sec. 4.5.
"""

from math import sqrt

from hybridsim.components.core_kernels import GEMMS, LAYERNORMS, Precision
from hybridsim.components.cores import Cores, Level
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.records import record
from hybridsim.units import ceil_div

FEW_TILES = 3
"""Jobs of up to so many tiles are replayed tile by tile when their tables are made."""
LONG = 6
"""Heights of the array in the reduction from which on the port has time to spare: 6 x 4 rows of W
take longer than a tile's X, Y and Z."""
LEVELS: tuple[Level, Level, Level] = ("least", "typical", "most")
"""Bank conflicts as the model knows them: none, those it charges, the worst."""
SHORT = 2
"""Heights up to which the port, or the buffer of Z, sets the pace."""


@record(frozen=True, slots=True)
class Regime:
    """How a kernel's model can be wrong."""

    name: str
    """``part.way``; a way may fall back on its part where few rows were measured."""
    unit: float = 1.0
    """What a score of one stands for [cycles]."""


def engine_regime(engine: MatrixEngine, m: int, n: int, k: int) -> Regime:
    """Return the regime of a job of the matrix engine, as it is run.

    A job of few tiles is known tile by tile. In longer ones tiles may wait for the port: never
    where the reduction is long, always where it is short.
    """
    tiles = ceil_div(m, engine.array_width) * ceil_div(k, engine.tile_columns)
    unit = sqrt(tiles)
    heights = ceil_div(n, engine.array_height)
    if tiles <= FEW_TILES:
        return Regime("engine.few tiles", unit)
    if heights >= LONG:
        return Regime("engine.long reduction", unit)
    if heights > SHORT:
        return Regime("engine.port shared", unit)
    return Regime("engine.short reduction", unit)


def gemm_regime(
    cores: Cores,
    m: int,
    n: int,
    k: int,
    precision: Precision,
    kernel: str,
    used: int | None = None,
) -> Regime:
    """Return the regime of a GEMM kernel on the cores.

    Without streams, with streams on one core, or on rows that do not meet, only starts and ends
    are unsure. Where the model charges for cores that meet in the banks, the conflicts that may
    be are its own range: most less least, all cores starting together. A broadcast over rows
    without padding has the range of padded ones: the model knows no other, and they meet in the
    same way.
    """
    program = GEMMS[kernel]
    if not program.streams:
        return STARTS
    meets = "gemm_broadcast" if program.packs_outputs else kernel
    least, typical, most = (
        int(cores.gemm_cycles(m, n, k, precision, meets, cores=used, level=level))
        for level in LEVELS
    )
    # dot products over rows without padding cost a start once, and do not meet again
    if typical > least and (program.packs_outputs or program.padded):
        return _meeting(most - least)
    return STARTS


def norm_regime(
    cores: Cores, rows: int, columns: int, precision: Precision, kernel: str
) -> Regime:
    """Return the regime of a normalisation of rows; streams of several rows meet in the banks."""
    if not LAYERNORMS[kernel].streams:
        return STARTS
    least, _, most = (
        int(cores.layernorm_cycles(rows, columns, precision, kernel, level=level))
        for level in LEVELS
    )
    return _meeting(most - least)


def softmax_regime(cores: Cores, rows: int, columns: int, kernel: str) -> Regime:
    """Return the regime of a softmax of rows in fp32, whose scalar loads and stores meet."""
    least, _, most = (
        int(cores.softmax_cycles(rows, columns, "fp32", kernel, level=level)) for level in LEVELS
    )
    return _meeting(most - least)


def _meeting(conflicts: int) -> Regime:
    """Return the regime of a kernel in which so many accesses may meet another one."""
    return Regime("cores.bank conflicts", sqrt(conflicts)) if conflicts else STARTS


def transfer_regime(way: str) -> Regime:
    """Return the regime of a DMA transfer: ``load``, ``store``, ``inside``, ``strided``."""
    return Regime(f"dma.{way}")


STARTS = Regime("cores.starts and ends")
"""Kernels on the cores that do not meet in the banks: starts, ends and fences are unsure."""
CONSTANTS = Regime("constants")
"""Barriers, wake-up, registers of a peripheral: what micro-benchmarks measured."""
CONTENTION = Regime("contention")
"""Streams that meet in the banks on purpose, in micro-benchmarks; no work of a plan is one."""
