"""The best correction of rank k of a layer's outputs, in closed form.

A layer should give Y = X W^T for vectors X and gives Y' on a chip. With the residual R = Y - Y'
(tokens, out), the correction D (in, out) of rank k that is best for these vectors minimises

    |R - X D|^2 + ridge |D|^2

which is reduced-rank regression: with the Cholesky factor L L^T = X^T X + ridge 1, and the
singular values of M = L^-1 X^T R = U S V^T, it is D = L^-T U_k S_k V_k^T, and what is left of the
objective is |R|^2 - s_1^2 - ... - s_k^2. Sources: Izenman, *Reduced-rank regression for the
multivariate linear model*, J. Multivariate Analysis 5 (1975); Eckart and Young, Psychometrika 1
(1936). Only the sums X^T X and X^T R are needed, so vectors can come in any number of parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridsim.analog.device import F32
from hybridsim.errors import UnsupportedError

F64 = NDArray[np.float64]


def gram_of(x: F32) -> F64:
    """Return x^T x, shape (in, in), in float64: else unused directions come out below zero."""
    exact = x.astype(np.float64)
    return exact.T @ exact


@dataclass(frozen=True, slots=True)
class Correction:
    """What is added to the outputs of a layer: (x down^T) up^T."""

    down: F32
    """Shape (rank, in)."""
    up: F32
    """Shape (out, rank)."""

    @property
    def matrix(self) -> F32:
        """The correction of the weights, shape (out, in)."""
        return self.up @ self.down


@dataclass(slots=True)
class Residuals:
    """Sums over vectors and what a layer's outputs lack for them."""

    in_features: int
    out_features: int
    vectors: int = 0
    of_inputs: F64 = field(init=False)
    """X^T X, shape (in, in)."""
    of_both: F64 = field(init=False)
    """X^T R, shape (in, out)."""
    of_residuals: float = 0.0
    """|R|^2."""

    def __post_init__(self) -> None:
        self.of_inputs = np.zeros((self.in_features, self.in_features))
        self.of_both = np.zeros((self.in_features, self.out_features))

    def add(self, x: F32, residual: F32, gram: F64 | None = None) -> None:
        """Take in vectors (tokens, in) and what their outputs lack (tokens, out).

        ``gram`` is x^T x where it is known already.

        Raises:
            UnsupportedError: A shape is another one.
        """
        shapes = ((len(x), self.in_features), (len(x), self.out_features))
        if (x.shape, residual.shape) != shapes:
            raise UnsupportedError(
                f"x, residual: found the shapes {x.shape} and {residual.shape}; "
                f"{shapes[0]} and {shapes[1]} would do"
            )
        self.of_inputs += gram_of(x) if gram is None else gram
        self.of_both += (x.T @ residual).astype(np.float64)
        self.of_residuals += float(np.square(residual, dtype=np.float64).sum())
        self.vectors += len(x)


@dataclass(frozen=True, slots=True)
class Fit:
    """The best corrections of one layer, of every rank."""

    whitening: F64
    """L^-1, shape (in, in)."""
    left: F64
    """U, shape (in, most ranks)."""
    values: F64
    """Singular values, falling."""
    right: F64
    """V, shape (out, most ranks)."""
    of_residuals: float

    def of_rank(self, rank: int) -> Correction:
        """Return the best correction of a rank; a smaller one where no more is of use."""
        k = min(rank, len(self.values))
        scaled = self.whitening.T @ (self.left[:, :k] * self.values[:k])
        return Correction(
            np.ascontiguousarray(scaled.T, np.float32),
            np.ascontiguousarray(self.right[:, :k], np.float32),
        )

    def left_over(self, rank: int) -> float:
        """Return the objective after the best correction of a rank, in shares of |R|^2: 0 to 1."""
        if not self.of_residuals:
            return 0.0
        taken = float(np.square(self.values[:rank]).sum())
        return max(0.0, 1 - taken / self.of_residuals)


_LEAST_RIDGE = 1e-9
"""Keeps the factor of vectors that do not span all directions; in mean squared inputs."""


def whitening_of(gram: F64, ridge: float = 0.0) -> F64:
    """Return L^-1 for L L^T = X^T X + ridge: it depends on the vectors alone, not on a chip.

    Raises:
        UnsupportedError: The ridge is below zero.
    """
    if not ridge >= 0:
        raise UnsupportedError(f"ridge: found {ridge}; 0 or more would do")
    mean = float(np.trace(gram)) / len(gram) or 1.0
    held = gram + np.eye(len(gram)) * (max(ridge, _LEAST_RIDGE) * mean)
    inverse: F64 = np.linalg.inv(np.linalg.cholesky(held))
    return inverse


