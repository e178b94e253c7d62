"""Programs that take a cluster as a whole, taken apart into kernels and transfers in doubt."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hybridsim.arch import Cluster
from hybridsim.certainty.doubts import (
    Doubt,
    Doubts,
    all_of,
    cores_gemm,
    engine_gemm,
    kernel_doubts,
    layer_norm,
    moved,
    softmax,
    unmeasured,
    vector_add,
)
from hybridsim.certainty.regimes import gemm_regime
from hybridsim.programs.adapting import AdapterWork
from hybridsim.programs.attention import Attention
from hybridsim.programs.attention_runs import AttentionShape, AttentionWork
from hybridsim.programs.pieces import Piece
from hybridsim.programs.product import ProductWork
from hybridsim.units import ceil_div

if TYPE_CHECKING:
    from hybridsim.programs.lora_stream import LoraStream

_NAMES = {
    "rms_norm": "RMS norms",
    "rotary": "rotary embeddings",
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "swiglu": "SwiGLU",
    "geglu": "GeGLU",
    "tanh": "tanh",
}
"""Functions of pieces whose kernels were never measured, as people call them."""


def program_doubts(program: Any, cluster: Cluster) -> Doubts:
    """Return what is in doubt in a program; one that is not known here is unmeasured, by
    its name in words."""
    if isinstance(program, AdapterWork):
        return _adapting(program, cluster)
    if isinstance(program, AttentionWork):
        return _attending(program.shape, cluster)
    if isinstance(program, Piece):
        return _piece(program, cluster)
    if isinstance(program, ProductWork):
        return _multiplying(program, cluster)
    return unmeasured(re.sub(r"(?<!^)(?=[A-Z])", " ", type(program).__name__).lower())


@lru_cache(maxsize=1024)
def _adapting(work: AdapterWork, cluster: Cluster) -> Doubts:
    """Return the doubts of adapting some tokens, batch after batch, with all transfers."""
    program, size = work.program, cluster.element_bytes
    halves = {"both": (False, True), "first": (False,), "second": (True,)}[work.half]
    total = Doubts()
    for tokens, count in work.batches.items():
        part = program.of_tokens(tokens).on(cluster)
        own = [kernel_doubts(k.work, cluster) for k in part.kernels if k.slice_work in halves]
        if False in halves:
            own += [moved("load", tokens * inputs * size) for inputs in part.input_slices]
        if True in halves:
            own += [
                moved(way, tokens * columns * size)
                for columns in part.slices
                for way in ("load", "store")
            ]
        total = total + all_of(own).times(count)
    return total.together


@lru_cache(maxsize=1024)
def _multiplying(work: ProductWork, cluster: Cluster) -> Doubts:
    """Return the doubts of a layer on a cluster: those of its products and transfers."""
    total = Doubts()
    for blocks, times, again in work.products(cluster):
        total = total + kernel_doubts(work.kernel(blocks, again), cluster).times(times)
    for way, transfers in zip(("load", "store"), work.transfers(cluster), strict=True):
        for size, count in transfers:
            total = total + moved(way, size // count).times(count)
    return total.together


@lru_cache(maxsize=1024)
def _attending(shape: AttentionShape, cluster: Cluster) -> Doubts:
    """Return the doubts of one batch of an attention: its share of all products and transfers."""
    if cluster.kernel_costs is not None:
        return unmeasured("attention (costs of the machine file)")
    attention = Attention(
        cluster, shape.tokens, shape.keys, shape.head_dim, shape.heads, shape.form,
        shape.keys_values, shape.has_engine, shape.most_warp, shape.in_turn,
    )  # fmt: skip
    rows = shape.run(cluster).rows
    keys = attention.warp(rows) if shape.form == "flash" else shape.keys
    rounds = ceil_div(shape.tokens, rows) * ceil_div(shape.keys, keys) * shape.heads
    product = engine_gemm if shape.has_engine else cores_gemm
    size = cluster.element_bytes * shape.head_dim
    each = all_of(
        [
            product(cluster, rows, shape.head_dim, keys),
            product(cluster, rows, keys, shape.head_dim),
            softmax(cluster),
            moved("load", rows * size),
            moved("load", keys * size),
        ]
    )
    return each.times(rounds / shape.batches).together


@lru_cache(maxsize=1024)
def _piece(piece: Piece, cluster: Cluster) -> Doubts:
    """Return the doubts of a norm, an activation or a sum with its transfers."""
    count, rows, columns = piece.parts(cluster)
    function = piece.function
    if (unit := cluster.row_unit_for(function)) is not None:
        named = _NAMES.get(function, function.replace("_", " "))
        return unmeasured(f"{named} on {unit.part}")
    if piece.cost_from(cluster) == "kernel_costs":
        return unmeasured("norms and activations (costs of the machine file)")
    size = rows * columns * cluster.element_bytes
    parts = [moved("load", size)] * piece.operands + [moved("store", size)]
    if function in ("add", "no_norm"):
        sums = piece.operands - 1 if function == "add" else 1
        parts.append(vector_add(cluster, rows * columns).times(sums))
    elif function == "layer_norm":
        parts.append(layer_norm(cluster, rows, columns))
    else:
        parts.append(unmeasured(_NAMES.get(function, function)))
    return all_of(parts).times(count).together


def stream_doubts(stream: "LoraStream") -> tuple[Doubts, ...]:
    """Return the doubts of each work of a measured program's plan, tile after tile.

    All tiles run the same two kernels, so what is wrong with one is wrong with all of them.
    """
    assert stream.kernels is not None
    cluster, rows = stream.cluster, min(stream.tile, stream.tokens)
    shapes = {
        "xa": (rows, stream.in_features, stream.rank),
        "ub": (rows, stream.rank, stream.out_features),
    }
    found = {}
    for (label, shape), kernel in zip(shapes.items(), stream.kernels, strict=True):
        regime = gemm_regime(cluster.cores, *shape, cluster.precision, kernel)
        doubt = Doubt(regime.name, (label, *shape, kernel), float(regime.unit), "cores")
        found[label] = Doubts((doubt,))
    plan = stream.plan()
    return tuple(found.get(work.label, Doubts()) for work in plan.works)
