"""``fastgsm compare`` and ``fastgsm demo``: run :mod:`fastgsm.report`."""

from __future__ import annotations

import argparse
from typing import Any

from fastgsm.cli import _options


def add_to(commands: Any) -> None:
    """Add the sub-commands."""
    _add_compare(commands)
    _add_demo(commands)


def _add_compare(commands: Any) -> None:
    command = _options.add_command(
        commands,
        "compare",
        _compare,
        "compare the models in speed, likelihood and denoising",
        "  fastgsm compare\n  fastgsm compare --images photos/ --out study",
    )
    command.add_argument(
        "--images", metavar="DIR", help="folder of images (default: sample images of scikit-image)"
    )
    command.add_argument(
        "--out",
        default="fastgsm-compare",
        metavar="DIR",
        help="folder for the report and pictures (default: %(default)s)",
    )
    command.add_argument(
        "--patches",
        type=_options.positive,
        default=10_000,
        metavar="N",
        help="number of patches to learn from (default: %(default)s)",
    )
    _options.add_seed(command)
    _options.add_quiet(command, "do not show progress")


def _add_demo(commands: Any) -> None:
    command = _options.add_command(
        commands,
        "demo",
        _demo,
        "add noise to a sample image, denoise it, and show before and after",
        "  fastgsm demo\n  fastgsm demo --out here",
    )
    command.add_argument(
        "--out",
        default="fastgsm-demo",
        metavar="DIR",
        help="folder for the pictures (default: %(default)s)",
    )


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