def fit(residuals: Residuals, ridge: float = 0.0, whitening: F64 | None = None) -> Fit:
    """Return the best corrections for what was seen.

    Args:
        residuals: Sums over the vectors.
        ridge: What holds back directions that few vectors take: the diagonal of X^T X grows by
            this share of its mean.
        whitening: What :func:`whitening_of` gives for the same vectors and ridge, where it is
            known already.

    Raises:
        UnsupportedError: There were no vectors, or the ridge is below zero.
    """
    if not residuals.vectors:
        raise UnsupportedError("vectors: found 0; 1 or more would do")
    if whitening is None:
        whitening = whitening_of(residuals.of_inputs, ridge)
    left, values, right = _singular(whitening @ residuals.of_both)
    return Fit(whitening, left, values, right, residuals.of_residuals)


def fit_to(matrix: F64, gram: F64, whitening: F64) -> Fit:
    """Return what comes nearest to a matrix (out, in) for vectors X with X^T X = ``gram``, of
    every rank: the best corrections of a layer that lacks the matrix.

    Args:
        matrix: Shape (out, in).
        gram: Shape (in, in).
        whitening: What :func:`whitening_of` gives for ``gram`` and a ridge.
    """
    both = gram @ matrix.T
    left, values, right = _singular(whitening @ both)
    return Fit(whitening, left, values, right, float(np.sum(matrix.T * both)))


def _singular(matrix: F64) -> tuple[F64, F64, F64]:
    """Return U, S and V of a matrix by the eigenvectors of its smaller Gram matrix.

    Values below 1e-7 of the largest are not told from zero this way, and are left out.
    """
    tall = matrix.shape[0] >= matrix.shape[1]
    small = matrix.T @ matrix if tall else matrix @ matrix.T
    squares, vectors = np.linalg.eigh(small)
    order = np.argsort(squares)[::-1]
    values = np.sqrt(np.maximum(squares[order], 0.0))
    kept = values > 1e-7 * values[0] if values[0] > 0 else np.zeros(len(values), bool)
    values, vectors = values[kept], vectors[:, order][:, kept]
    other = (matrix @ vectors if tall else matrix.T @ vectors) / values
    return (other, values, vectors) if tall else (vectors, values, other)


def helps(correction: Correction, x: F32, residual: F32) -> bool:
    """Return whether a correction leaves less of what outputs lack for vectors it has not seen.

    Less in sum, and less in sum with every vector scaled to length one. Some layers of decoders
    receive a few vectors that are hundreds of times as long as all others (Sun et al., *Massive
    activations in large language models*, COLM 2024): they make the first sum, and a fit of the
    noise that they met; the others make the second.

    Args:
        correction: What was fitted to other vectors.
        x: Vectors, shape (tokens, in).
        residual: What their outputs lack without the correction, shape (tokens, out).
    """
    after = residual - (x @ correction.down.T) @ correction.up.T
    before, left = (np.square(each, dtype=np.float64).sum(axis=1) for each in (residual, after))
    lengths = np.square(x, dtype=np.float64).sum(axis=1)
    seen = lengths > 0
    alike = ((left - before)[seen] / lengths[seen]).sum()
    return bool(left.sum() < before.sum() and alike < 0)


def combined(parts: Sequence[Correction], whitening: F64, rank: int) -> Correction:
    """Return the correction of a rank that is nearest to the sum of some, for given vectors.

    ``whitening`` is that of these vectors: it weighs directions by how much they are used. This
    folds a correction into an adapter without making it larger.
    """
    down = np.concatenate([part.down for part in parts]).astype(np.float64)
    up = np.concatenate([part.up for part in parts], axis=1).astype(np.float64)
    # the sum is down^T up^T: both factors are narrow, so that QR makes its decomposition small
    q_in, r_in = np.linalg.qr(np.linalg.inv(whitening).T @ down.T)
    q_out, r_out = np.linalg.qr(up)
    u, s, vt = np.linalg.svd(r_in @ r_out.T)
    k = min(rank, len(s))
    left = whitening.T @ (q_in @ (u[:, :k] * s[:k]))
    return Correction(
        np.ascontiguousarray(left.T, np.float32),
        np.ascontiguousarray((q_out @ vt.T)[:, :k], np.float32),
    )
