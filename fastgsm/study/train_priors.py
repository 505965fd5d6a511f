"""Train the bundled priors: ``python -m fastgsm.study.train_priors FOLDER [--prior NAME]``.

The same photographs give the same files. "mogsm-chroma" depends on the "mogsm" in the output
folder, or on the bundled one if there is none, so train "mogsm" first. With --resume, priors whose
file and card exist are skipped. An interrupted prior starts again, because EM lengthens its steps
by what it has seen: a fit in two parts would give another file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastgsm import GSM, MoGSM, __version__, denoise, load, priors
from fastgsm._images import as_float_image
from fastgsm.colour import grey, mixing_matrix
from fastgsm.datasets import add_noise
from fastgsm.io import image_files, read_image
from fastgsm.metrics import psnr
from fastgsm.models._base import PatchModel
from fastgsm.models._save import save_model
from fastgsm.patches import sample_patches
from fastgsm.priors import load_prior
from fastgsm.study import train_cascades
from fastgsm.study.measure import sample

FOLDER = Path(priors.__file__).parent
SEED = 0
SIGMA = 25 / 255

# Contrast of flat patches (root mean square, in data ranges): below the weakest noise that there is
# to remove, 1e-5, and above what rounding leaves of a patch in float32.
FLAT_CONTRAST = 1e-6
# The single pass leaves less noise in flat areas the likelier it takes them to be: of noise 5 of
# 255, 18 % with the weight that EM finds (0.02), 11 % with this one. PSNR ("fast", on every third
# Kodak image) gains 0.02, 0.07 and 0.06 dB at 5, 15 and 25 of 255, and loses 0.03 and 0.06 dB at 1
# and 2. Twice this weight gains 0.02 dB more at 25, and loses 0.01 dB at 2 and at 5. EPLL's weights
# adapt to the image, and another weight gains nothing there.
FLAT_WEIGHT = 1 / 6

Images = Sequence[NDArray[Any]]


def luminance_patches(images: Images, n_places: int) -> NDArray[np.float32]:
    """Draw patches (n, d) without their mean."""
    return draw([grey(image, "image") for image in images], n_places)


def opponent_patches(images: Images, n_places: int) -> NDArray[np.float32]:
    """Draw patches (3, n, d) without their mean: luminance and two opponent colours.

    All three are from the same places, and scaled as in `denoise`.
    """
    transform = mixing_matrix(3)
    planes = [np.einsum("mc,hwc->mhw", transform, as_float_image(image)[0]) for image in images]
    return np.stack([draw([each[i] for each in planes], n_places) for i in range(3)])


def chroma_patches(images: Images, n_places: int) -> NDArray[np.float32]:
    """Draw patches (2 n, d) without their mean, one of each opponent colour at each place."""
    return np.concatenate(opponent_patches(images, n_places)[1:])


def draw(planes: Images, n_patches: int) -> NDArray[np.float32]:
    """Draw patches without their mean; half of them are transposed."""
    both_ways = [*planes, *(plane.T for plane in planes)]
    return sample_patches(both_ways, 8, n_patches, random_state=SEED).astype(np.float32)


class ChromaUnderShapes:
    """A `MoGSM` of the opponent colours, whose shapes correspond to those of a luminance prior.

    A shape's covariance, scales and weights are learnt from the opponent colours of the patches
    whose luminance the prior's shape explains best.
    """

    def __init__(self, luminance: MoGSM) -> None:
        self._luminance = luminance

    def _by_shape(self, patches: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the chroma patches for every shape, from opponent patches (3, n, d)."""
        K, J = self._luminance.weights_.shape
        shares = self._luminance.predict_proba(patches[0]).reshape(-1, K, J).sum(axis=2)
        shapes = shares.argmax(axis=1)
        return [np.concatenate(patches[1:, shapes == k]) for k in range(K)]

    def fit(self, patches: NDArray[Any]) -> ChromaUnderShapes:
        """Learn from opponent patches (3, n, d)."""
        groups = self._by_shape(patches)
        n_scales = self._luminance.weights_.shape[1]
        self._models = [
            MoGSM(1, n_scales, tol=1e-2, random_state=SEED).fit(group) for group in groups
        ]
        self._shares = np.array([len(group) for group in groups]) / sum(map(len, groups))
        return self

    def score(self, patches: NDArray[Any]) -> float:
        """Return the mean log-likelihood in nats of chroma patches, given the luminance's shape."""
        pairs = zip(self._models, self._by_shape(patches), strict=True)
        total = sum(model.score_samples(group).sum() for model, group in pairs if len(group))
        return float(total / (2 * patches.shape[1]))

    def mixture(self) -> MoGSM:
        """Return all shapes as one model."""
        K, J = self._luminance.weights_.shape
        model = MoGSM(K, J, random_state=SEED)
        parts = [each._arrays() for each in self._models]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        arrays["weights"] *= self._shares[:, None]
        model._set_arrays(arrays)
        model.n_samples_seen_ = sum(each.n_samples_seen_ for each in self._models)
        model.lower_bounds_ = [float(self._shares @ [each.lower_bound_ for each in self._models])]
        model.converged_ = all(each.converged_ for each in self._models)
        return model


