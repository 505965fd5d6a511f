"""Train the bundled cascades by gradient; `fastgsm.study.train_priors` has the command.

A cascade starts as one mixture, learnt by EM, in all of its stages. The loss is the mean over crops
of log(MSE / s2), so that every noise level counts the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fastgsm import __version__
from fastgsm._images import as_float_image
from fastgsm._progress import Progress
from fastgsm._types import FloatArray
from fastgsm.colour import grey, mixing_matrix
from fastgsm.datasets import dead_leaves
from fastgsm.learning.support import eigh
from fastgsm.metrics import psnr
from fastgsm.models.cascade import LEAST_SIGMA, MOST_SIGMA, Cascade
from fastgsm.patches import sample_patches
from fastgsm.restore.pyramid import shrunk
from fastgsm.study.cascade_gradients import Gradients, gradients, run

SEED = 0
EM_PATCHES = 120_000
LEAST_VARIANCE = 1e-7
# How later stages mix and see the image before training.
START_SHARE, START_LEVEL = (-2.0, 0.0), (-1.6, 0.0)

# Drawn scenes for each plane of a photograph.
DRAWN_SHARE = 0.1

# Pixels of a crop near its borders that do not count, as they lack patches.
MARGIN = 8
RATE = 1.5e-2
# Rate of the filters, relative to RATE.
FILTER_RATE = 0.13
WARM_UP_STEPS = 50
BETAS = (0.9, 0.98)
# Longest gradient; longer ones are shortened.
MOST_GRADIENT = 1.0
# All parameters but `halved`.
LEARNT = tuple(each.name for each in fields(Cascade) if each.name != "halved")

Images = Sequence[NDArray[Any]]
Planes = Sequence[FloatArray]


def luminance(images: Images) -> list[FloatArray]:
    """Return the luminance of colour images."""
    return [as_float_image(grey(image, "image"))[0] for image in images]


def opponent_colours(images: Images) -> list[FloatArray]:
    """Return both opponent colours of every image, scaled as in `denoise`."""
    transform = mixing_matrix(3)[1:]
    mixed = (np.einsum("mc,hwc->mhw", transform, as_float_image(image)[0]) for image in images)
    return [plane for each in mixed for plane in each]


def drawn(n_planes: int, contrast: float) -> list[FloatArray]:
    """Return drawn scenes to go with so many planes of photographs.

    They teach what photographs hardly have: sharp edges between areas without any texture.
    """
    rng = np.random.default_rng(SEED)
    textures = (0.02, 0.0)  # every other scene has none
    return [
        contrast * dead_leaves((500, 500), texture=textures[i % 2], random_state=rng)
        for i in range(math.ceil(DRAWN_SHARE * n_planes))
    ]


class Recipe(NamedTuple):
    """How a cascade is trained."""

    halved: tuple[bool, ...]
    """For each stage, whether it works at half of the size."""
    n_components: int
    n_steps: int
    planes: Callable[[Images], list[FloatArray]] = luminance
    contrast: float = 1.0
    """Of the drawn scenes that are added to the planes."""
    n_crops: int = 8
    crop: int = 72
    subject: str = "luminance"


FAST = Recipe((False, True, False, False), 16, 16_000)
RECIPES = {
    "cascade-fast": FAST,
    "cascade-fast-chroma": FAST._replace(
        planes=opponent_colours, contrast=0.3, subject="opponent colours"
    ),
}

CARD = """\
# Model card: `{name}`

- **Model**: a cascade of {n_stages} single passes, number {halved} at half of the size, each under
  {n_components} diagonal Gaussians of {n_filters} filtered 8x8 pixels, in units of the image's data
  range.
- **Of**: {subject}.
- **Data**: {n_images} photographs: 500x500 crops of the Kodak Lossless True Color Image Suite,
  released by Kodak for unrestricted use, and a tenth as many drawn scenes
  (`fastgsm.datasets.dead_leaves`), all at their own size and at half of it.
- **Training**: {n_steps:,} steps of Adam, each on {n_crops} crops of {crop}x{crop} pixels with
  white noise of one level, log-uniform from {least:g} to {most:g} of 255. The loss is log(MSE /
  variance of the noise).
- **Command**: `python -m fastgsm.priors.train FOLDER --prior {name}`,
  fastgsm {version}, seed {seed}.
