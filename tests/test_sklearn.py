"""The models as scikit-learn estimators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastgsm

ESTIMATORS = [
    fastgsm.MVN(),
    fastgsm.GSM(n_scales=3),
    fastgsm.GMM(n_components=2),
    fastgsm.MoGSM(n_components=2, n_scales=2),
    fastgsm.ICA(n_scales=2),
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
    # The check wants the same model from weights as from repeated samples. Where EM starts
    # from samples drawn at random the two start, and so end, elsewhere (as does KMeans).
    with_checks = parametrize_with_checks(
        ESTIMATORS,
        expected_failed_checks=lambda estimator: (
            {"check_sample_weight_equivalence_on_dense_data": "starts from samples drawn at random"}
            if isinstance(estimator, (fastgsm.GMM, fastgsm.MoGSM))
            else {}
        ),
    )


@pytest.mark.usefixtures("any_warning_is_fine")
@with_checks
def test_conventions(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
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
