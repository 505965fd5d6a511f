"""How an image is to be denoised: checked once, then handed on whole."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from fastgsm._checks import check_choice, check_integer, check_positive
from fastgsm._data_range import Extent
from fastgsm._images import check_patch_fits, default_data_range
from fastgsm._parts import Part
from fastgsm._registry import names_of
from fastgsm._types import FloatArray
from fastgsm.models._scale_mixture import ScaleMixtureModel
from fastgsm.noise.anscombe import warn_no_photons
from fastgsm.noise.kinds import Kind, check_channels, is_white
from fastgsm.noise.model import NoiseModel
from fastgsm.patches import check_stride
from fastgsm.priors import load_cascade
from fastgsm.restore.cascade import STRIDE, cascades_reach
from fastgsm.restore.method import Cascades, Reach, Setting
from fastgsm.restore.planes import PlaneNoise
from fastgsm.restore.presets import DEFAULT_QUALITY, PRESETS, Preset
from fastgsm.restore.priors import Models, Priors, patch_size_of, resolve_priors


@dataclass(frozen=True)
class Options:
    """The checked options of one call of `denoise`, `denoise_tiles` or `denoise_dask`.

    What follows from them (the models, the patch size, the stride) is worked out once, by `check`.

    The fields without a description are as the user gave them.
    """

    n_channels: int
    rng: np.random.Generator
    """Draws the positions of the patch grids. Tiles use copies: they share one set of grids."""
    _: KW_ONLY
    quality: str = DEFAULT_QUALITY
    prior: Priors | None = None
    aggregation: str = "mean"
    given_stride: int | None = None
    """The stride that was asked for; see `stride`."""
    channel_axis: int | None = None
    data_range: float | None = None
    extent: Extent | None = None
    """Of the image, where no data range was given and the default one is not surely likely."""
    workers: int | None = None
    progress: bool = False
    return_std: bool = False

    def __post_init__(self) -> None:
        check_choice(self.quality, "quality", tuple(PRESETS))
        check_choice(self.aggregation, "aggregation", ("mean", "center"))
        if self.workers is not None:
            check_integer(self.workers, "workers")
        if self.data_range is not None:
            check_positive(self.data_range, "data_range")

    def __getstate__(self) -> dict[str, Any]:
        # Without the resolved models: a worker loads the bundled ones by their names.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def preset(self) -> Preset:
        """The record of the quality."""
        return PRESETS[self.quality]

    @property
    def center(self) -> bool:
        """Whether only each patch's central pixel is kept."""
        return self.aggregation == "center"

    @cached_property
    def models(self) -> Models:
        """The model for the luminance, and the one for the other planes if they have their own."""
        preset, prior = self.preset, self.prior
        if prior is None:
            prior = preset.prior
            if preset.chroma is not None and self.n_channels == 3:
                prior = (preset.prior, preset.chroma)
        return resolve_priors(
            prior, self.n_channels, self.quality, shapes_correspond=preset.shapes_correspond
        )

    @cached_property
    def cascades(self) -> Cascades | None:
        """The bundled cascades of the quality, unless a prior or centres are asked for.

        Whether the noise suits them is decided plane by plane.
        """
        names = self.preset.cascades
        if names is None or self.prior is not None or self.center:
            return None
        first, others = (load_cascade(name) for name in names)
        stride = STRIDE if self.given_stride is None else self.given_stride
        return Cascades(first, others if self.n_channels == 3 else first, stride)

    @cached_property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return patch_size_of(self.models[0])

    @cached_property
    def stride(self) -> int:
        """Distance between patches in pixels: the one asked for, or the preset's."""
        given = self.given_stride
        default = self.preset.default_stride(self.patch_size)
        return check_stride(default if given is None else given, self.patch_size)

    def unit(self, dtype: np.dtype[Any]) -> float:
        """Return the data range of an image of a type: the one given, or what its extent says."""
        if self.data_range is not None:
            return float(self.data_range)
        return default_data_range(dtype) if self.extent is None else self.extent.data_range(dtype)

    def needs_extent(self, noise: NoiseModel | FloatArray) -> bool:
        """Return whether only the image's extent says the range of its photons."""
        of_photons = isinstance(noise, NoiseModel) and noise.photons is not None
        return of_photons and self.data_range is None and self.extent is None

    def warn(self, dtype: np.dtype[Any], noise: NoiseModel | FloatArray) -> None:
        """Warn if no data range was given and the default for an image of a type is unlikely.

        It does not matter where there is no noise, or nothing else.
        """
        if self.extent is None:
            return
        if isinstance(noise, NoiseModel) and noise.photons is not None:
            warn_no_photons(self.extent, noise.photons)
            return
        levels = noise.sigma if isinstance(noise, NoiseModel) else noise
        if 0 < 2 * levels.max() < self.extent.span:
            self.extent.warn(dtype)

    def reach(self, noise: NoiseModel | Kind) -> Reach:
        """Return how far the method looks, at most, for noise that may be estimated yet."""
        reach = self.preset.reach if is_white(noise) else self.preset.longest_reach
        by_models = reach(self.patch_size, self.stride)
        cascades = self.cascades
        return by_models if cascades is None else by_models.and_of(cascades_reach(cascades))

    def setting(
        self,
        dtype: np.dtype[Any],
        rng: np.random.Generator,
        inner: Part | None,
        noise: PlaneNoise | None,
    ) -> Setting:
        """Return what a method is made for, with planes of type ``dtype``."""
        model, chroma = self.models
        return Setting(
            model,
            chroma,
            self.patch_size,
            self.stride,
            dtype,
            rng,
            center=self.center,
            noise=noise,
            cascades=self.cascades,
            inner=inner,
        )

    def for_uneven_noise(self) -> Options:
        """Return the options for masked pixels or a noise level for each pixel.

        A preset without a method for these gives way to the default one.
        """
        if self.center:
            raise ValueError(
                "aggregation is 'center', which knows one noise level and no masked pixels; leave "
                "it out where there is a mask, NaN or a noise level for each pixel."
            )
        if self.return_std:
            _refuse_std()
        if self.preset.new_uneven is not None:
            return self
        return replace(self, quality=DEFAULT_QUALITY)

    def check(self, shape: tuple[int, int]) -> None:
        """Raise unless the priors, the stride and the preset suit an image (height, width)."""
        check_patch_fits(shape, self.patch_size)
        _ = self.stride
        if self.return_std:
            self._check_std()
        if self.center and (self.stride != 1 or not self.preset.keeps_centres):
            able = " or ".join(repr(name) for name, each in PRESETS.items() if each.keeps_centres)
            raise ValueError(
                f"stride is {self.stride} and quality {self.quality!r}; aggregation='center' takes "
                f"one pixel from each patch, once, and needs stride 1 and quality={able}."
            )

    def suited(self, noise: NoiseModel | Kind) -> NoiseModel | Kind:
        """Return the noise, or "white" for "auto" where no other is supported.

        Raises ValueError if the noise is known, and does not suit the options.
        """
        mixture = isinstance(self.models[0], ScaleMixtureModel)
        if noise == "auto":
            return "auto" if mixture and not self.return_std else "white"
        if self.return_std and not is_white(noise):
            _refuse_std()
        if not isinstance(noise, NoiseModel):
            return noise
        check_channels(noise, self.n_channels)
        if not mixture and noise.kind == "correlated":
            raise ValueError(
                f"prior is a {type(self.models[0]).__name__} and the noise is correlated between "
                f"pixels, which needs an {names_of(ScaleMixtureModel)}. Give one of these, or "
                f"noise='white'."
            )
        return noise

    def _check_std(self) -> None:
        """Raise ValueError where no expected error of a pixel is known."""
        if not self.preset.has_variance or self.center:
            able = [repr(name) for name, each in PRESETS.items() if each.has_variance]
            raise ValueError(
                f"quality is {self.quality!r} and aggregation {self.aggregation!r}; return_std "
                f"needs quality={' or '.join(able)} and aggregation='mean', which average patches "
                f"by the errors that they expect. Give these, or leave return_std out."
            )
        model = self.models[0]
        if not isinstance(model, ScaleMixtureModel):
            raise ValueError(
                f"prior is a {type(model).__name__}; return_std needs an "
                f"{names_of(ScaleMixtureModel)}. Give one of these, or use the model's own "
                f"denoise_patches(Y, sigma, return_std=True)."
            )


def _refuse_std() -> NoReturn:
    """Raise ValueError: errors are known only for white noise of one level."""
    raise ValueError(
        "return_std was asked for with noise that is not white, masked or NaN pixels or a sigma "
        "map; it needs white noise and no missing pixel. Leave return_std out."
    )