- **Held-out PSNR**: {held_out} dB at noise 5, 15, 25 and 50 of 255, on
  every sixth photograph, by a cascade that was trained on the others. The bundled one is trained on
  all.
- **File**: `{name}.npz`, float32.
"""


def train(name: str, images: Images, folder: Path) -> str:
    """Train a cascade, write it and its card, and return the card."""
    recipe = RECIPES[name]
    unseen = recipe.planes(images[::6])
    seen = [image for i, image in enumerate(images) if i % 6]
    held_out = held_out_psnr(trained(recipe, recipe.planes(seen), f"{name}, held out"), unseen)
    cascade = trained(recipe, recipe.planes(images), name)
    described = folder / f"{name}.md"
    described.unlink(missing_ok=True)  # so that a card never describes another file
    cascade.save(folder / f"{name}.npz")
    text = card(name, cascade, len(images), held_out)
    described.write_text(text, encoding="utf-8")
    return text


def trained(recipe: Recipe, planes: Planes, label: str) -> Cascade:
    """Return a cascade after all steps of its recipe."""
    planes = [*planes, *drawn(len(planes), recipe.contrast)]
    planes = [plane.astype(np.float32) for plane in planes]
    planes += [shrunk(plane[None])[0] for plane in planes]
    cascade = started(planes, recipe.n_components, recipe.halved)
    with Progress(recipe.n_steps, label) as bar:
        return descend(cascade, planes, recipe, bar)


def held_out_psnr(cascade: Cascade, planes: Planes) -> dict[int, float]:
    """Return the mean PSNR in dB of ``planes`` by noise level in 255."""
    rng = np.random.default_rng(SEED)
    result = {}
    for level in (5, 15, 25, 50):
        sigma, values = level / 255, []
        for plane in planes:
            clean = plane[: len(plane) // 2 * 2, : plane.shape[1] // 2 * 2]
            noisy = clean + sigma * rng.standard_normal(clean.shape)
            restored = run(cascade, noisy.astype(np.float32)[None], sigma)[0][0]
            values.append(psnr(clean, restored))
        result[level] = float(np.mean(values))
    return result


def card(name: str, cascade: Cascade, n_images: int, held_out: dict[int, float]) -> str:
    """Return the model card of a cascade."""
    recipe = RECIPES[name]
    return CARD.format(
        name=name,
        n_stages=cascade.n_stages,
        halved=" and ".join(str(i + 1) for i in np.flatnonzero(cascade.halved)),
        n_components=recipe.n_components,
        n_filters=cascade.forward.shape[1],
        subject=recipe.subject,
        n_images=n_images,
        n_steps=recipe.n_steps,
        n_crops=recipe.n_crops,
        crop=recipe.crop,
        least=LEAST_SIGMA * 255,
        most=MOST_SIGMA * 255,
        version=__version__,
        seed=SEED,
        held_out=", ".join(f"{value:.2f}" for value in held_out.values()),
    )


def started(planes: Planes, n_components: int, halved: Sequence[bool]) -> Cascade:
    """Return a cascade whose stages are all one mixture, learnt by EM from patches of ``planes``.

    The filters are the principal axes of the patches without their means, and the mixture has
    diagonal Gaussians on these axes.
    """
    patches = sample_patches(planes, 8, EM_PATCHES, random_state=SEED).astype(np.float64)
    patches -= patches.mean(axis=1, keepdims=True)
    axes = eigh(patches.T @ patches)[1][:, :0:-1]  # the last is the constant patch's
    weights, variances = diagonal_mixture(np.square(patches @ axes), n_components)
    stages = np.ones(len(halved))
    log_variances = np.multiply.outer(stages, np.log(variances))
    none = np.zeros_like(log_variances)
    return Cascade(
        forward=np.multiply.outer(stages, axes.T),
        backward=np.multiply.outer(stages, axes.T),
        log_weights=np.multiply.outer(stages, np.log(weights)),
        log_variances=log_variances,
        log_noise=none.copy(),
        log_kept=log_variances.copy(),
        log_kept_noise=none.copy(),
        log_traces=none[:, :, 0].copy(),
        log_temperature=0 * stages,
        share=np.multiply.outer(stages, START_SHARE),
        log_level=np.multiply.outer(stages, START_LEVEL),
        halved=np.array(halved),
    )


def diagonal_mixture(
    squares: FloatArray, n_components: int, n_iterations: int = 40
) -> tuple[FloatArray, FloatArray]:
    """Fit a mixture of diagonal Gaussians of mean 0 to ``squares`` (n, M) by EM.

    Returns the weights (J,) and variances (J, M). It starts from samples of evenly spaced energy.
    """
    mean = squares.mean(axis=0)
    order = np.argsort((squares / mean).mean(axis=1))
    middles = (np.arange(n_components) + 0.5) / n_components * len(squares)
    picked = squares[order[middles.astype(int)]]
    ratio = (picked / mean).mean(axis=1, keepdims=True)
    variances = np.maximum(0.7 * ratio * mean + 0.3 * picked, LEAST_VARIANCE)
    weights = np.full(n_components, 1 / n_components)
    for _ in range(n_iterations):
        log_prob = np.log(weights) - 0.5 * np.log(variances).sum(axis=1)
        shares = softmax(log_prob - 0.5 * squares @ (1 / variances).T, axis=1)
        counts = shares.sum(axis=0) + 1e-3
        weights = counts / counts.sum()
        moments = shares.T @ squares + 1e-3 * variances
        variances = np.maximum(moments / counts[:, None], LEAST_VARIANCE)
    return weights, variances


class Adam:
    """Adam on the arrays of a cascade, with a rate for the filters and one for the rest.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._first: dict[str, Any] = dict.fromkeys(names, 0.0)
        self._second: dict[str, Any] = dict.fromkeys(names, 0.0)
        self._count = 0

    def step(self, cascade: Cascade, by: Gradients, rate: float) -> Cascade:
        """Return the cascade after one step against the gradient."""
        self._count += 1
        norm = np.sqrt(sum(np.square(by[name]).sum() for name in self._first))
        new = {}
        for name in self._first:
            g = by[name] / max(norm / MOST_GRADIENT, 1)
            self._first[name] = BETAS[0] * self._first[name] + (1 - BETAS[0]) * g
            self._second[name] = BETAS[1] * self._second[name] + (1 - BETAS[1]) * g**2
            first = self._first[name] / (1 - BETAS[0] ** self._count)
            second = self._second[name] / (1 - BETAS[1] ** self._count)
            its_rate = rate * (FILTER_RATE if name in ("forward", "backward") else 1)
            new[name] = getattr(cascade, name) - its_rate * first / (np.sqrt(second) + 1e-8)
        return replace(cascade, **new)


