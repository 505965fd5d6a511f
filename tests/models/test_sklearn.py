"""The models as scikit-learn estimators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgsm
from fastgsm._registry import MODELS
from tests.helpers import new_models

ESTIMATORS = [
    *new_models(2).values(),
    fastgsm.PatchSampler(patch_size=2, n_patches=20, random_state=0),
]


@pytest.fixture
def any_warning_is_fine() -> Iterator[None]:
    """Let scikit-learn's checks, which fit on odd data with few iterations, warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


with warnings.catch_warnings():
    # That the models do not inherit from scikit-learn is on purpose.
    warnings.filterwarnings("ignore", message=r".* does not inherit from")
    # What reads images gets the checks of options and tags alone: the others have no images.
    warnings.filterwarnings("ignore", message="Can't test estimator PatchSampler")
    # The check wants the same model from weights as from repeated samples. Where EM starts
    # from samples drawn at random the two start, and so end, elsewhere (as does KMeans). That
    # they agree from one start is tested below.
    with_checks = parametrize_with_checks(
        ESTIMATORS,
        expected_failed_checks=lambda estimator: (
            {"check_sample_weight_equivalence_on_dense_data": "starts from samples drawn at random"}
            if "n_components" in estimator.get_params()
            else {}
        ),
    )


@pytest.mark.usefixtures("any_warning_is_fine")
@with_checks
def test_conventions(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", new_models(2).values(), ids=MODELS)
def test_clone_is_unfitted_with_the_same_options(estimator: Any) -> None:
    X = np.random.default_rng(0).standard_normal((200, 3))
    estimator = clone(estimator).set_params(tol=0.5, max_iter=50).fit(X)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    with pytest.raises(fastgsm.models.NotFittedError):
        copy.score(X)


def test_pipeline() -> None:
    X = np.random.default_rng(0).standard_t(3, (500, 3)) * [1.0, 5.0, 20.0]
    pipeline = make_pipeline(StandardScaler(), fastgsm.GSM(3)).fit(X)
    expected = fastgsm.GSM(3).fit(StandardScaler().fit_transform(X))
    assert pipeline.score(X) == pytest.approx(expected.score(StandardScaler().fit_transform(X)))


def test_grid_search_finds_that_scales_pay() -> None:
    rng = np.random.default_rng(0)
    X = np.exp(1.5 * rng.standard_normal((2000, 1))) * rng.standard_normal((2000, 4))
    search = GridSearchCV(fastgsm.GSM(), {"n_scales": [1, 4]}, cv=3).fit(X)
    assert search.best_params_ == {"n_scales": 4}
    assert search.best_score_ > search.cv_results_["mean_test_score"][0] + 0.1


@pytest.mark.parametrize("name", ["GMM", "MoGSM"])
def test_weights_count_as_repetitions_from_the_same_start(name: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2)) * rng.choice([1.0, 4.0], (60, 1))
    counts = rng.integers(0, 4, 60)
    shapes = [[[4.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 4.0]]]
    start: dict[str, Any] = {"covariances_init": shapes, "max_iter": 20, "tol": 0}
    if name == "GMM":
        start |= {"weights_init": [0.5, 0.5], "means_init": [[0.0, 0.0], [1.0, 1.0]]}
        model = fastgsm.GMM(2, **start)
    else:
        start |= {"weights_init": np.full((2, 2), 0.25), "scales_init": [[1.0, 3.0], [2.0, 6.0]]}
        model = fastgsm.MoGSM(2, 2, **start)
    with pytest.warns(fastgsm.ConvergenceWarning, match="in 20 iterations"):
        weighted = clone(model).fit(X, sample_weight=counts)
        repeated = clone(model).fit(np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "shown"),
    [
        (fastgsm.GSM(), "GSM()"),
        (fastgsm.GSM(4, tol=0.1), "GSM(n_scales=4, tol=0.1)"),
        (
            fastgsm.GMM(2, means_init=np.zeros((2, 64))),
            "GMM(means_init=<array of shape (2, 64)>, n_components=2)",
        ),
        (fastgsm.PatchSampler(7, center=None), "PatchSampler(center=None, patch_size=7)"),
    ],
)
def test_repr_is_one_short_line(estimator: Any, shown: str) -> None:
    assert repr(estimator) == shown


def test_repr_of_a_long_option_is_cut() -> None:
    shown = repr(fastgsm.GSM(scales_init=list(range(1000))))
    assert shown.startswith("GSM(scales_init=[0, 1, 2,") and shown.endswith("...)")
    assert len(shown) < 100


def images() -> list[Any]:
    """Grey images of several sizes."""
    return [
        fastgsm.datasets.dead_leaves((40 + 4 * i, 48), random_state=i).astype(np.float32)
        for i in range(4)
    ]


def pipeline_of_images() -> Pipeline:
    sampler = fastgsm.PatchSampler(4, 600, random_state=0)
    return make_pipeline(sampler, fastgsm.GSM(n_scales=3))


def test_sampler_draws_what_sample_patches_does() -> None:
    options = {"patch_size": 4, "n_patches": 50, "random_state": 3}
    for center in ("patch", None):
        sampler = fastgsm.PatchSampler(**options, center=center)
        expected = fastgsm.sample_patches(images(), **options, center=center)
        np.testing.assert_array_equal(sampler.transform(images()), expected)
        np.testing.assert_array_equal(sampler.fit_transform(images()), expected)
        assert expected.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 0}, "patch_size is 0"),
        ({"n_patches": 0}, "n_patches is 0"),
        ({"center": "global"}, "center is 'global'; wanted one of 'patch', None"),
        ({"random_state": -1}, "random_state is -1"),
    ],
)
def test_sampler_refuses_options_when_it_is_fitted(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastgsm.PatchSampler(**options).fit(images())


def test_pipeline_of_images_scores_sampled_patches() -> None:
    pipeline = pipeline_of_images().fit(images())
    X = fastgsm.sample_patches(images(), 4, 600, random_state=0)
    assert pipeline.score(images()) == fastgsm.GSM(n_scales=3).fit(X).score(X)
    assert pipeline.predict(images()[:1]).shape == (600,)


def test_cross_validation_holds_out_images() -> None:
    scores = cross_val_score(pipeline_of_images(), images(), cv=4)
    pipeline = pipeline_of_images().fit(images()[1:])
    assert scores[0] == pipeline.score(images()[:1])


def test_grid_search_chooses_the_scales_by_the_likelihood_of_held_out_images() -> None:
    search = GridSearchCV(pipeline_of_images(), {"gsm__n_scales": [1, 3]}, cv=2).fit(images())
    assert search.best_params_ == {"gsm__n_scales": 3}
    assert search.best_estimator_[-1].scales_.shape == (3,)


def test_pipeline_shows_in_a_notebook() -> None:
    assert "PatchSampler" in pipeline_of_images()._repr_html_()
