"""From the study's figures to findings in plain words.

Every sentence is chosen, and every number in it filled in, by comparing the figures of this run.
So another winner gives another text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Results = Mapping[str, Any]

# Pairs of models that differ in one ingredient, so that it explains a difference between them: the
# model with it, the model without it, the ingredient, and how it helps if it does.
CONTRASTS = {
    ("GSM", "MVN"): (
        "scales",
        "both have the same covariance, but GSM adapts its Wiener filter to the contrast of each "
        "patch",
    ),
    ("GMM", "MVN"): (
        "several covariances",
        "the covariances of GMM differ in shape and in contrast, while MVN has one for all patches",
    ),
    ("MoGSM", "GSM"): (
        "shapes",
        "both have scales, but MoGSM adds covariances for several kinds of patch",
    ),
    ("MoGSM", "GMM"): (
        "scales for each shape",
        "in MoGSM every shape serves at any contrast, while GMM has to learn one for each",
    ),
    ("ICA", "MVN"): (
        "a scale per coordinate",
        "both have the same eigenvectors, but ICA expects coordinates that are mostly small and "
        "at times large",
    ),
    ("GSM", "ICA"): (
        "one scale for all coordinates",
        "the coordinates of a patch are large or small together, which ICA cannot express, because "
        "it assumes that they are independent",
    ),
}
NOTICEABLE_GAP = 2.0  # nats per patch
RARE = 0.01  # components of less weight say little about the scales in use


def verdict(results: Results) -> list[str]:
    """Return the findings, one paragraph each, the most important first."""
    best = max(results["models"], key=lambda name: psnr(results, name).mean())
    # The reasons why the best denoiser beats its relatives come first.
    reasons = sorted(contrasts(results), key=lambda contrast: contrast["with"] != best)
    findings = [
        _best_denoiser(results),
        _best_likelihood(results),
        *(_reason(results, contrast) for contrast in reasons),
        _generalisation(results),
        _against_noise(results),
        _against_center(results),
        _cost(results),
    ]
    return [finding for finding in findings if finding]


def contrasts(results: Results) -> list[dict[str, Any]]:
    """Return the gain from each ingredient: dB at each noise level, nats per held-out patch."""
    return [
        {
            "with": a,
            "without": b,
            "ingredient": ingredient,
            "psnr": (psnr(results, a) - psnr(results, b)).tolist(),
            "log_likelihood": held_out(results, a) - held_out(results, b),
        }
        for (a, b), (ingredient, _) in CONTRASTS.items()
        if a in results["models"] and b in results["models"]
    ]


def psnr(results: Results, model: str, aggregation: str = "mean") -> NDArray[np.float64]:
    """Return a model's PSNR at each noise level, averaged over the test images."""
    return np.array(results["models"][model]["denoising"][aggregation]["psnr"])


def held_out(results: Results, model: str) -> float:
    """Return a model's mean log-likelihood per held-out patch, in nats."""
    return float(results["models"][model]["log_likelihood_test"])


def _best_denoiser(results: Results) -> str:
    levels = results["settings"]["noise_levels"]
    quality = {name: psnr(results, name) for name in results["models"]}
    winners = [max(quality, key=lambda name: quality[name][i]) for i in range(len(levels))]
    ranking = sorted(quality, key=lambda name: -quality[name].mean())
    first, second = ranking[0], ranking[min(1, len(ranking) - 1)]
    if len(set(winners)) > 1:
        won = {name: np.array(winners) == name for name in dict.fromkeys(winners)}
        lead = quality[first].mean() - quality[second].mean()
        return (
            f"No model denoises best at every noise level: {_cases(results, won)}. Averaged over "
            f"the levels, {first} is best, {lead:.2f} dB above {second}."
        )
    best = f"{first} denoises best at {_levels(results)}"
    if len(ranking) == 1:
        return f"{best}: no other model took part."
    ours, theirs = (
        np.array(results["models"][name]["denoising"]["mean"]["psnr_per_image"])
        for name in (first, second)
    )
    return (
        f"{best}. Its PSNR is {_range(quality[first] - quality[second], 'dB')} above that of the "
        f"second, {second}, and is the higher one for {(ours > theirs).sum()} of the {ours.size} "
        f"noisy test images."
    )


def _best_likelihood(results: Results) -> str:
    ranking = sorted(results["models"], key=lambda name: -held_out(results, name))
    first = ranking[0]
    best = (
        f"{first} explains held-out patches best: a mean log-likelihood of "
        f"{held_out(results, first):.1f} nats per patch"
    )
    rivals = [
        f"{held_out(results, first) - held_out(results, name):.1f} more than {name}"
        for name in dict.fromkeys((ranking[min(1, len(ranking) - 1)], ranking[-1]))
        if name != first
    ]
    return f"{best}, {' and '.join(rivals)}." if rivals else f"{best}."


def _reason(results: Results, contrast: Mapping[str, Any]) -> str:
    """Return how the ingredient that two models differ in changes the results, and why it helps."""
    a, b = contrast["with"], contrast["without"]
    gains, nats = np.array(contrast["psnr"]), contrast["log_likelihood"]
    likelihood = (
        f"held-out patches are {abs(nats):.1f} nats {'more' if nats > 0 else 'less'} likely"
    )
    if (gains > 0).all():
        cause = CONTRASTS[a, b][1] + (_found_scales(results) if (a, b) == ("GSM", "MVN") else "")
        joint = "and" if nats > 0 else "but"
        sizes = _shapes(results, a, b)
        return f"{a}{sizes} beats {b} by {_range(gains, 'dB')}, {joint} {likelihood}: {cause}."
    joint = "although" if nats > 0 else "and"
    if (gains <= 0).all():
        return (
            f"{a} does not beat {b}: it is {_range(-gains, 'dB')} below, {joint} {likelihood}. "
            f"What sets it apart ({contrast['ingredient']}) does not pay here."
        )
    better, worse = _levels(results, gains > 0), _levels(results, gains <= 0)
    return (
        f"{a} beats {b} at {better} (by up to {gains.max():.2f} dB) but not at {worse} (up to "
        f"{-gains.min():.2f} dB below); {likelihood}."
    )