class Recipe(NamedTuple):
    """How a prior is trained."""

    n_places: int
    new_model: Callable[[Path], Any]
    """Makes the model, given the folder of the priors trained before."""
    quality: str
    """The preset that uses the prior."""
    patches: Callable[[Images, int], Any] = luminance_patches
    """Draws patches from colour images at so many places."""
    n_held_out: int = 50_000
    """Number of places for the patches that are scored."""
    subject: str = "luminance"
    """What the patches show."""
    each: str = ""
    """What is drawn at each place, if it is not one patch."""
    caveat: str = ""
    """A remark on the held-out score."""
    flat_weight: float = 0.0
    """Least weight of flat patches; see `with_flat_patches`."""


BOTH = ", one of each opponent colour at each"

RECIPES = {
    "gsm": Recipe(400_000, lambda folder: GSM(n_scales=8), "fast", flat_weight=FLAT_WEIGHT),
    "gsm-chroma": Recipe(
        200_000,
        lambda folder: GSM(n_scales=8),
        "fast",
        patches=chroma_patches,
        n_held_out=25_000,
        subject="opponent colours",
        each=BOTH,
        flat_weight=FLAT_WEIGHT,
    ),
    "mogsm": Recipe(600_000, lambda folder: MoGSM(64, 8, random_state=SEED, verbose=1), "balanced"),
    "mogsm-chroma": Recipe(
        600_000,
        lambda folder: ChromaUnderShapes(cast(MoGSM, trained("mogsm", folder))),
        "balanced",
        patches=opponent_patches,
        subject="opponent colours, given the shape of the luminance under `mogsm`",
        each=BOTH,
        caveat="\n  So is the `mogsm` whose shapes choose the patches: in that the score is not "
        "held out.",
    ),
    "mogsm-large": Recipe(
        1_000_000, lambda folder: MoGSM(128, 8, random_state=SEED, verbose=1), "best"
    ),
}

# Priors of opponent colours, and the luminance prior that goes with each.
PARTNERS = {"gsm-chroma": "gsm", "mogsm-chroma": "mogsm"}

CARD = """\
# Model card: `{name}`

- **Model**: `{model!r}`, of 8x8 patches without their mean, in units of the image's data range.
- **Of**: {subject}.
- **Data**: {n_images} photographs: 500x500 crops of the Kodak Lossless True Color Image Suite,
  released by Kodak for unrestricted use. Patches at {n_places} random places{each},
  half of them transposed. The luminance is that of ITU-R 601; the opponent colours are red
  against blue and green against both, in the scale in which `fastgsm.denoise` restores them.
- **Command**: `python -m fastgsm.study.train_priors FOLDER --prior {name}`, fastgsm {version},
  seed {seed}.
- **Held-out log-likelihood**: {held_out:.2f} nats per patch, by a model that was trained on every
  second photograph and scored on patches of the others, at {n_held_out} places. The bundled one is
  trained on all.{caveat}
- **Flat patches**: the flattest scale is that of patches without contrast ({flat:.0e} of the data
  range), with weight {flat_weight:.2g}.
- **PSNR**: {psnr:.2f} dB on scikit-image's `{image}` with noise 25/255 (seed {seed}),
  `quality="{quality}"`{pair}.
- **File**: `{name}.npz`, float32.
"""


def main(argv: list[str] | None = None) -> int:
    """Train, save and describe the priors."""
    names = [*RECIPES, *train_cascades.RECIPES]
    parser = argparse.ArgumentParser(description="Train the bundled priors and cascades.")
    parser.add_argument("folder", type=Path, help="folder of colour photographs")
    parser.add_argument("--prior", nargs="+", choices=names, default=names)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("--resume", action="store_true", help="skip priors that exist")
    args = parser.parse_args(argv)
    images = [read_image(path).array for path in image_files(args.folder)]
    sample("camera")  # if scikit-image is missing, fail now and not after hours
    for name in args.prior:
        files = [args.out / f"{name}{suffix}" for suffix in (".npz", ".md")]
        if args.resume and all(file.exists() for file in files):
            print(f"{name} exists already")
            continue
        train_one = train if name in RECIPES else train_cascades.train
        print(train_one(name, images, args.out))
    return 0


