"""The command `fastgsm`: denoise a file, train a prior, compare the models, show a demo.

Results go to standard output; progress, warnings and errors to standard error. Exit status: 0, 2
for bad input (one line says what), 130 when interrupted. What `import fastgsm` does not bring, a
sub-command imports when it needs it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import numpy as np

# What a user can cause and put right; anything else is a bug and keeps its traceback.
USER_ERRORS = (ValueError, TypeError, OSError, ImportError, MemoryError, NotImplementedError)
BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

COMPILING = "fastgsm: compiling for the first use: up to a minute, once on this machine"

# Class of each model, and those of its options that can be given here.
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mvn": ("MVN", ()),
    "gsm": ("GSM", ("scales", "max_iter")),
    "gmm": ("GMM", ("components", "max_iter")),
    "mogsm": ("MoGSM", ("components", "scales", "max_iter")),
    "ica": ("ICA", ("scales", "max_iter")),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 for success, 2 for bad input, 130 after an interrupt.
    """
    try:
        try:
            with _tidy_stderr():
                args = _parser().parse_args(argv)
                with _say_when_compiling(args.quiet):
                    args.run(args)
        finally:
            sys.stdout.flush()  # here, so that a closed pipe is noticed here
    except KeyboardInterrupt:
        print("fastgsm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except USER_ERRORS as error:
        print(f"fastgsm: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _denoise(args: argparse.Namespace) -> None:
    from fastgsm import io

    image = io.read_image(args.input, max_pixels=args.max_pixels or io.MAX_PIXELS)
    io.check_output(args.output, image, source=args.input)

    import fastgsm

    options: dict[str, Any] = {"channel_axis": image.channel_axis}
    if args.data_range is not None:
        options["data_range"] = args.data_range
    if args.prior is not None:
        options["prior"] = _load_prior(args.prior)
    if args.quality is not None:
        options["quality"] = args.quality
    start = time.perf_counter()
    sigma, origin = args.sigma, "given"
    if sigma is None:
        sigma = fastgsm.estimate_sigma(image.array, channel_axis=image.channel_axis)
        origin = "estimated"
    clean = fastgsm.denoise(image.array, sigma, progress=not args.quiet, **options)
    seconds = time.perf_counter() - start
    io.write_image(args.output, replace(image, array=clean), source=args.input)
    if not args.quiet:
        size = _describe(image.array)
        unit = " grey levels" if image.array.dtype.kind in "iu" else ""
        print(f"denoised {size}: sigma {sigma:.4g}{unit} ({origin}), {seconds:.2f} s")


def _train(args: argparse.Namespace) -> None:
    from fastgsm import io

    output = _check_model_path(args.output, args.force)
    model = _new_model(args)
    images = io.read_grey_images(
        args.images, args.data_range, max_pixels=args.max_pixels or io.MAX_PIXELS
    )

    import fastgsm
    from fastgsm._validation import check_image_2d

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
    likelihood = model.score(X)
    model.save(output)
    if not args.quiet:
        side = args.patch_size
        patches = f"{len(X)} patches of {side}x{side}"
        print(f"trained {type(model).__name__} on {patches} in {seconds:.2f} s")
        print(f"images: {len(images)} (of colour ones, the luminance)")
        print(f"mean log-likelihood of the training patches: {likelihood:.3f} nats")
        print(f"wrote {args.output}")


def _compare(args: argparse.Namespace) -> None:
    from fastgsm import report

    report.compare(
        args.images, args.out, n_patches=args.patches, seed=args.seed, progress=not args.quiet
    )


def _demo(args: argparse.Namespace) -> None:
    from fastgsm import report

    report.demo(args.out)


def _load_prior(name_or_file: str) -> Any:
    """Give the name of a bundled prior as it is, and the model that a file holds."""
    import fastgsm

    names = fastgsm.list_priors()
    if name_or_file in names:
        return name_or_file
    if not Path(name_or_file).is_file():
        raise ValueError(
            f"--prior {name_or_file} is neither a file nor a bundled prior ({', '.join(names)})"
        )
    return fastgsm.load(name_or_file)


def _new_model(args: argparse.Namespace) -> Any:
    """Make the model that was asked for; an option that it does not have is an error."""
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


def _check_model_path(output: str, force: bool) -> Path:
    from fastgsm import io

    path = Path(output)
    if path.suffix != ".npz":
        raise ValueError(f"a model is written as .npz; give {path.with_suffix('.npz')}")
    io.check_output_path(path)
    if path.exists() and not force:
        raise ValueError(f"{path} exists; give another name, or --force to replace it")
    return path


def _describe(array: np.ndarray) -> str:
    height, width = array.shape[:2]
    return f"{width}x{height} {'grey' if array.ndim == 2 else 'colour'} {array.dtype}"


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"not enough memory{': ' if text else ''}{text}"
    return text or type(error).__name__


@contextmanager
def _tidy_stderr() -> Iterator[None]:
    """Show a warning as one line, without the place in the code that issued it."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"fastgsm: warning: {' '.join(str(message).split())}", file=sys.stderr)

    # tifffile logs details of a damaged file; the error says it in one line
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _say_when_compiling(quiet: bool) -> Iterator[None]:
    """Say once, when Numba starts to compile, why nothing else seems to happen for a while."""
    from numba.core import event

    class Listener(event.Listener):
        said = quiet

        def on_start(self, event: Any) -> None:
            if not self.said:
                self.said = True
                # The line overwrites a progress bar that may stand there.
                print(f"\r{COMPILING:<78}", file=sys.stderr, flush=True)

        def on_end(self, event: Any) -> None:
            """Nothing: how long it took shows by itself."""

    with event.install_listener("numba:compile", Listener()):
        yield


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are errors like any other: one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        import fastgsm

        print(f"fastgsm {fastgsm.__version__}")
        parser.exit()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


# argparse names the function in its message: "invalid integer value: 'x'"
_positive.__name__ = _seed.__name__ = "integer"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastgsm",
        description="Learn Gaussian patch priors from images, and denoise images with them.",
        epilog="examples:\n  fastgsm demo\n  fastgsm denoise noisy.png clean.png\n"
        "  fastgsm train photos/ -o mine.npz\n  fastgsm COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_denoise, _add_train, _add_compare, _add_demo):
        add(commands)
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str, examples: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_denoise(commands: Any) -> None:
    command = _add_command(
        commands,
        "denoise",
        _denoise,
        "denoise an image file",
        "  fastgsm denoise noisy.png clean.png\n"
        "  fastgsm denoise noisy.png clean.png --sigma 25\n"
        "  fastgsm denoise scan.tif clean.tif --prior mine.npz",
    )
    command.add_argument(
        "input",
        metavar="IN",
        help="PNG, JPEG, TIFF (8 or 16 bit, or float) or NPY file; never overwritten",
    )
    command.add_argument(
        "output",
        metavar="OUT",
        help="file to write, in the format of its extension; an existing one is replaced",
    )
    command.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="standard deviation of the noise in the file's own units: grey levels for 8 and 16 "
        "bit, 0 to 1 for floats (default: estimated from the image)",
    )
    _add_data_range(command)
    _add_max_pixels(command)
    command.add_argument(
        "--prior",
        metavar="NAME|FILE",
        help="a bundled prior, or a model written by 'fastgsm train' (default: by quality)",
    )
    command.add_argument(
        "--quality",
        choices=("fast", "balanced", "best"),
        help="speed or quality: fast restores every patch once, balanced (the default) takes "
        "several passes, best refines the result by similar patches of the image",
    )
    _add_quiet(command, "print nothing but warnings and errors")


def _add_train(commands: Any) -> None:
    command = _add_command(
        commands,
        "train",
        _train,
        "train a prior on image files",
        "  fastgsm train photos/ -o mine.npz\n"
        "  fastgsm train a.png b.png -o mine.npz --model gsm --scales 6\n"
        "  fastgsm train photos/ -o mine.npz --model gmm --components 64 --patches 200000",
    )
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files or folders (without their sub-folders); colour is turned into grey, by "
        "luminance",
    )
    _add_data_range(command)
    _add_max_pixels(command)
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="the model to write, .npz"
    )
    command.add_argument("--force", action="store_true", help="replace an existing model")
    command.add_argument("--model", choices=MODELS, default="gsm", help="default: %(default)s")
    command.add_argument(
        "--scales", type=_positive, metavar="J", help="scales (gsm, mogsm, ica; default: model's)"
    )
    command.add_argument(
        "--components", type=_positive, metavar="K", help="shapes (gmm, mogsm; default: model's)"
    )
    command.add_argument(
        "--max-iter", type=_positive, metavar="N", help="limit of EM iterations (default: model's)"
    )
    command.add_argument(
        "--patch-size",
        type=_positive,
        default=8,
        metavar="P",
        help="side of a patch in pixels (default: %(default)s)",
    )
    command.add_argument(
        "--patches",
        type=_positive,
        default=100_000,
        metavar="N",
        help="number of patches to learn from (default: %(default)s)",
    )
    command.add_argument(
        "--center",
        choices=("patch", "global", "none"),
        default="patch",
        help="what is subtracted from a patch: its own mean, the mean patch, nothing "
        "(default: %(default)s)",
    )
    _add_seed(command)
    _add_quiet(command, "print nothing but warnings and errors")


def _add_compare(commands: Any) -> None:
    command = _add_command(
        commands,
        "compare",
        _compare,
        "compare the five models in speed, likelihood and denoising",
        "  fastgsm compare\n  fastgsm compare --images photos/ --out study",
    )
    command.add_argument(
        "--images", metavar="DIR", help="folder of images (default: scikit-image's samples)"
    )
    command.add_argument(
        "--out",
        default="fastgsm-compare",
        metavar="DIR",
        help="folder for the report and pictures (default: %(default)s)",
    )
    command.add_argument(
        "--patches",
        type=_positive,
        default=10_000,
        metavar="N",
        help="number of patches to learn from (default: %(default)s)",
    )
    _add_seed(command)
    _add_quiet(command, "show no progress")


def _add_demo(commands: Any) -> None:
    command = _add_command(
        commands,
        "demo",
        _demo,
        "add noise to a sample image, denoise it, show before and after",
        "  fastgsm demo\n  fastgsm demo --out here",
    )
    command.add_argument(
        "--out",
        default="fastgsm-demo",
        metavar="DIR",
        help="folder for the pictures (default: %(default)s)",
    )
    command.set_defaults(quiet=False)


def _add_data_range(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-range",
        type=float,
        metavar="R",
        help="pixel value of white (default: 1 for floats, the type's maximum for integers)",
    )


def _add_max_pixels(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-pixels",
        type=_positive,
        metavar="N",
        help="refuse compressed images that claim more pixels (default: 178956970)",
    )


def _add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="start of the random numbers (default: %(default)s)",
    )


def _add_quiet(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--quiet", action="store_true", help=text)
