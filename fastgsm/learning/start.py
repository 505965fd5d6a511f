"""Starting values of EM. Components that start equal stay equal, so no two start equal."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from fastgsm._checks import check_numbers
from fastgsm._types import FloatArray
from fastgsm.learning.data import Survey
from fastgsm.learning.density import ScaleMixtureDensity
from fastgsm.learning.sums import weighted_moments
from fastgsm.learning.support import Support

# Samples that k-means uses to choose starting shapes.
SEED_SAMPLES = 20_000

# Samples among which k-means chooses each starting centre, and one more for each e-fold of centres.
# With 2, fits of five separate blobs miss the best maximum in 5 cases of 200; with 4, in 1; with 7,
# in 2. One draw, as in plain k-means++, misses it in 14 of 100.
FEWEST_DRAWS = 4


def initial_weights(given: Any, shape: tuple[int, int], name: str = "weights_init") -> FloatArray:
    """Return the user's starting weights (K, J), checked."""
    weights = given_array(given, shape, name)
    if (weights < 0).any() or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"{name} sums to {weights.sum():g} with a least weight of {weights.min():g}; "
            f"wanted weights of at least 0 that sum to 1."
        )
    return weights / weights.sum()


def row_weights(given: Any, shape: tuple[int, int]) -> FloatArray:
    """Return the starting weights (G, J) of G mixtures: the user's, checked, or equal ones."""
    if given is None:
        return np.full(shape, 1.0 / shape[1])
    rows = given_array(given, shape, "weights_init")
    return np.concatenate([initial_weights(row, (1, shape[1])) for row in rows])


def initial_scales(
    given: Any,
    ratios: FloatArray,
    sample_weight: FloatArray,
    shape: tuple[int, int],
    method: str,
    rng: np.random.Generator,
    floor: float,
) -> FloatArray:
    """Return the starting scales (K, J): the user's, checked, or spread like those of the samples.

    ``ratios`` (K, n) are the squared distances over the rank: the scale at which each sample is
    most likely.
    """
    if given is not None:
        scales = given_array(given, shape, "scales_init")
        if (scales <= 0).any():
            raise ValueError(
                f"scales_init has a least value of {scales.min():g}; wanted variances above 0."
            )
        return np.maximum(scales, floor)
    n_scales = shape[1]
    if method == "random":
        chosen = rng.choice(ratios.shape[1], size=n_scales, replace=ratios.shape[1] < n_scales)
        scales = np.sort(ratios[:, chosen], axis=1).astype(np.float64)
    else:
        middles = (np.arange(n_scales) + 0.5) / n_scales
        scales = _weighted_quantiles(ratios, sample_weight, middles)
    # Samples at equal distances, such as flat patches, give equal quantiles: spread them a little.
    scales = np.maximum(scales, max(floor, float(np.finfo(np.float32).tiny)))
    return scales * (1 + 1e-3 * np.arange(n_scales))


def _weighted_quantiles(
    values: FloatArray, sample_weight: FloatArray, levels: FloatArray
) -> FloatArray:
    """Return quantiles (K, levels) of the rows of ``values`` (K, n).

    A sample of weight 2 counts as 2 samples.
    """
    levels = levels * sample_weight.sum(dtype=np.float64)
    if (sample_weight == sample_weight[0]).all():  # sorting takes a quarter of the time
        reached = np.cumsum(sample_weight, dtype=np.float64)
        return np.sort(values)[:, np.searchsorted(reached, levels)].astype(np.float64)
    quantiles = np.empty((values.shape[0], levels.size))
    for row, target in zip(values, quantiles, strict=True):
        order = np.argsort(row)
        reached = np.cumsum(sample_weight[order], dtype=np.float64)
        target[:] = row[order[np.searchsorted(reached, levels)]]
    return quantiles


