"""One-shot pruning that repairs: the weights that stay make up for those that go.

For a linear layer the squared error of the output, ‖(W − W')X‖², is quadratic in W' with Hessian
H = X·Xᵀ, the same for each row. Columns of W are decided from left to right; what a removed weight leaves
behind is spread over the columns to its right so that the error grows least. With U the upper Cholesky factor
of H⁻¹ (H⁻¹ = Uᵀ·U), row i of U holds what all later steps need: the error of removing w in column i is
w² / U_ii², and the columns j > i change by −(w / U_ii) · U_ij.

Source: Frantar and Alistarh, SparseGPT, ICML 2023, algorithm 1 (damping of 1 % of the mean diagonal, masks
decided for 128 columns at a time); Hassibi and Stork, Second order derivatives for network pruning: Optimal
Brain Surgeon, NIPS 1992, for one weight.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simsparse.errors import UsageError
from simsparse.pruning.arrays import Mask

Choose = Callable[[int, int, NDArray[np.float64]], Mask]
"""From first and last column and the errors ``(m, columns)`` of removing each weight: what is kept there."""

BLOCK = 128
DAMPING = 0.01


def damped(gram: NDArray[np.float64], damping: float = DAMPING) -> NDArray[np.float64]:
    """``gram`` (k, k) with a share of its mean diagonal added to it; an input that is never active gets 1."""
    hessian = gram.astype(np.float64, copy=True)
    diagonal = np.einsum("ii->i", hessian)
    diagonal[diagonal == 0] = 1.0
    diagonal += damping * diagonal.mean()
    return hessian


def inverse_diagonal(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The diagonal (k,) of the inverse of the damped ``gram``.

    Raises
    ------
    UsageError
        If ``gram`` is no Gram matrix.
    """
    diagonal: NDArray[np.float64] = np.square(inverse_factor(gram)).sum(axis=0)
    return diagonal


def inverse_factor(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The upper Cholesky factor U of the inverse of the damped ``gram``; errors as in `inverse_diagonal`."""
    try:
        inverse = np.asarray(np.linalg.inv(damped(gram)), np.float64)
        lower = np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2), np.float64)
    except np.linalg.LinAlgError:
        raise UsageError(
            "gram: expected X·Xᵀ, which is symmetric and positive semidefinite, got another matrix"
        ) from None
    return lower.T


def reconstruct(
    weights: NDArray[np.float32], gram: NDArray[np.float64], choose: Choose, *, step: int
) -> tuple[NDArray[np.float32], Mask]:
    """Weights (m, k) after removal, and the mask of those kept.

    ``choose`` is asked for ``step`` columns at a time, with the weights as they then are. Removed weights are
    exactly zero.

    Raises
    ------
    UsageError
        If ``gram`` (k, k) is no Gram matrix.
    """
    factor = inverse_factor(gram)
    now = weights.astype(np.float64)
    now[:, np.diagonal(gram) == 0] = 0.0
    kept = np.ones(now.shape, np.bool_)
    k = now.shape[1]
    block = max(step, BLOCK // step * step)
    for start in range(0, k, block):
        stop = min(start + block, k)
        errors = _sweep(now, kept, factor, choose, range(start, stop), step)
        now[:, stop:] -= errors @ factor[start:stop, stop:]
    now[~kept] = 0.0
    return now.astype(np.float32), kept


def refit(weights: NDArray[np.float32], gram: NDArray[np.float64], kept: Mask) -> NDArray[np.float32]:
    """Weights (m, k) of ``kept``'s whole rows and columns that bring the product nearest to what it was.

    Where whole columns S stay, the best W' is W·H_·S·H_SS⁻¹ in one step. H is damped as in `inverse_factor`.
    """
    columns = np.flatnonzero(kept.any(axis=0))
    hessian = damped(gram)
    answer = np.zeros(weights.shape, np.float64)
    within = hessian[np.ix_(columns, columns)]
    answer[:, columns] = np.linalg.solve(within, hessian[columns] @ weights.T.astype(np.float64)).T
    answer[~kept] = 0.0
    return answer.astype(np.float32)


def _sweep(
    now: NDArray[np.float64],
    kept: Mask,
    factor: NDArray[np.float64],
    choose: Choose,
    columns: range,
    step: int,
) -> NDArray[np.float64]:
    """Decide the columns of one block and repair inside it; the errors, for the columns beyond."""
    errors = np.zeros((now.shape[0], len(columns)))
    for i in columns:
        if (i - columns.start) % step == 0:
            end = min(i + step, columns.stop)
            pivots = np.diagonal(factor)[i:end]
            kept[:, i:end] = choose(i, end, np.square(now[:, i:end] / pivots))
        error = np.where(kept[:, i], 0.0, now[:, i]) / factor[i, i]
        now[:, i : columns.stop] -= np.multiply.outer(error, factor[i, i : columns.stop])
        errors[:, i - columns.start] = error
    return errors