def descend(cascade: Cascade, planes: Planes, recipe: Recipe, bar: Progress) -> Cascade:
    """Train a cascade on random crops of ``planes``, each batch at a random noise level."""
    rng = np.random.default_rng(SEED)
    adam = Adam(LEARNT)
    sizes = np.array([plane.size for plane in planes])
    for step in range(recipe.n_steps):
        chosen = rng.choice(len(planes), recipe.n_crops, p=sizes / sizes.sum())
        clean = np.stack([random_crop(planes[i], recipe.crop, rng) for i in chosen])
        sigma = float(np.exp(rng.uniform(*np.log((LEAST_SIGMA, MOST_SIGMA)))))
        noisy = clean + np.float32(sigma) * rng.standard_normal(clean.shape, np.float32)
        restored, stages = run(cascade, noisy, sigma)
        by = gradients(cascade, noisy, sigma, stages, loss_gradient(restored - clean))
        # After the warm-up, half a wave of the cosine.
        wave = 0.5 + 0.5 * math.cos(math.pi * step / recipe.n_steps)
        cascade = adam.step(cascade, by, RATE * wave * min(1, (step + 1) / WARM_UP_STEPS))
        bar.update()
    return cascade


def loss_gradient(errors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the derivatives of the mean of log(MSE) over images by their ``errors`` (n, H, W)."""
    inner = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    mse = np.square(errors[inner]).mean(axis=(1, 2), keepdims=True)
    result = np.zeros_like(errors)
    result[inner] = 2 * errors[inner] / (mse * errors[inner].size)
    return result


def random_crop(plane: FloatArray, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a square crop, turned and mirrored at random."""
    top, left = (rng.integers(n - size + 1) for n in plane.shape)
    crop = np.rot90(plane[top : top + size, left : left + size], int(rng.integers(4)))
    return np.asarray(crop[:, ::-1] if rng.integers(2) else crop, np.float32)