def _shapes(results: Results, a: str, b: str) -> str:
    """Return how many shapes two models have, if both have several and the numbers differ."""
    counts = [results["models"][name]["parameters"].get("n_components") for name in (a, b)]
    return "" if None in counts or counts[0] == counts[1] else " ({} shapes to {})".format(*counts)


def _found_scales(results: Results) -> str:
    """Return the range of contrasts that GSM found in the training patches."""
    gsm = results["models"]["GSM"]
    if gsm["scales"] is None or gsm["weights"] is None:
        return ""
    weights, scales = np.ravel(gsm["weights"]), np.ravel(gsm["scales"])
    used = np.sqrt(scales[weights >= RARE])
    if used.size < 2:
        return ""
    return f" (its scales span a factor of {used.max() / used.min():.0f} in contrast)"


def _generalisation(results: Results) -> str:
    """Return which model fits its training patches better than others, or "" if none does."""
    gaps = {
        name: figures["log_likelihood_train"] - figures["log_likelihood_test"]
        for name, figures in results["models"].items()
    }
    worst, least = max(gaps, key=lambda name: gaps[name]), min(gaps, key=lambda name: gaps[name])
    if gaps[worst] <= 0 or gaps[worst] - gaps[least] < NOTICEABLE_GAP:
        return ""
    n_patches = results["settings"]["n_patches"]
    return (
        f"From training to held-out patches, the log-likelihood of {worst} "
        f"{_change(gaps[worst])} nats, that of {least} {_change(gaps[least])}: {worst} has in part "
        f"learnt its {n_patches:,} patches by heart."
    )


def _against_noise(results: Results) -> str:
    """Return whether denoising lowers the error."""
    noisy = np.array(results["noisy"]["mse"])
    failures = {
        name: np.array(figures["denoising"]["mean"]["mse"]) >= noisy
        for name, figures in results["models"].items()
    }
    if exceptions := _cases(results, failures):
        return f"Not every model lowers the error; the exceptions: {exceptions}."
    return f"Every model lowers the error at {_levels(results)}."


def _against_center(results: Results) -> str:
    """Compare averaging all estimates of a pixel with using only one."""
    gains = {
        name: psnr(results, name) - psnr(results, name, "center") for name in results["models"]
    }
    low, high = min(g.min() for g in gains.values()), max(g.max() for g in gains.values())
    if low > 0:
        return (
            "Averaging the estimates of all patches that cover a pixel beats using only the patch "
            f"centred on it, for every model, by {_range(np.array([low, high]), 'dB')}."
        )
    exceptions = _cases(results, {name: gain <= 0 for name, gain in gains.items()})
    return (
        f"Averaging the estimates of all patches that cover a pixel gains up to {high:.2f} dB over "
        f"using only the patch centred on it, but loses up to {-low + 0.0:.2f} dB with "
        f"{exceptions}."
    )


def _cost(results: Results) -> str:
    """Return which models are the quickest to learn and to use, and what the best one costs."""
    models = results["models"]
    learning = {name: figures["fit_seconds"] for name, figures in models.items()}
    using = {name: f["denoising"]["mean"]["seconds_per_image"] for name, f in models.items()}
    learner, user = min(learning, key=lambda n: learning[n]), min(using, key=lambda n: using[n])
    best = max(models, key=lambda name: psnr(results, name).mean())
    quick = (
        f"The quickest to learn is {learner} ({seconds(learning[learner])}), the quickest to "
        f"denoise with is {user} ({seconds(using[user])} an image)"
    )
    if best == learner == user:
        return f"{quick}: the best denoiser is also the cheapest."
    return (
        f"{quick}; {best}, the best denoiser on average, takes {seconds(learning[best])} to learn "
        f"and {seconds(using[best])} an image."
    )


def _cases(results: Results, where: Mapping[str, NDArray[np.bool_]]) -> str:
    """Return the models and the noise levels at which something is true of them."""
    true = {name: at for name, at in where.items() if at.any()}
    return "; ".join(f"{name} at {_levels(results, at)}" for name, at in true.items())


def _levels(results: Results, at: NDArray[np.bool_] | slice = slice(None)) -> str:
    """Return 'noise 0.1', 'noise 0.1 and 0.2', 'noise 0.01, 0.1 and 0.2'."""
    *most, last = [f"{level:g}" for level in np.array(results["settings"]["noise_levels"])[at]]
    return f"noise {', '.join(most)} and {last}" if most else f"noise {last}"


def _range(values: NDArray[np.float64], unit: str) -> str:
    """Return '0.20 to 0.35 dB', or '0.20 dB' where both ends are the same."""
    ends = np.round([values.min(), values.max()], 2) + 0.0  # turns -0 into 0
    low, high = (f"{end:.2f}" for end in ends)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _change(gap: float) -> str:
    return f"falls by {gap:.1f}" if gap > 0 else f"rises by {-gap:.1f}"


def seconds(value: float) -> str:
    """Return a duration with three significant figures, in milliseconds if short."""
    number, unit = (value, "s") if value >= 1 else (value * 1000, "ms")
    decimals = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{decimals}f} {unit}"
