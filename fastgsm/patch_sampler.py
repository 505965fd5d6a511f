"""The first step of a scikit-learn pipeline: images in, patches out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgsm._checks import check_choice, check_integer, check_random_state
from fastgsm._estimator import Estimator
from fastgsm._types import FloatArray
from fastgsm.patches import sample_patches

# Containers of patches.
OUTPUTS = ("default", "pandas", "polars")


class PatchSampler(Estimator):
    """Turn images into patches, as the first step of a scikit-learn pipeline.

    With it, a pipeline is fitted to images, scored on images and tuned by cross-validation over
    images. So the patches that judge a model come from images that it has not seen.

    Parameters
    ----------
    patch_size : int
        Side of a patch in pixels.
    n_patches : int
        Number of patches that every call of `transform` draws, for any number of images.
    center : {"patch", None}
        What to subtract: each patch's own mean, or nothing. To subtract the mean of the training
        patches, add ``StandardScaler(with_std=False)`` as the next step.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState
        Seed of the places. With an int, the same images always give the same patches.

    See Also
    --------
    sample_patches : The function that draws the patches.

    Notes
    -----
    The results of a pipeline are about sampled patches, not images: its ``score`` is the mean
    log-likelihood per sampled patch in nats, and its ``predict`` has a row for each sampled patch,
    in random order. If `random_state` is None, two calls differ by chance.

    Patches have no target and no weights, so ``fit`` ignores y.

    Examples
    --------
    >>> import fastgsm
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> images = [fastgsm.datasets.dead_leaves((64, 64), random_state=i) for i in range(4)]
    >>> sampler = fastgsm.PatchSampler(patch_size=4, n_patches=500, random_state=0)
    >>> pipeline = make_pipeline(sampler, fastgsm.GSM(n_scales=3)).fit(images)
    >>> pipeline[-1].n_features_in_
    16
    >>> cross_val_score(pipeline, images, cv=2).shape
    (2,)
    """

    def __init__(
        self,
        patch_size: int = 8,
        n_patches: int = 10_000,
        *,
        center: str | None = "patch",
        random_state: Any = None,
    ) -> None:
        self.patch_size = patch_size
        self.n_patches = n_patches
        self.center = center
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(two_d_array=False, three_d_array=True),
            requires_fit=False,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the options; nothing is learnt.

        Parameters
        ----------
        X, y
            Ignored; there for scikit-learn's pipelines.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an option is out of range.
        """
        check_integer(self.patch_size, "patch_size")
        check_integer(self.n_patches, "n_patches")
        check_choice(self.center, "center", ("patch", None))
        check_random_state(self.random_state)
        return self

    def transform(self, X: ArrayLike | Iterable[ArrayLike]) -> Any:
        """Draw patches at random places in images.

        Parameters
        ----------
        X : array_like of shape (height, width), or iterable of them
            Grey images, of any sizes. Integers are divided by their type's maximum.

        Returns
        -------
        patches : ndarray of shape (n_patches, patch_size**2)
            Patches in random order; float32, or float64 if every image is float64. A table after
            ``set_output(transform="pandas")`` or ``"polars"``.

        Raises
        ------
        TypeError, ValueError
            If an option is out of range, or for the images that `sample_patches` refuses.
        """
        self.fit()
        patches = sample_patches(
            X,
            self.patch_size,
            self.n_patches,
            center=self.center,
            random_state=self.random_state,
        )
        return self._contained(patches)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the pixels, ``pixel_ROW_COLUMN``, in the order of the columns.

        Parameters
        ----------
        input_features : None
            Ignored: images have no names of features.

        Raises
        ------
        TypeError, ValueError
            If `patch_size` is no integer of at least 1.

        Examples
        --------
        >>> import fastgsm
        >>> fastgsm.PatchSampler(patch_size=2).get_feature_names_out().tolist()
        ['pixel_0_0', 'pixel_0_1', 'pixel_1_0', 'pixel_1_1']
        """
        size = check_integer(self.patch_size, "patch_size")
        names = [f"pixel_{row}_{column}" for row in range(size) for column in range(size)]
        return np.array(names, dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` returns, as for scikit-learn's transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            An array, or a table with the names of `get_feature_names_out`. None changes nothing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `transform` is none of these.
        """
        if transform is not None:
            check_choice(transform, "transform", OUTPUTS)
            # scikit-learn's name: its `clone` keeps it.
            self._sklearn_output_config = {"transform": transform}
        return self

    def _contained(self, patches: FloatArray) -> Any:
        """Return patches in the chosen container, by default that of scikit-learn's options."""
        chosen = getattr(self, "_sklearn_output_config", {}).get("transform")
        if chosen is None and "sklearn" in sys.modules:
            chosen = sys.modules["sklearn"].get_config()["transform_output"]
        if chosen not in ("pandas", "polars"):
            return patches
        frame = importlib.import_module(chosen).DataFrame
        names = self.get_feature_names_out().tolist()
        if chosen == "pandas":
            return frame(patches, columns=names)
        return frame(patches, schema=names, orient="row")

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Return the result of `transform`; nothing is fitted."""
        return self.transform(X)
