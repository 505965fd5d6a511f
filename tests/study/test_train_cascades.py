"""Training of cascades: the derivatives, the start, and that the loss falls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import fastgsm
from fastgsm._progress import Progress
from fastgsm.models.cascade import Cascade
from fastgsm.study import train_cascades
from fastgsm.study.cascade_gradients import gradients, run
from fastgsm.study.train_cascades import LEARNT, MARGIN, Recipe, descend, loss_gradient
from tests.restore.test_cascade import naive, random_cascade

SIGMA = 0.2
STEP = 1e-5


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two clean and two noisy images."""
    rng = np.random.default_rng(3)
    clean = rng.standard_normal((2, 20, 24))
    return clean, clean + SIGMA * rng.standard_normal(clean.shape)


def test_run_restores_as_the_method_does() -> None:
    cascade, (_, noisy) = random_cascade(), scene()
    result = run(cascade, noisy, SIGMA)[0]
    np.testing.assert_allclose(result[1], naive(cascade, noisy[1], SIGMA), atol=1e-8)


@pytest.mark.parametrize("name", LEARNT)
def test_gradients_are_those_of_the_loss(name: str) -> None:
    cascade, (clean, noisy) = random_cascade(), scene()
    restored, stages = run(cascade, noisy, SIGMA)
    by = gradients(cascade, noisy, SIGMA, stages, 2 * (restored - clean))[name]
    values = getattr(cascade, name)
    direction = np.random.default_rng(4).standard_normal(values.shape)

    def loss(factor: float) -> float:
        moved = replace(cascade, **{name: values + factor * direction})
        return float(np.square(run(moved, noisy, SIGMA)[0] - clean).sum())

    wanted = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    np.testing.assert_allclose((by * direction).sum(), wanted, rtol=1e-5, atol=1e-6)


def test_loss_gradient() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((3, 24, 30))
    direction = rng.standard_normal(errors.shape)

    def loss(errors: np.ndarray) -> float:
        inner = errors[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        return float(np.log(np.square(inner).mean(axis=(1, 2))).mean())

    wanted = (loss(errors + STEP * direction) - loss(errors - STEP * direction)) / (2 * STEP)
    np.testing.assert_allclose((loss_gradient(errors) * direction).sum(), wanted, rtol=1e-6)


def test_diagonal_mixture_learns_by_em() -> None:
    rng = np.random.default_rng(0)
    stds = np.where(np.arange(4000)[:, None] < 1000, [3.0, 0.2], [0.1, 1.0])
    squares = np.square(stds * rng.standard_normal((4000, 2)))
    weights, variances = train_cascades.diagonal_mixture(squares, 2)
    order = np.argsort(weights)
    np.testing.assert_allclose(weights[order], [0.25, 0.75], atol=0.03)
    np.testing.assert_allclose(np.sqrt(variances[order]), [[3, 0.2], [0.1, 1]], rtol=0.1)

    def likelihood(n_iterations: int) -> float:
        w, v = train_cascades.diagonal_mixture(squares, 2, n_iterations)
        densities = norm.pdf(np.sqrt(squares)[:, None], scale=np.sqrt(v)).prod(axis=2)
        return float(np.log(densities @ w).mean())

    values = [likelihood(n) for n in (0, 1, 2, 4, 40)]
    assert values == sorted(values)


def small(monkeypatch: pytest.MonkeyPatch) -> tuple[list[np.ndarray], Recipe]:
    """Planes and a recipe that are trained in a moment."""
    monkeypatch.setattr(train_cascades, "EM_PATCHES", 2000)
    planes = [fastgsm.datasets.dead_leaves((64, 64), random_state=i) for i in range(2)]
    recipe = Recipe((False, True, False), 4, 60, n_crops=2, crop=32)
    return [plane.astype(np.float32) for plane in planes], recipe


def loss_of(cascade: Cascade, plane: np.ndarray) -> float:
    noisy = fastgsm.datasets.add_noise(plane, 0.1, random_state=0).astype(np.float32)
    return float(np.square(run(cascade, noisy[None], 0.1)[0] - plane).mean())


def test_training_lowers_the_loss_and_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    planes, recipe = small(monkeypatch)
    begun = train_cascades.started(planes, recipe.n_components, recipe.halved)
    results = []
    for _ in range(2):
        with Progress(recipe.n_steps, "", enabled=False) as bar:
            results.append(descend(begun, planes, recipe, bar))
    np.testing.assert_array_equal(results[0].forward, results[1].forward)
    for name in LEARNT:
        changed = getattr(results[0], name) != getattr(begun, name)
        assert changed.any(), name
    assert loss_of(results[0], planes[0]) < 0.98 * loss_of(begun, planes[0])


def test_a_cascade_comes_with_its_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    _, recipe = small(monkeypatch)
    images = [
        np.stack([fastgsm.datasets.dead_leaves((64, 64), random_state=3 * i + c) for c in range(3)],
                 axis=-1)
        for i in range(2)
    ]  # fmt: skip
    chroma = recipe._replace(planes=train_cascades.opponent_colours, n_steps=2)
    monkeypatch.setattr(train_cascades, "RECIPES", {"cascade-toy": chroma})
    card = train_cascades.train("cascade-toy", images, tmp_path)
    assert (tmp_path / "cascade-toy.md").read_text() == card
    assert "number 2 at half" in card
    assert Cascade.load(tmp_path / "cascade-toy.npz").n_stages == 3