def initial_shapes(
    data: Survey, n_components: int, method: str, rng: np.random.Generator, *, fit_means: bool
) -> ScaleMixtureDensity:
    """Return K starting shapes: the moments of a seeded partition of the samples.

    "kmeans" partitions by distance, "directions" by the axis (in whitened space, where no
    direction is favoured) that a sample is most aligned with, and "random" by chance. Every
    shape is mixed with the covariance of all samples, worth as many samples as the data have
    dimensions, so that small parts make sound covariances too.
    """
    X, gaussian = data.X, data.gaussian
    candidates = np.flatnonzero(data.sample_weight > 0)
    if candidates.size < n_components:
        raise ValueError(
            f"only {candidates.size} samples have a sample_weight above 0; wanted at least "
            f"n_components = {n_components}."
        )
    if method == "random":
        labels = rng.permutation(X.shape[0]) % n_components
    elif method == "kmeans":
        labels = _kmeans_labels(X, candidates, n_components, rng)
    else:
        labels = _direction_labels(X, candidates, gaussian, n_components, rng)
    # Equal samples (flat patches, say) can leave parts empty, and all empty parts would have the
    # same shape. So each gets a random share of the samples.
    for empty in np.setdiff1d(np.arange(n_components), labels[candidates]):
        share = max(1, candidates.size // (2 * n_components))
        labels[rng.choice(candidates, size=share, replace=False)] = empty
    parts = np.zeros((n_components, X.shape[0]), X.dtype)
    parts[labels, np.arange(X.shape[0])] = data.sample_weight
    counts = parts.sum(axis=1, dtype=np.float64)
    centres = np.repeat(gaussian.means, n_components, axis=0)
    sums, products = weighted_moments(X, parts, centres)
    divisor = np.maximum(counts, np.finfo(np.float32).tiny)[:, None]
    shifts = sums / divisor if fit_means else np.zeros_like(sums)
    products -= counts[:, None, None] * shifts[:, :, None] * shifts[:, None, :]
    prior = float(gaussian.rank)
    covariances = (products + prior * gaussian.covariances) / (counts + prior)[:, None, None]
    eigenvalues, eigenvectors = data.support.eigendecomposition(data.support.inner(covariances))
    return ScaleMixtureDensity(
        weights=((counts + 1) / (counts + 1).sum())[:, None],
        scales=np.ones((n_components, 1)),
        means=centres + shifts,
        eigenvalues=eigenvalues,
        eigenvectors=eigenvectors,
    )


def _kmeans_labels(
    X: FloatArray, candidates: Any, n_components: int, rng: np.random.Generator
) -> Any:
    from scipy.cluster.vq import kmeans2, vq  # here, because it is slow to import

    chosen = rng.permutation(candidates)[: max(SEED_SAMPLES, n_components)]
    samples = X[chosen].astype(np.float64)
    centres = kmeans_seeds(samples, n_components, rng)
    with warnings.catch_warnings():
        # Nobody needs its warning of an empty cluster, as initial_shapes fills empty parts. All
        # threads share the filters, so no other warning is ignored.
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        centres, _ = kmeans2(samples, centres, iter=10, minit="matrix")
    return vq(X, centres.astype(X.dtype), check_finite=False)[0]


def kmeans_seeds(X: FloatArray, n_centres: int, rng: np.random.Generator) -> FloatArray:
    """Choose samples as the first centres (n_centres, d) of k-means: greedy k-means++.

    A sample is drawn in proportion to its squared distance from the nearest centre so far [1]_. Of
    several drawn at each step, the one is kept that leaves the smallest sum of squared distances
    [2]_.

    References
    ----------
    .. [1] D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA
       2007, section 2.2; the choice among several draws is in section 5.
    .. [2] A. Bhattacharya et al., "Noisy, greedy and not so greedy k-means++", ESA 2020.
    """
    from scipy.spatial.distance import cdist  # here, because it is slow to import

    n_draws = FEWEST_DRAWS + int(np.log(n_centres))
    seeds = [int(rng.integers(len(X)))]
    nearest = cdist(X[seeds], X, "sqeuclidean")[0]
    while len(seeds) < n_centres:
        reached = np.cumsum(nearest)
        # All are at distance 0 if X has fewer different samples than centres.
        drawn = np.searchsorted(reached, rng.random(n_draws) * reached[-1]).clip(max=len(X) - 1)
        # cdist, not a product: the bits of BLAS may depend on the number of threads.
        distances = np.minimum(cdist(X[drawn], X, "sqeuclidean"), nearest)
        best = int(distances.sum(axis=1).argmin())
        seeds.append(int(drawn[best]))
        nearest = distances[best]
    return X[seeds]


def _direction_labels(
    X: FloatArray,
    candidates: Any,
    gaussian: ScaleMixtureDensity,
    n_components: int,
    rng: np.random.Generator,
) -> Any:
    seeds = rng.choice(candidates, size=n_components, replace=False)
    whitener = gaussian.whitened.whiteners[0].astype(X.dtype)
    axes = X[seeds] @ whitener.T
    axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), np.finfo(X.dtype).tiny)
    return np.abs((X @ whitener.T) @ axes.T).argmax(axis=1)


