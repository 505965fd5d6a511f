"""``fastgsm compare`` and ``fastgsm demo``: run :mod:`fastgsm.report`."""

from __future__ import annotations

import argparse
from typing import Any

from fastgsm.cli import _options


def add_to(commands: Any) -> None:
    """Add the sub-commands."""
    compare = _options.add_command(
        commands,
        "compare",
        _compare,
        "compare the models in speed, likelihood and denoising",
        "  fastgsm compare\n  fastgsm compare --images photos/ --out study",
    )
    compare.add_argument(
        "--images", metavar="DIR", help="folder of images (default: sample images of scikit-image)"
    )
    _add_out(compare, "fastgsm-compare", "the report and pictures")
    _options.add_shared(compare, "--patches", default=10_000)
    _options.add_shared(compare, "--seed")
    _options.add_shared(compare, "--quiet", help="do not show progress")
    demo = _options.add_command(
        commands,
        "demo",
        _demo,
        "add noise to a sample image, denoise it, and show before and after",
        "  fastgsm demo\n  fastgsm demo --out here",
    )
    _add_out(demo, "fastgsm-demo", "the pictures")


def _add_out(command: argparse.ArgumentParser, folder: str, content: str) -> None:
    text = f"folder for {content} (default: %(default)s)"
    command.add_argument("--out", default=folder, metavar="DIR", help=text)


def _compare(args: argparse.Namespace) -> int:
    from fastgsm import report

    report.compare(
        args.images, args.out, n_patches=args.patches, seed=args.seed, progress=not args.quiet
    )
    return 0


def _demo(args: argparse.Namespace) -> int:
    from fastgsm import report

    report.demo(args.out)
    return 0
