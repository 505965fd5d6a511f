"""``fastgsm info``, ``plot`` and ``priors``: show what a model holds."""

from __future__ import annotations

import argparse
import math
from typing import Any

from fastgsm.cli import _options

WHAT = ("likelihood", "scales", "eigenvectors", "samples")


def add_to(commands: Any) -> None:
    """Add the sub-commands."""
    command = _options.add_command(
        commands,
        "info",
        _info,
        "show the kind, size and training of a model",
        "  fastgsm info mine.npz\n  fastgsm info mogsm --json",
    )
    command.add_argument("model", metavar="MODEL", help="model file, or name of a bundled prior")
    _options.add_shared(command, "--json")
    command = _options.add_command(
        commands,
        "plot",
        _plot,
        "draw the training of models, or what a model has learnt",
        "  fastgsm plot gsm.npz mogsm.npz -o both.png\n"
        "  fastgsm plot mine.npz -o shapes.png --what eigenvectors",
    )
    command.add_argument(
        "models", nargs="+", metavar="MODEL", help="model files, or names of bundled priors"
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="picture to write (.png)"
    )
    _options.add_shared(command, "--force")
    command.add_argument(
        "--what",
        choices=WHAT,
        default="likelihood",
        help="the log-likelihood at each iteration of EM (the default); or, for one model, its "
        "scales and weights, its leading eigenvectors, or random patches from it",
    )
    command = _options.add_command(
        commands,
        "priors",
        _priors,
        "list the bundled priors and cascades, with the key facts of their model cards",
        "  fastgsm priors\n  fastgsm priors --json",
    )
    _options.add_shared(command, "--json")


def _load(name_or_file: str) -> Any:
    import fastgsm

    model = _options.prior(name_or_file)
    return fastgsm.load_prior(model) if isinstance(model, str) else model


def describe(model: Any) -> dict[str, Any]:
    """Return the facts about a model, in types that JSON can hold."""
    from fastgsm.models._save import plain_options

    side = math.isqrt(model.n_features_in_)
    mixture = model.eigenvalues_.ndim == 2  # an ICA has one basis, and scales for each coordinate
    n_shapes = len(model.eigenvalues_) if mixture else 1
    return {
        "model": type(model).__name__,
        "features": model.n_features_in_,
        "patch_size": side if side**2 == model.n_features_in_ else None,
        "shapes": n_shapes,
        "scales": model.scales_.size // n_shapes if mixture else model.scales_.shape[1],
        "log_likelihood": model.lower_bound_ if model.lower_bounds_ else None,
        "iterations": model.n_iter_,
        "converged": model.converged_,
        "options": plain_options(model),
    }


def _info(args: argparse.Namespace) -> int:
    facts = describe(_load(args.model))
    if args.json:
        _options.print_json(facts)
        return 0
    side = facts["patch_size"]
    patches = f"{side}x{side} pixels" if side else f"{facts['features']} features, not square"
    options = ", ".join(f"{name}={value!r}" for name, value in facts["options"].items())
    likelihood, training = "not known", "none; the parameters were given"
    if facts["log_likelihood"] is not None:
        likelihood = f"{facts['log_likelihood']:.3f} nats per training patch"
        end = "converged" if facts["converged"] else "stopped before it converged"
        training = f"{facts['iterations']} iterations, {end}"
    lines = {
        "model": facts["model"],
        "shapes": facts["shapes"],
        "scales": facts["scales"],
        "patches": patches,
        "log-likelihood": likelihood,
        "training": training,
        "options": options or "none",
    }
    for name, value in lines.items():
        print(f"{name + ':':16}{value}")
    return 0


def _plot(args: argparse.Namespace) -> int:
    from fastgsm import plot
    from fastgsm.files.paths import atomic_path

    output = _options.check_new_file(args.output, ".png", "a picture", args.force)
    models = {name: _load(name) for name in args.models}
    if args.what != "likelihood" and len(models) > 1:
        raise ValueError(
            f"--what {args.what} draws one model, not {len(models)}; draw each by itself"
        )
    figure = plot.new_figure(8, 4.5, layout="constrained")
    what = models if args.what == "likelihood" else next(iter(models.values()))
    getattr(plot, f"plot_{args.what}")(what, ax=figure.add_subplot())
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=150)
    print(f"wrote {output}")
    return 0


def _priors(args: argparse.Namespace) -> int:
    import fastgsm
    from fastgsm.priors import list_cascades, read_card

    facts: list[dict[str, Any]] = []
    for name in fastgsm.list_priors():
        card = read_card(name)
        held_out = float(card["Held-out log-likelihood"].split()[0])
        facts.append(
            {"name": name, **describe(fastgsm.load_prior(name)), "of": card["Of"].rstrip("."),
             "held_out_log_likelihood": held_out}
        )  # fmt: skip
    cascades = [_cascade(name) for name in list_cascades()]
    if args.json:
        _options.print_json([*facts, *cascades])
        return 0
    for prior in facts:
        side = prior["patch_size"]
        print(
            f"{prior['name'] + ':':15}{prior['model']} of {prior['of']}\n"
            f"{'':15}{prior['shapes']} shapes x {prior['scales']} scales, {side}x{side} patches, "
            f"held-out log-likelihood {prior['held_out_log_likelihood']} nats"
        )
    for cascade in cascades:
        side = cascade["patch_size"]
        print(
            f"{cascade['name'] + ':':21}Cascade of {cascade['of']}\n"
            f"{'':21}{cascade['stages']} stages x {cascade['components']} Gaussians, {side}x{side} "
            f"patches, held-out PSNR {cascade['held_out_psnr']} dB at noise 25"
        )
    return 0


def _cascade(name: str) -> dict[str, Any]:
    """Return the key facts of a bundled cascade."""
    from fastgsm.priors import load_cascade, read_card

    cascade, card = load_cascade(name), read_card(name)
    return {
        "name": name,
        "model": "Cascade",
        "of": card["Of"].rstrip("."),
        "stages": cascade.n_stages,
        "components": cascade.log_weights.shape[1],
        "patch_size": cascade.patch_size,
        "held_out_psnr": float(card["Held-out PSNR"].split(" dB")[0].split(", ")[2]),
    }
