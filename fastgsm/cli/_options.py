"""The parser, and the options and results that several sub-commands share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from fastgsm.files.image_file import ImageFile
    from fastgsm.noise.model import NoiseModel

# Kinds of noise whose strength is estimated.
ESTIMATED_NOISE = ("auto", "white", "camera")

# The presets of `fastgsm.denoise`, and what the help says of them. They are repeated here because
# importing them takes too long for the help; a test compares them.
QUALITIES = {
    "fast": "fast makes four short passes, learnt from photographs",
    "balanced": "balanced (the default) makes several passes",
    "best": "best then refines the result by comparing similar patches",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are reported like all others: one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise the error, with a hint at the help."""
        raise ValueError(f"{message} (see {self.prog} --help)")


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, examples: str
) -> argparse.ArgumentParser:
    """Add a sub-command; ``run`` returns the exit status."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, quiet=False)
    return command


def _at_least(minimum: int) -> Callable[[str], int]:
    """Return a function that converts an argument to an integer of at least ``minimum``."""

    def integer(text: str) -> int:  # argparse shows its name: "invalid integer value: 'x'"
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"{text} is not {minimum} or more")
        return number

    return integer


positive, seed = _at_least(1), _at_least(0)


# Options that several sub-commands have, as arguments of `add_argument`.
SHARED: dict[str, dict[str, Any]] = {
    "--data-range": {
        "type": float,
        "metavar": "R",
        "help": "pixel value of white (default: 1 for floats, the type's maximum for integers)",
    },
    "--max-pixels": {
        "type": positive,
        "metavar": "N",
        "help": "refuse compressed images with more pixels (default: 178956970)",
    },
    "--patches": {
        "type": positive,
        "metavar": "N",
        "help": "number of patches to learn from (default: %(default)s)",
    },
    "--seed": {
        "type": seed,
        "default": 0,
        "metavar": "N",
        "help": "seed of the random numbers (default: %(default)s)",
    },
    "--force": {"action": "store_true", "help": "replace an existing file"},
    "--json": {"action": "store_true", "help": "print the result as JSON, for other programs"},
    "--quiet": {"action": "store_true", "help": "print only warnings and errors"},
}


def add_shared(command: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add shared options, with `changes` to their arguments."""
    for name in names:
        command.add_argument(name, **SHARED[name] | changes)


def prior(name_or_file: str) -> Any:
    """Return the name of a bundled prior unchanged, or the model from a file."""
    import fastgsm

    names = fastgsm.list_priors()
    if name_or_file in names:
        return name_or_file
    if not Path(name_or_file).is_file():
        raise ValueError(
            f"{name_or_file} is neither a file nor a bundled prior ({', '.join(names)})"
        )
    return fastgsm.load(name_or_file)


def noise(text: str) -> Any:
    """Convert the argument of --noise to a kind, a model or numbers, which the library checks."""
    if text in (*ESTIMATED_NOISE, "poisson"):
        return text
    if text.endswith(".json"):
        from fastgsm.noise import NoiseModel

        try:
            return NoiseModel.load(text)
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(one_line(error)) from None
    try:
        gain, offset, read_noise = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto, white, camera, poisson, three numbers "
            f"GAIN,OFFSET,READ_NOISE nor a .json file of a NoiseModel"
        ) from None
    return gain, offset, read_noise


def figures(
    args: argparse.Namespace,
    source: str | Path,
    output: str | Path,
    pages: list[ImageFile],
    noises: Sequence[NoiseModel | None],
    seconds: float,
) -> dict[str, Any]:
    """Return what to report about a denoised image, in types that JSON can hold.

    The noise of a page that failed is None.
    """
    array = pages[0].array
    estimated = args.sigma is None and args.noise in (None, *ESTIMATED_NOISE)
    return {
        "input": str(source),
        "output": str(output),
        "pages": len(pages),
        "width": array.shape[1],
        "height": array.shape[0],
        "channels": pages[0].n_channels,
        "dtype": str(array.dtype),
        "failed_pages": [i for i, noise in enumerate(noises, 1) if noise is None],
        "noise": [None if noise is None else noise.kind for noise in noises],
        "sigma": [None if noise is None else noise.level for noise in noises],
        "photons": [None if noise is None else noise.photons for noise in noises],
        "noise_origin": "estimated" if estimated else "given",
        "seconds": seconds,
    }


def report(args: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Print the figures of the only image."""
    if args.json:
        print_json({"images": [figures], "failed": 0, "seconds": figures["seconds"]})
    else:
        say(args, f"denoised {sentence(figures)}")


def sentence(figures: dict[str, Any]) -> str:
    """Return the result of `figures` as a sentence for people."""
    failed = figures["failed_pages"]
    known = {
        name: [value for i, value in enumerate(figures[name], 1) if i not in failed]
        for name in ("noise", "sigma", "photons")
    }
    n = figures["channels"]
    kind = {1: "grey", 3: "colour"}.get(n, f"{n}-channel")
    size = f"{figures['width']}x{figures['height']} {kind} {figures['dtype']}"
    if figures["pages"] > 1:
        pages = f"{figures['pages']} pages{f', {len(failed)} of which failed' if failed else ''}"
        size = f"{pages}, the first {size}"
    kinds = " and ".join(f"{kind} noise" for kind in dict.fromkeys(known["noise"]))
    low, high = (f"{extreme(known['sigma']):.4g}" for extreme in (min, max))
    strength = f"sigma {low if low == high else f'{low} to {high}'}"
    if not figures["dtype"].startswith("float"):
        strength += " grey levels"
    photons = known["photons"]
    if photons[0] and photons == [photons[0]] * len(photons):
        strength = "gain {:.4g}, offset {:.4g}, read noise {:.4g}".format(*photons[0])
    origin, seconds = figures["noise_origin"], figures["seconds"]
    return f"{size}: {kinds}, {strength} ({origin}), {seconds:.2f} s"


def print_json(result: Any) -> None:
    """Print a result for other programs."""
    print(json.dumps(result, indent=1, allow_nan=False))


def say(args: argparse.Namespace, line: str) -> None:
    """Print a line for people unless --quiet is given, on standard error if the result is JSON."""
    if not args.quiet:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)


def check_new_file(output: str, suffix: str, what: str, force: bool) -> Path:
    """Return the path of a file, or raise, before any work, if it cannot or must not be written."""
    from fastgsm.files.paths import check_output_path

    path = Path(output)
    if path.suffix != suffix:
        raise ValueError(f"{what} is written as {suffix}; give {path.with_suffix(suffix)}")
    check_output_path(path)
    if path.exists() and not force:
        raise ValueError(f"{path} exists; give another name, or --force to replace it")
    return path


def one_line(error: BaseException) -> str:
    """Return what went wrong as one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"not enough memory{': ' if text else ''}{text}"
    return text or type(error).__name__
