"""A mixture whose parameters are given: checked, and with its support found."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgsm._arrays import is_narrow
from fastgsm._checks import as_ndarray
from fastgsm._types import FloatArray
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.start import check_symmetric, given_array
from fastgsm.learning.support import eigh, graded_eigh


def given_scales(values: Any, shape: tuple[int, int]) -> FloatArray:
    """Return scales (K, J), checked."""
    scales = given_array(values, shape, "scales")
    if (scales <= 0).any():
        raise ValueError(f"scales has a least value of {scales.min():g}; wanted numbers above 0.")
    return scales


def given_covariances(values: Any) -> tuple[FloatArray, float]:
    """Return covariances (K, d, d), symmetric to the bit, and their relative rounding error.

    Raise ValueError unless they are covariances.
    """
    array = as_ndarray(values, "covariances")
    shape = array.shape
    if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise ValueError(
            f"covariances has shape {shape}; wanted (n_components, n_features, n_features)."
        )
    matrices = given_array(array, shape, "covariances")
    check_symmetric(matrices, "covariances")
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    for k, matrix in enumerate(matrices):
        variances = matrix.diagonal()
        if (variances < 0).any():
            raise ValueError(
                f"covariances[{k}] has a variance of {variances.min():g}; wanted at least 0."
            )
        # Of the correlations, so that the units of the features do not matter.
        least = eigh(_standardised(matrix, np.sqrt(variances)))[0][0]
        # Covariances of samples without their mean, say, have an eigenvalue of 0, to rounding.
        if least < -len(matrix) * np.finfo(np.float32).eps:
            raise ValueError(
                f"covariances[{k}] is not positive semidefinite: its correlation matrix has an "
                f"eigenvalue of {least:g}; wanted covariance matrices, whose eigenvalues are at "
                f"least 0."
            )
    return matrices, float(np.finfo(array.dtype if is_narrow(array.dtype) else np.float64).eps)


def given_density(
    weights: FloatArray, scales: FloatArray, means: FloatArray, covariances: FloatArray, eps: float
) -> ScaleMixtureDensity:
    """Return the mixture of checked parameters, on the subspace in which it has extent.

    ``eps`` is the relative rounding error of the covariances (K, d, d). Raise ValueError if a shape
    has no extent where others have some, because the density would be infinite there.
    """
    basis = _common_support(scales, means, covariances, eps)
    rank = basis.shape[1]
    inner = basis.T @ covariances @ basis
    for k, matrix in enumerate(inner):
        deviations = np.sqrt(np.maximum(matrix.diagonal(), 0))
        least = eigh(_standardised(matrix, deviations))[0][0] if deviations.all() else 0.0
        if least <= rank * eps:
            raise ValueError(
                f"covariances[{k}] has no inverse: the component has no extent in a direction in "
                f"which others have some, and its density would be infinite there. Wanted "
                f"positive definite matrices, or singular ones with one null space for all: add a "
                f"small multiple of the identity to all of them, e.g. "
                f"covariances + 1e-6 * numpy.eye({covariances.shape[1]})."
            )
    eigenvalues, vectors = graded_eigh(inner)
    eigenvalues, vectors = eigenvalues[:, ::-1], vectors[:, :, ::-1]
    density = ScaleMixtureDensity(weights, scales, means, eigenvalues, basis @ vectors)
    density.check()
    return density


def _common_support(
    scales: FloatArray, means: FloatArray, covariances: FloatArray, eps: float
) -> FloatArray:
    """Return an orthonormal basis (d, rank) of the subspace that the mixture lies in."""
    d = means.shape[1]
    # Components of weight 0 count as much as others.
    total = np.tensordot(scales.mean(axis=1), covariances, 1) / len(means) + np.cov(
        means.T, bias=True
    ).reshape(d, d)
    deviations = np.sqrt(total.diagonal())
    eigenvalues, vectors = eigh(_standardised(total, deviations))
    rank = int(np.count_nonzero(eigenvalues > d * eps * max(eigenvalues[-1], 0)))
    if rank == 0:
        raise ValueError("all covariances are 0; wanted some variance.")
    if rank == d:
        return np.eye(d)
    return np.asarray(np.linalg.qr(deviations[:, None] * vectors[:, d - rank :])[0])


def _standardised(matrix: FloatArray, deviations: FloatArray) -> FloatArray:
    """Divide a covariance (d, d) by the deviations (d,) of its features that are above 0."""
    inverse = np.divide(1, deviations, out=np.ones(len(deviations)), where=deviations > 0)
    return matrix * np.outer(inverse, inverse)
