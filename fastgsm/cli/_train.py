"""``fastgsm train``: learn a prior from image files."""

from __future__ import annotations

import argparse
import time
from typing import Any

from fastgsm.cli import _options

# The class of each model, and those of its options that can be set here. They are repeated because
# importing the models takes too long for the help; a test compares them.
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mvn": ("MVN", ()),
    "gsm": ("GSM", ("scales", "max_iter")),
    "gmm": ("GMM", ("components", "max_iter")),
    "mogsm": ("MoGSM", ("components", "scales", "max_iter")),
    "ica": ("ICA", ("scales", "max_iter")),
}

SIZES = {
    "--scales": ("J", "number of scales (gsm, mogsm, ica; default: the model's)"),
    "--components": ("K", "number of shapes (gmm, mogsm; default: the model's)"),
    "--max-iter": ("N", "largest number of EM iterations (all but mvn; default: the model's)"),
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
        "--model", choices=MODELS, default="gsm", help="kind of model (default: %(default)s)"
    )
    for name, (metavar, text) in SIZES.items():
        command.add_argument(name, type=_options.positive, metavar=metavar, help=text)
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
        _options.say(args, f"trained {type(model).__name__} on {patches} in {seconds:.2f} s")
        _options.say(args, f"images: {len(images)} (colour images as luminance)")
        _options.say(args, f"mean log-likelihood of the training patches: {likelihood:.3f} nats")
        _options.say(args, f"wrote {args.output}")
    return 0


def _new_model(args: argparse.Namespace) -> Any:
    """Return the requested model, not yet fitted; raise for an option that it does not have."""
    import fastgsm

    class_name, accepted = MODELS[args.model]
    params = {"random_state": args.seed, "verbose": int(not args.quiet)}
    for option in ("components", "scales", "max_iter"):
        value = getattr(args, option)
        if value is None:
            continue
        if option not in accepted:
            flag = "--" + option.replace("_", "-")
            raise ValueError(f"{flag} does not apply to --model {args.model}; leave it out")
        params[option if option == "max_iter" else f"n_{option}"] = value
    return getattr(fastgsm, class_name)(**params)
