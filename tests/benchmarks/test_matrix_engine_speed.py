"""How many shapes per second the matrix engine's equations answer: ``pytest -m benchmark``."""

import numpy as np
import pytest

from hybridsim.components.matrix_engine import MatrixEngine

SHAPES = 1_000_000


@pytest.mark.benchmark
@pytest.mark.parametrize("equation", ["gemm_cycles", "raw_cycles"])
def test_a_million_random_shapes(benchmark, equation):
    """Sizes 1 to 512 on 4 x 12; the wait tables fill in the warm-up round."""
    engine = MatrixEngine(array_height=4, array_width=12, pipe_regs=3, port_width="256 bit")
    m, n, k = np.random.default_rng(0).integers(1, 513, (3, SHAPES))
    cycles = benchmark.pedantic(
        getattr(engine, equation), args=(m, n, k), rounds=5, warmup_rounds=1
    )
    if benchmark.stats:
        benchmark.extra_info["shapes_per_second"] = SHAPES / benchmark.stats.stats.median
    assert cycles.shape == (SHAPES,)