def train(name: str, images: Images, folder: Path) -> str:
    """Train one prior, write it and its card, and return the card."""
    recipe = RECIPES[name]
    unseen = recipe.patches(images[1::2], recipe.n_held_out)
    held_out = fit(recipe, images[::2], folder).score(unseen)
    model = fit(recipe, images, folder)
    if isinstance(model, ChromaUnderShapes):
        model = model.mixture()
    with_flat_patches(model, recipe.flat_weight)
    described = folder / f"{name}.md"
    described.unlink(missing_ok=True)  # so that a card never describes another file
    save_model(model, folder / f"{name}.npz", np.float32)
    text = card(name, model, len(images), held_out, restored(name, folder))
    described.write_text(text, encoding="utf-8")
    return text


def fit(recipe: Recipe, images: Images, folder: Path) -> Any:
    """Fit a recipe's model to patches of the images."""
    return recipe.new_model(folder).fit(recipe.patches(images, recipe.n_places))


def with_flat_patches(model: PatchModel, least_weight: float) -> None:
    """Make the flattest scale of a mixture that of patches without any contrast.

    The flattest patches of the training images hold the images' own noise, so that EM takes weak
    noise for texture. The scale gets the contrast `FLAT_CONTRAST`, and at least the given weight.
    """
    arrays = model._arrays()
    weights, scales = arrays["weights"].copy(), arrays["scales"].copy()
    eigenvalue = arrays["eigenvalues"].mean(axis=1, keepdims=True)
    flattest = flattest_scale(model)
    scales[flattest] = FLAT_CONTRAST**2 / eigenvalue[flattest[0], 0]
    if weights[flattest] < least_weight:
        weights[flattest] = 0
        weights *= (1 - least_weight) / weights.sum()
        weights[flattest] = least_weight
    model._set_arrays({**arrays, "weights": weights, "scales": scales})


def flattest_scale(model: PatchModel) -> tuple[np.intp, ...]:
    """Return the index (shape, scale) of the component of least contrast."""
    arrays = model._arrays()
    variances = arrays["scales"] * arrays["eigenvalues"].mean(axis=1, keepdims=True)
    likely = np.where(arrays["weights"] > 0, variances, np.inf)
    return np.unravel_index(np.argmin(likely), likely.shape)


def trained(name: str, folder: Path) -> PatchModel:
    """Return the prior in the folder, or the bundled one if there is none."""
    path = folder / f"{name}.npz"
    return load(path) if path.exists() else load_prior(name)


def restored(name: str, folder: Path) -> float:
    """Return the PSNR, in dB, of a sample image after denoising with the prior in the folder."""
    clean = sample(sample_of(name)) / 255
    prior: Any = trained(name, folder)
    channel_axis = None
    if name in PARTNERS:
        prior, channel_axis = (trained(PARTNERS[name], folder), prior), -1
    noisy = add_noise(clean, SIGMA, random_state=SEED)
    quality: Any = RECIPES[name].quality
    denoised = denoise(noisy, SIGMA, channel_axis=channel_axis, prior=prior, quality=quality)
    return psnr(clean, denoised)


def sample_of(name: str) -> str:
    """Return the name of the image, grey or in colour, that a prior is tried on."""
    return "astronaut" if name in PARTNERS else "camera"


def card(name: str, model: Any, n_images: int, held_out: float, psnr: float) -> str:
    """Return the model card of a prior."""
    recipe = RECIPES[name]
    return CARD.format(
        name=name,
        model=model,
        subject=recipe.subject,
        n_images=n_images,
        n_places=f"{recipe.n_places:,}",
        each=recipe.each,
        n_held_out=f"{recipe.n_held_out:,}",
        caveat=recipe.caveat,
        version=__version__,
        seed=SEED,
        held_out=held_out,
        psnr=psnr,
        image=sample_of(name),
        quality=recipe.quality,
        flat=FLAT_CONTRAST,
        flat_weight=model._arrays()["weights"][flattest_scale(model)],
        pair=f", luminance by `{PARTNERS[name]}`" if name in PARTNERS else "",
    )


if __name__ == "__main__":
    raise SystemExit(main())
