"""How long denoising an image takes, and how far the result is from the clean image."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import fastgsm
from fastgsm.restore.presets import PRESETS

from .common import DTYPES, MODELS, SIGMA, THREADS, Array, add_noise, fit, image, patches, rms

Data = tuple[dict[str, Any], Array, Array]


class WithModels:
    """What the classes below share, so that asv prepares it once for both."""

    def setup_cache(self) -> Data:
        """Fit every model; return them with a clean image and its noisy version.

        Compiles everything into Numba's cache, so that no measured process does.
        """
        X = patches(seed=0)
        models = {name: fit(build(), X) for name, build in MODELS.items()}
        clean = image(seed=10)
        data = models, clean, add_noise(clean)
        for values in itertools.product(*SinglePass.params):
            SinglePass().setup(data, *values)
        return data


class SinglePass(WithModels):
    """The posterior mean of every overlapping patch of a 256x256 image."""

    params = (list(MODELS), DTYPES, THREADS)
    param_names = ("model", "dtype", "workers")

    def setup(self, data: Data, name: str, dtype: str, workers: int) -> None:
        models, _, noisy = data
        self.prior = models[name]
        self.noisy = noisy.astype(dtype)
        self.denoise(self.noisy[:32, :32], workers)  # loads what is compiled

    def denoise(self, noisy: Array, workers: int) -> Array:
        return fastgsm.denoise(noisy, SIGMA, prior=self.prior, quality="fast", workers=workers)

    def time_denoise(self, data: Data, name: str, dtype: str, workers: int) -> None:
        self.denoise(self.noisy, workers)


class Size:
    """The bundled prior on square float32 images; side 0 is only the interpreter and imports."""

    params = ([0, 256, 512, 1024, 2048],)
    param_names = ("side",)

    def setup(self, side: int) -> None:
        self.noisy = add_noise(image(10, max(side, 32))).astype("float32")
        self.side = side
        fastgsm.denoise(self.noisy[:32, :32], SIGMA, quality="fast")

    def denoise(self) -> None:
        if self.side:
            fastgsm.denoise(self.noisy, SIGMA, quality="fast")

    def time_denoise(self, side: int) -> None:
        self.denoise()

    def peakmem_denoise(self, side: int) -> None:
        self.denoise()


class Quality(WithModels):
    """The error that remains; `aggregation="center"` is the textbook's baseline."""

    params = (list(MODELS), ["mean", "center"])
    param_names = ("model", "aggregation")

    def track_rms_error(self, data: Data, name: str, aggregation: str) -> float:
        models, clean, noisy = data
        denoised = fastgsm.denoise(
            noisy, SIGMA, prior=models[name], quality="fast", aggregation=aggregation
        )
        return 255 * rms(denoised - clean)

    track_rms_error.unit = "grey levels of 255"  # type: ignore[attr-defined]


class Presets:
    """Every quality with its bundled prior, in grey and in colour."""

    params = (list(PRESETS), [1, 3])
    param_names = ("quality", "channels")

    def setup(self, quality: str, channels: int) -> None:
        self.clean = np.stack([image(10 + i) for i in range(channels)], axis=-1)
        self.noisy = add_noise(self.clean).astype("float32")
        self.denoise(quality, 32)  # loads what is compiled

    def denoise(self, quality: str, side: int) -> Array:
        return fastgsm.denoise(self.noisy[:side], SIGMA, quality=quality, channel_axis=-1)

    def time_denoise(self, quality: str, channels: int) -> None:
        self.denoise(quality, len(self.noisy))

    def track_rms_error(self, quality: str, channels: int) -> float:
        return 255 * rms(self.denoise(quality, len(self.noisy)) - self.clean)

    track_rms_error.unit = "grey levels of 255"  # type: ignore[attr-defined]
