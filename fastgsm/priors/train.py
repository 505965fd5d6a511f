"""Train the bundled priors: ``python -m fastgsm.priors.train FOLDER [--out FOLDER]``.

Deterministic: the same photographs give the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fastgsm import GSM, __version__
from fastgsm.io import read_grey_images
from fastgsm.models._files import save_model
from fastgsm.patches import sample_patches

N_PATCHES = 400_000
N_HELD_OUT = 50_000
SEED = 0

CARD = """\
# Model card: `gsm`

- **Model**: `{model!r}`, of 8x8 patches without their mean, in units of the image's data range.
- **Data**: {n_images} photographs in grey (ITU-R 601 luminance): 500x500 crops of the Kodak
  Lossless True Color Image Suite, released by Kodak for unrestricted use. {n_patches} patches at
  random places.
- **Command**: `python -m fastgsm.priors.train FOLDER`, fastgsm {version}, seed {seed}.
- **Held-out log-likelihood**: {held_out:.2f} nats per patch, by a model that was trained on every
  second photograph and scored on {n_held_out} patches of the others. The bundled one is trained
  on all.
- **Scales** (r2): {scales}.
- **File**: `gsm.npz`, float32.
"""


def main(argv: list[str] | None = None) -> int:
    """Train, save and describe the priors."""
    parser = argparse.ArgumentParser(description="Train the bundled priors.")
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    args = parser.parse_args(argv)
    images = list(read_grey_images(args.folder).values())
    half = GSM(n_scales=8).fit(sample_patches(images[::2], 8, N_PATCHES, random_state=SEED))
    held_out = half.score(sample_patches(images[1::2], 8, N_HELD_OUT, random_state=SEED))
    model = GSM(n_scales=8).fit(sample_patches(images, 8, N_PATCHES, random_state=SEED))
    save_model(model, args.out / "gsm.npz", np.float32)
    card = CARD.format(
        model=model,
        n_images=len(images),
        n_patches=f"{N_PATCHES:,}",
        n_held_out=f"{N_HELD_OUT:,}",
        version=__version__,
        seed=SEED,
        held_out=held_out,
        scales=", ".join(f"{r2:.3g}" for r2 in model.scales_),
    )
    (args.out / "gsm.md").write_text(card)
    print(card)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
