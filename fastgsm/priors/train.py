"""Train the bundled priors: ``python -m fastgsm.priors.train FOLDER [--prior NAME]``.

Deterministic: the same photographs give the same files.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastgsm import GSM, MoGSM, __version__
from fastgsm.io import read_grey_images
from fastgsm.models import PatchModel
from fastgsm.models._files import save_model
from fastgsm.patches import sample_patches

N_HELD_OUT = 50_000
SEED = 0


class Recipe(NamedTuple):
    """How a prior is trained."""

    new_model: Callable[[], Any]
    n_patches: int


RECIPES = {
    "gsm": Recipe(lambda: GSM(n_scales=8), 400_000),
    "mogsm": Recipe(
        lambda: MoGSM(n_components=64, n_scales=8, random_state=SEED, verbose=1), 600_000
    ),
}

CARD = """\
# Model card: `{name}`

- **Model**: `{model!r}`, of 8x8 patches without their mean, in units of the image's data range.
- **Data**: {n_images} photographs in grey (ITU-R 601 luminance): 500x500 crops of the Kodak
  Lossless True Color Image Suite, released by Kodak for unrestricted use. {n_patches} patches at
  random places, half of them transposed.
- **Command**: `python -m fastgsm.priors.train FOLDER --prior {name}`, fastgsm {version},
  seed {seed}.
- **Held-out log-likelihood**: {held_out:.2f} nats per patch, by a model that was trained on every
  second photograph and scored on {n_held_out} patches of the others. The bundled one is trained
  on all.
- **File**: `{name}.npz`, float32.
"""


def main(argv: list[str] | None = None) -> int:
    """Train, save and describe the priors."""
    parser = argparse.ArgumentParser(description="Train the bundled priors.")
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--prior", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    args = parser.parse_args(argv)
    images = list(read_grey_images(args.folder).values())
    for name in args.prior:
        print(train(name, images, args.out))
    return 0


def train(name: str, images: Sequence[Any], folder: Path) -> str:
    """Train one prior, write it and its card, and return the card."""
    recipe = RECIPES[name]
    held_out = fit(recipe, images[::2]).score(patches(images[1::2], N_HELD_OUT))
    model = fit(recipe, images)
    save_model(model, folder / f"{name}.npz", np.float32)
    card = CARD.format(
        name=name,
        model=model,
        n_images=len(images),
        n_patches=f"{recipe.n_patches:,}",
        n_held_out=f"{N_HELD_OUT:,}",
        version=__version__,
        seed=SEED,
        held_out=held_out,
    )
    (folder / f"{name}.md").write_text(card)
    return card


def fit(recipe: Recipe, images: Sequence[Any]) -> PatchModel:
    """Fit a recipe's model to patches of the images, seen from two sides."""
    both_ways = [*images, *(image.T for image in images)]
    model: PatchModel = recipe.new_model().fit(patches(both_ways, recipe.n_patches))
    return model


def patches(images: Sequence[Any], n_patches: int) -> Any:
    """Draw patches without their mean."""
    return sample_patches(images, 8, n_patches, random_state=SEED).astype(np.float32)


if __name__ == "__main__":
    raise SystemExit(main())