def given_shapes(
    density: ScaleMixtureDensity, support: Support, means: Any, covariances: Any
) -> ScaleMixtureDensity:
    """Replace the starting means and covariances by the user's, checked."""
    n_components, d = density.means.shape
    if means is not None:
        density = replace(density, means=given_array(means, (n_components, d), "means_init"))
    if covariances is not None:
        matrices = given_array(covariances, (n_components, d, d), "covariances_init")
        check_symmetric(matrices, "covariances_init")
        eigenvalues, eigenvectors = support.eigendecomposition(support.inner(matrices))
        least = float(eigenvalues.min())
        if least <= 0:
            raise ValueError(
                f"covariances_init has an eigenvalue of {least:g}; wanted positive definite "
                f"covariance matrices."
            )
        density = replace(density, eigenvalues=eigenvalues, eigenvectors=eigenvectors)
    return density


def check_symmetric(matrices: FloatArray, name: str) -> None:
    """Raise ValueError unless matrices (K, d, d) are symmetric, up to rounding."""
    differences = np.abs(matrices - matrices.transpose(0, 2, 1))
    # Relative to the variances: covariances near 0 are differences of large numbers.
    deviations = np.sqrt(np.abs(np.diagonal(matrices, axis1=1, axis2=2)))
    allowed = 1e-5 * deviations[:, :, None] * deviations[:, None, :]
    bad = np.argwhere(~(differences <= allowed))
    if bad.size:
        k, i, j = bad[0]
        raise ValueError(
            f"{name} is not symmetric: [{k}, {i}, {j}] is {matrices[k, i, j]:g}, and "
            f"[{k}, {j}, {i}] is {matrices[k, j, i]:g}; wanted covariance matrices."
        )


def check_distinct(values: FloatArray, what: str) -> None:
    """Raise ValueError if two components start equal; ``values`` is (components, ...)."""
    rows = values + 0.0  # makes -0.0 to 0.0, which has other bytes
    repeated = max(Counter(row.tobytes() for row in rows).values())
    if repeated > 1:
        raise ValueError(
            f"{repeated} components start with identical parameters (equal {what}). Identical "
            f"components never separate: they share every responsibility, so every EM update is "
            f"the same for them, and nothing is learnt. Give them different starting values; where "
            f"none were given, X differs in too few ways for so many: ask for fewer components."
        )


def given_array(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    """Check an option and return it as an array of ``shape``; axes of length 1 may be missing."""
    array = check_numbers(values, name)
    if array.size != np.prod(shape) or (array.ndim > 1 and array.shape != shape):
        wanted = tuple(n for n in shape if n != 1) or (1,)
        raise ValueError(f"{name} has shape {array.shape}; wanted {wanted}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; wanted finite numbers.")
    return array.reshape(shape).copy()  # the user may change the given one
