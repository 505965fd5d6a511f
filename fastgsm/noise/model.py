"""What is known of the noise of an image, as one object."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastgsm._checks import check_nonnegative, check_numbers, check_shape_2d
from fastgsm._types import FloatArray
from fastgsm.files.paths import atomic_path, check_output_path, check_regular
from fastgsm.noise.anscombe import Photons, check_triple
from fastgsm.noise.stationary import (
    check_noise_arrays,
    covariance_of_psd,
    covariance_of_samples,
    levels_and_correlation,
    psd_of_covariance,
    samples,
    without_zeros_around,
)

FORMAT, VERSION = "fastgsm-noise", 1
# Largest file read: ten times one of four channels.
MOST_BYTES = 10_000_000


@dataclass(frozen=True, eq=False, repr=False)
class NoiseModel:
    """Noise of an image, in the image's own units: for the argument ``noise`` of `denoise`.

    Usually made by one of the methods `white`, `from_covariance`, `poisson`, `from_psd` and
    `from_samples`, or by `fastgsm.estimate_noise`.

    Parameters
    ----------
    sigma : array_like of shape (n_channels,)
        Standard deviation in each channel; for photons it is that of the read noise. A model of one
        channel describes every channel of a colour image, independent of the others.
    correlation : array_like of shape (n_channels, n_channels, height, width), optional
        Correlation of the noise of channel i at a pixel and of channel j at a pixel that lies some
        rows and columns farther down and right, for all i and j. Height and width are odd, and the
        pixel itself is in the middle. By default there is none.
    photons : (gain, offset, read_noise), optional
        For noise that grows with the light (see `poisson`).
    camera : bool
        The noise is that of a finished photograph. It is then stronger at low frequencies than
        white noise of this strength, which is the one that restores best.

    Attributes
    ----------
    sigma, correlation : ndarray
        float64, not writeable.

    Raises
    ------
    TypeError, ValueError
        If the levels are negative, or the correlations have another shape or are none.

    Examples
    --------
    >>> import fastgsm
    >>> fastgsm.NoiseModel.white([0.1, 0.05, 0.1])
    NoiseModel: white, sigma 0.1, 0.05, 0.1
    """

    sigma: FloatArray
    correlation: Any = None  # always an array once made
    photons: Photons | None = None
    camera: bool = False

    def __post_init__(self) -> None:
        photons = None if self.photons is None else check_triple(self.photons)
        object.__setattr__(self, "photons", photons)
        sigma = check_numbers(self.sigma, "sigma").copy()
        if photons is not None:
            sigma = np.full(sigma.shape, photons[2])
        n = sigma.size
        given = np.eye(n)[:, :, None, None] if self.correlation is None else self.correlation
        correlation = check_numbers(given, "correlation").copy()
        check_noise_arrays(sigma, correlation)
        correlation = without_zeros_around(correlation)
        for name, values in (("sigma", sigma), ("correlation", correlation)):
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that the arrays of copies are not writeable either.
        return type(self), (self.sigma, self.correlation, self.photons, self.camera)

    @classmethod
    def white(cls, sigma: ArrayLike) -> Self:
        """Return noise that is independent from pixel to pixel and between channels.

        Parameters
        ----------
        sigma : float or array_like of shape (n_channels,)
            Standard deviation: one for every channel, or one for each.

        Raises
        ------
        TypeError, ValueError
            If a level is negative or not finite.
        """
        levels = [sigma] if np.ndim(sigma) == 0 else list(np.ravel(sigma))
        checked = [check_nonnegative(level, "sigma") for level in levels]
        return cls(np.array(checked))

    @classmethod
    def from_covariance(cls, covariance: ArrayLike, *, camera: bool = False) -> Self:
        """Return noise with a covariance between channels, and between pixels.

        Parameters
        ----------
        covariance : array_like of shape (n_channels, n_channels), or with (height, width) more
            Without the last two axes, the noise is independent from pixel to pixel. With them, see
            `correlation` of `NoiseModel`.
        camera : bool
            See `NoiseModel`.

        Raises
        ------
        ValueError
            If it is not symmetric or has negative eigenvalues.
        """
        values = check_numbers(covariance, "covariance")
        if values.ndim == 2:
            values = values[:, :, None, None]
        return cls(*levels_and_correlation(values), camera=camera)

    @classmethod
    def poisson(cls, gain: float = 1.0, offset: float = 0.0, read_noise: float = 0.0) -> Self:
        """Return the noise of a sensor: ``gain * Poisson(photons) + offset + N(0, read_noise^2)``.

        Parameters
        ----------
        gain : float
            Increase of the image by one photon; above 0.
        offset : float
            Value of the image where there is no light.
        read_noise : float
            Standard deviation of the noise without light.

        Raises
        ------
        TypeError, ValueError
            If one of the three is not a finite number, or out of its range.
        """
        return cls(np.zeros(1), photons=(gain, offset, read_noise))  # the triple says sigma

    @classmethod
    def from_psd(cls, psd: ArrayLike, *, channel_axis: int | None = None) -> Self:
        """Return noise with a known power spectral density, independent between channels.

        Parameters
        ----------
        psd : array_like of shape (height, width), or with one more axis for channels
            Expected ``abs(numpy.fft.fft2(noise)) ** 2`` for noise of this shape, which need not be
            the image's. White noise has ``sigma**2 * height * width`` everywhere.
        channel_axis : int, optional
            Axis of the channels.

        Raises
        ------
        ValueError
            If it holds negative values, NaN or infinity, is not symmetric (the value at a
            frequency is that at its negative), or has sides below 16.

        Examples
        --------
        >>> import numpy as np, fastgsm
        >>> fastgsm.NoiseModel.from_psd(np.full((64, 64), 64 * 64 * 0.1**2)).sigma.round(3)
        array([0.1])
        """
        return cls.from_covariance(covariance_of_psd(samples(psd, channel_axis, "psd")))

    @classmethod
    def from_samples(cls, noise: ArrayLike, *, channel_axis: int | None = None) -> Self:
        """Return noise like the given samples: a dark frame, or a flat part of an image.

        Its covariance between pixels and between channels is measured. Correlations that are below
        three standard errors count as 0, and so does all beyond 16 pixels or a quarter of a side.

        Parameters
        ----------
        noise : array_like of shape (height, width), or with one more axis for channels
            Pixels that would all be equal without noise; integers or floats, at least 16x16. The
            mean of each channel is removed.
        channel_axis : int, optional
            Axis of the channels.

        Raises
        ------
        TypeError, ValueError
            If it does not hold finite real numbers, or is too small.

        Examples
        --------
        >>> import numpy as np, fastgsm
        >>> noise = 0.1 * np.random.default_rng(0).standard_normal((128, 128))
        >>> fastgsm.NoiseModel.from_samples(noise).sigma.round(2)
        array([0.1])
        """
        return cls.from_covariance(covariance_of_samples(samples(noise, channel_axis, "noise")))

    @property
    def n_channels(self) -> int:
        """Number of channels that are described."""
        return self.sigma.size

    @property
    def covariance(self) -> FloatArray:
        """Covariance between channels and pixels, shaped as `correlation`."""
        return np.outer(self.sigma, self.sigma)[:, :, None, None] * self.correlation

    @property
    def between_channels(self) -> FloatArray:
        """Correlation of the channels' noise at one pixel, (n_channels, n_channels)."""
        height, width = self.correlation.shape[2:]
        return np.asarray(self.correlation[:, :, height // 2, width // 2])

    @property
    def level(self) -> float:
        """Root mean square of `sigma`."""
        largest = float(self.sigma.max())
        return largest * float(np.sqrt(np.square(self.sigma / (largest or 1)).mean()))

    @property
    def kind(self) -> str:
        """What noise it is: "white", "correlated" between pixels, "camera" or "photon"."""
        if self.photons is not None:
            return "photon"
        if self.camera:
            return "camera"
        return "white" if self.is_white else "correlated"

    @property
    def is_white(self) -> bool:
        """Whether the noise is independent from pixel to pixel, at any light."""
        return self.photons is None and not self.camera and self.correlation[0, 0].size == 1

    def psd(self, shape: tuple[int, int]) -> FloatArray:
        """Return the power spectral density of each channel, in the convention of `from_psd`.

        Parameters
        ----------
        shape : (height, width)
            Of the noise, in pixels. Correlations beyond half of it are left out.

        Returns
        -------
        ndarray of shape (n_channels, height, width)
            Negative values, which a cut-off covariance may lead to, are 0.
        """
        return psd_of_covariance(self.covariance, check_shape_2d(shape, "shape"))

    def variance(self, intensity: ArrayLike) -> FloatArray:
        """Return the variance of the first channel's noise where the clean image has a value.

        Parameters
        ----------
        intensity : array_like
            Values of the clean image.

        Returns
        -------
        ndarray
            Of the same shape.
        """
        values = check_numbers(intensity, "intensity")
        variance = np.full(values.shape, self.sigma[0] ** 2)
        if self.photons is not None:
            gain, offset, _ = self.photons
            variance += gain * np.maximum(values - offset, 0)
        return variance

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a JSON file, which `load` reads.

        Raises
        ------
        ValueError, OSError
            If the name does not end in ``.json``, or nothing can be written there.
        """
        path = Path(path)
        if path.suffix != ".json":
            raise ValueError(f"cannot save noise as {path.name!r}: the name must end in .json.")
        check_output_path(path)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "camera": self.camera,
            "photons": self.photons,
            "sigma": self.sigma.tolist(),
            "correlation": self.correlation.tolist(),
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model from a file that `save` wrote.

        Raises
        ------
        ValueError, OSError
            If the file cannot be read, is damaged, or is not one of these.
        """
        path = Path(path)
        check_regular(path)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(f"{path} has {size} bytes, too many for noise; wanted {FORMAT}.")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT or content["version"] != VERSION:
                raise ValueError(f"its format is {content['format']!r}, {content['version']!r}")
            if not isinstance(content["camera"], bool):
                raise ValueError(f"camera is {content['camera']!r}; wanted true or false")
            names = "sigma", "correlation", "photons", "camera"
            return cls(*(content[name] for name in names))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{path} does not hold noise of {FORMAT} version {VERSION}: {error}. Save it again "
                f"with NoiseModel.save."
            ) from None

    def __repr__(self) -> str:
        if self.photons is not None:
            gain, offset, read_noise = self.photons
            text = f"photon, gain {gain:.3g}, offset {offset:.3g}, read noise {read_noise:.3g}"
            return f"{type(self).__name__}: {text}"
        text = f"{self.kind}, sigma {', '.join(f'{level:.3g}' for level in self.sigma)}"
        correlations = self.between_channels[np.triu_indices(self.n_channels, 1)]
        if correlations.any():
            low, high = correlations.min(), correlations.max()
            text += f", channels correlated {low:.2f} to {high:.2f}"
        return f"{type(self).__name__}: {text}"
