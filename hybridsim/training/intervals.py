"""95 % intervals of accuracies and of their differences: few seeds, few chips, many sentences.

With three training seeds a bootstrap cannot see much of the scatter between runs: it redraws the
same three. The *t-interval* says how little three are. Its variance is that of the mean over each
axis (seeds, chips, sentences), s_a^2 / n_a of the marginal means, all axes together; what axes
share is counted in each, which errs on the safe side. Its degrees of freedom are those of
Satterthwaite, *An approximate distribution of estimates of variance components*, Biometrics
Bulletin 2 (1946): V^2 / sum(V_a^2 / (n_a - 1)).

Where every answer is right, or every one wrong, nothing scatters and both would be a point. A
share then has the interval of Wilson, *Probable inference*, JASA 22 (1927), over the sentences:
seeds and chips that agree on the same sentences are no further evidence.
"""

from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Cube = NDArray[np.float64]
"""Right or not, or a difference of two such; shape (seeds, chips, sentences)."""
LEVEL = 0.95
DRAWS = 2000
"""Bootstrap draws."""


def t_interval(cube: Cube) -> tuple[float, float]:
    """Return the ends of the t-interval of the mean, in percent or points.

    Axes of one entry say nothing about their scatter, and add nothing.
    """
    # the quantile is all that is needed of SciPy, which training alone depends on
    from scipy.stats import t

    parts = [(_of_mean(cube, axis), cube.shape[axis] - 1) for axis in range(3)]
    variance = sum(part for part, _ in parts)
    middle = float(cube.mean())
    if not variance:
        return 100 * middle, 100 * middle
    freedom = variance**2 / sum(part**2 / left for part, left in parts if part)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * sqrt(variance)
    return 100 * (middle - reach), 100 * (middle + reach)


def share_interval(cube: Cube) -> tuple[float, float]:
    """Return the ends of the interval of a share of right answers, within 0 and 100 %."""
    middle = float(cube.mean())
    if middle in (0.0, 1.0):
        return _wilson(middle, cube.shape[2])
    low, high = t_interval(cube)
    return max(0.0, low), min(100.0, high)


def paired(one: Cube, other: Cube) -> Cube:
    """Return the differences of two arms, answer by answer.

    Seeds are paired where both have as many, else their means are taken; so are chips, and a
    digital evaluation has one for all.
    """
    for axis in (0, 1):
        if one.shape[axis] != other.shape[axis]:
            shorter = min(one.shape[axis], other.shape[axis])
            if shorter > 1:
                one, other = (each.mean(axis=axis, keepdims=True) for each in (one, other))
    return one - other


def drawn_shares(shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return, by axis, the share that each entry has in each draw, (draws, entries)."""
    return [
        np.random.default_rng([2026, axis]).multinomial(size, np.full(size, 1 / size), DRAWS)
        / size
        for axis, size in enumerate(shape)
    ]


def bootstrap(cube: Cube) -> NDArray[np.float64]:
    """Return means [%] of redrawn seeds, chips and sentences; the same draws for equal shapes.

    Each of the three has its own stream, so that cubes with other chips share seeds and sentences.
    """
    seeds, chips, sentences = drawn_shares(cube.shape)
    flat = cube.reshape(-1, cube.shape[2]) @ sentences.T
    per_chip = flat.reshape(*cube.shape[:2], DRAWS)
    return 100 * np.einsum("scd,ds,dc->d", per_chip, seeds, chips)


def percentiles(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the middle 95 % of some draws."""
    low, high = np.percentile(draws, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return float(low), float(high)


def _of_mean(cube: Cube, axis: int) -> float:
    """Return the variance of the mean that comes from one axis."""
    size = cube.shape[axis]
    others = tuple(each for each in range(3) if each != axis)
    return float(cube.mean(axis=others).var(ddof=1)) / size if size > 1 else 0.0


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share of ``count`` [%]."""
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = sqrt(z2 * share * (1 - share) / count + z2**2 / (4 * count**2)) / (1 + z2 / count)
    return 100 * max(0.0, middle - reach), 100 * min(1.0, middle + reach)
