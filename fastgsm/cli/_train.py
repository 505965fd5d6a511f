"""``fastgsm train``: learn a prior from image files."""

from __future__ import annotations

import argparse
import time
from typing import Any

from fastgsm._registry import MODELS
from fastgsm.cli import _options

KINDS = {name.lower(): entry for name, entry in MODELS.items()}

# The models' options that set a size or the number of iterations: flag, metavariable, meaning.
SIZES = {
    "n_scales": ("--scales", "J", "number of scales"),
    "n_components": ("--components", "K", "number of shapes"),
    "max_iter": ("--max-iter", "N", "largest number of EM iterations"),
}

EXAMPLES = """\
  fastgsm train photos/ -o mine.npz
  fastgsm train a.png b.png -o mine.npz --model gsm --scales 6
  fastgsm train photos/ -o mine.npz --model gmm --components 64 --patches 200000"""


def add_to(commands: Any) -> None:
    """Add the sub-command."""
    command = _options.add_command(commands, "train", run, "train a prior on image files", EXAMPLES)
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files or folders (without their sub-folders); colour images are converted to grey "
        "(luminance)",
    )
    _options.add_shared(command, "--data-range", "--max-pixels")
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="model file to write (.npz)"
    )
    _options.add_shared(command, "--force")
    command.add_argument(
        "--model", choices=KINDS, default="gsm", help="kind of model (default: %(default)s)"
    )
    for name, (flag, metavar, meaning) in SIZES.items():
        kinds = ", ".join(kind for kind, entry in KINDS.items() if entry.takes(name))
        command.add_argument(
            flag,
            dest=name,
            type=_options.positive,
            metavar=metavar,
            help=f"{meaning} ({kinds}; default: the model's)",
        )
    command.add_argument(
        "--patch-size",
        type=_options.positive,
        default=8,
        metavar="P",
        help="side of a patch in pixels (default: %(default)s)",
    )
    _options.add_shared(command, "--patches", default=100_000)
    command.add_argument(
        "--center",
        choices=("patch", "global", "none"),
        default="patch",
        help="what is subtracted from a patch: its own mean, the mean patch, or nothing "
        "(default: %(default)s)",
    )
    _options.add_shared(command, "--seed", "--json", "--quiet")


def run(args: argparse.Namespace) -> int:
    """Train a model and write it."""
    import fastgsm
    from fastgsm import io
    from fastgsm._images import check_image_2d

    output = _options.check_new_file(args.output, ".npz", "a model", args.force)
    model = _new_model(args)
    images = io.read_grey_images(
        args.images, args.data_range, max_pixels=args.max_pixels or io.MAX_PIXELS
    )
    for file, image in images.items():
        check_image_2d(image, args.patch_size, str(file))
    X = fastgsm.sample_patches(
        images.values(),
        patch_size=args.patch_size,
        n_patches=args.patches,
        center=None if args.center == "none" else args.center,
        random_state=args.seed,
    )
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    likelihood = float(model.score(X))
    model.save(output)
    if args.json:
        figures = {
            "output": args.output,
            "model": type(model).__name__,
            "images": [str(file) for file in images],
            "patches": len(X),
            "patch_size": args.patch_size,
            "log_likelihood": likelihood,
            "seconds": seconds,
        }
        _options.print_json(figures)
    else:
        patches = f"{len(X)} patches of {args.patch_size}x{args.patch_size}"
        _options.say(
            args,
            f"trained {type(model).__name__} on {patches} in {seconds:.2f} s\n"
            f"images: {len(images)} (colour images as luminance)\n"
            f"mean log-likelihood of the training patches: {likelihood:.3f} nats\n"
            f"wrote {args.output}",
        )
    return 0


def _new_model(args: argparse.Namespace) -> Any:
    """Return the requested model, not yet fitted; raise for an option that it does not have."""
    import fastgsm

    entry = KINDS[args.model]
    sizes = {name: value for name in SIZES if (value := getattr(args, name)) is not None}
    for name in sizes:
        if not entry.takes(name):
            flag, *_ = SIZES[name]
            raise ValueError(f"{flag} does not apply to --model {args.model}; leave it out")
    model: type[Any] = getattr(fastgsm, entry.name)
    return model(**sizes, random_state=args.seed, verbose=int(not args.quiet))
