"""What fastgsm is measured against, each as its users would write or call it.

The textbook's GSM needs only NumPy and SciPy. Other packages are imported where they are used,
since asv's environments, and people who run a part of the benchmarks, do without them.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from .common import Array


class TextbookGSM(NamedTuple):
    """Zero-mean Gaussians with the covariances ``scales[j] * covariance``."""

    weights: Array
    scales: Array
    covariance: Array

    @classmethod
    def of(cls, model: Any) -> TextbookGSM:
        """Take the parameters of a fitted fastgsm.GSM."""
        return cls(model.weights_, model.scales_, model.covariances_[0])

    def log_prob(self, X: Array, noise_variance: float = 0.0) -> Array:
        """Log of weight times density of each sample in each component, (n, J)."""
        noise = noise_variance * np.eye(X.shape[1])
        # Without noise, patches whose mean was removed fill a subspace only.
        densities = [
            multivariate_normal.logpdf(X, cov=r2 * self.covariance + noise, allow_singular=True)
            for r2 in self.scales
        ]
        return np.log(self.weights) + np.stack(densities, axis=1)

    def score(self, X: Array) -> float:
        """Mean log-likelihood in nats."""
        return float(logsumexp(self.log_prob(X), axis=1).mean())

    def denoise_patches(self, Y: Array, sigma: float) -> Array:
        """Posterior mean: Wiener filters blended by responsibilities."""
        log_prob = self.log_prob(Y, sigma**2)
        posterior = np.exp(log_prob - logsumexp(log_prob, axis=1, keepdims=True))
        noise = sigma**2 * np.eye(Y.shape[1])
        X = np.zeros_like(Y)
        for j, r2 in enumerate(self.scales):
            wiener = r2 * self.covariance @ np.linalg.inv(r2 * self.covariance + noise)
            X += posterior[:, j, None] * (Y @ wiener.T)
        return X

    def denoise(self, image: Array, sigma: float, patch_size: int = 8) -> Array:
        """Denoise every patch about its mean; average where patches overlap."""
        windows = sliding_window_view(image, (patch_size, patch_size))
        n_rows, n_cols = windows.shape[:2]
        Y = windows.reshape(n_rows * n_cols, -1)
        mean = Y.mean(axis=1, keepdims=True)
        X = (self.denoise_patches(Y - mean, sigma) + mean).reshape(windows.shape)
        return average(X, image.shape)


def average(patches: Array, shape: tuple[int, ...]) -> Array:
    """Average the patches (rows, cols, p, p) of a dense grid where they overlap."""
    n_rows, n_cols, height, width = patches.shape
    total, counts = np.zeros(shape, patches.dtype), np.zeros(shape, patches.dtype)
    for dy in range(height):
        for dx in range(width):
            total[dy : dy + n_rows, dx : dx + n_cols] += patches[:, :, dy, dx]
            counts[dy : dy + n_rows, dx : dx + n_cols] += 1
    return total / counts


def fit_textbook_gsm(
    X: Array, scales: Array, *, tol: float = 1e-5, max_iter: int = 1000
) -> TextbookGSM:
    """Learn weights and scales by EM; every iteration computes all densities again."""
    n = len(X)
    covariance = X.T @ X / n
    rank = np.linalg.matrix_rank(covariance)
    precision = np.linalg.pinv(covariance, hermitian=True)
    gsm = TextbookGSM(np.full(len(scales), 1 / len(scales)), scales, covariance)
    before = -np.inf
    for _ in range(max_iter):
        log_prob = gsm.log_prob(X)
        log_norm = logsumexp(log_prob, axis=1, keepdims=True)
        if log_norm.mean() - before < tol:
            break
        before = log_norm.mean()
        posterior = np.exp(log_prob - log_norm)
        counts = posterior.sum(axis=0)
        distances = np.einsum("ni,ij,nj->n", X, precision, X, optimize=True)
        gsm = TextbookGSM(counts / n, distances @ posterior / (rank * counts), covariance)
    return gsm


def sklearn_gmm(weights: Array, means: Array, covariances: Array, **options: Any) -> Any:
    """Return scikit-learn's mixture of full covariances, with a start."""
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(
        len(weights),
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
        **options,
    )


def fit_sklearn(model: Any, X: Array) -> Any:
    """Fit a scikit-learn model that may be stopped before it has converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def sklearn_iteration(model: Any, X: Array) -> None:
    """Do one EM iteration of a fitted model; ``fit`` would add a second E-step for its labels."""
    _, log_responsibilities = model._e_step(X)
    model._m_step(X, log_responsibilities)


def two_products(Y: Array, U: Array) -> Array:
    """Rotate the patches Y (n, d) into the basis U and back: a bound for every patch method."""
    return (Y @ U) @ U.T


# Denoisers of grey images in [0, 1]: what their documentation recommends for known white noise.


def skimage_nlm(noisy: Array, sigma: float) -> Array:
    from skimage.restoration import denoise_nl_means

    return denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )


def skimage_wavelet(noisy: Array, sigma: float) -> Array:
    from skimage.restoration import denoise_wavelet

    return denoise_wavelet(noisy, sigma=sigma, method="BayesShrink", rescale_sigma=False)


def skimage_tv(noisy: Array, sigma: float) -> Array:
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(noisy, weight=sigma)


def opencv_nlm(noisy: Array, sigma: float) -> Array:
    import cv2

    grey_levels = np.clip(np.rint(255 * noisy), 0, 255).astype(np.uint8)
    return cv2.fastNlMeansDenoising(grey_levels, h=255 * sigma).astype(noisy.dtype) / 255


def opencv_nlm_colour(noisy: Array, h: float) -> Array:
    """Denoise an RGB photograph of 8 bits; `h` grey levels for luminance and colours alike."""
    cv2 = needed("cv2")
    blue_first = np.ascontiguousarray(noisy[..., ::-1])
    return cv2.fastNlMeansDenoisingColored(blue_first, None, h, h)[..., ::-1]


def bm3d_colour(noisy: Array, sigma: float) -> Array:
    """Denoise an RGB photograph of 8 bits with white noise of `sigma` grey levels."""
    denoised = needed("bm3d").bm3d_rgb(noisy / 255, sigma / 255)
    return np.rint(255 * np.clip(denoised, 0, 1)).astype(np.uint8)


def bm3d_psd(noisy: Array, psd: Array) -> Array:
    """Denoise a grey image whose noise has a known power spectral density."""
    bm3d = needed("bm3d")
    if not hasattr(np, "trapz"):
        # NumPy 2.4 no longer has the old name, which bm3d 4.0.3 uses to look at the spectrum.
        np.trapz = np.trapezoid  # noqa: NPY201
    return bm3d.bm3d(noisy, psd)


def needed(module: str) -> Any:
    """Import a rival's package, or end the program with what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f'rivals need more packages: pip install "fastgsm[bench]" ({error})'
        ) from None


def bm3d(noisy: Array, sigma: float) -> Array:
    import bm3d

    return bm3d.bm3d(noisy, sigma)


DENOISERS = {
    "scikit-image non-local means": skimage_nlm,
    "scikit-image wavelets": skimage_wavelet,
    "scikit-image total variation": skimage_tv,
    "OpenCV non-local means": opencv_nlm,
    "bm3d": bm3d,
}
