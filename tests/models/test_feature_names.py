"""Names of features: what scikit-learn does with the columns of a table."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.learning.feature_names import feature_names
from tests.helpers import new_model

TABLE = pd.DataFrame(
    np.random.default_rng(5).standard_normal((300, 3)) * [1, 5, 20], columns=list("abc")
)
ARRAY = TABLE.to_numpy()
USES: dict[str, Callable[[Any, Any], Any]] = {
    "score": lambda model, X: model.score(X),
    "score_samples": lambda model, X: model.score_samples(X),
    "predict": lambda model, X: model.predict(X),
    "predict_proba": lambda model, X: model.predict_proba(X),
    "bic": lambda model, X: model.bic(X),
    "aic": lambda model, X: model.aic(X),
    "denoise_patches": lambda model, X: model.denoise_patches(X, 0.5),
    "sufficient_statistics": lambda model, X: model.sufficient_statistics(X),
    "partial_fit": lambda model, X: model.partial_fit(X),
    "exact step": lambda model, X: model.partial_fit(X, step="exact"),
}
OTHER = {
    "another order": TABLE[["c", "b", "a"]],
    "other names": TABLE.rename(columns={"a": "x"}),
    "one more": TABLE.assign(d=1.0),
    "one less": TABLE[["a", "b"]],
    "many others": TABLE.rename(columns=lambda name: f"_{name}").assign(
        **dict.fromkeys("efghij", 1.0)
    ),
}


def fitted(X: Any = TABLE, name: str = "MVN") -> Any:
    return new_model(name, 2, tol=0.5, random_state=0).fit(X)


@pytest.fixture(scope="module")
def theirs() -> GaussianMixture:
    return GaussianMixture().fit(TABLE)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", MODELS)
def test_other_names_are_refused(name: str, use: str) -> None:
    model = fitted(name=name)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.feature_names_in_.dtype == object
    USES[use](model, TABLE)  # the same names: no warning
    with pytest.raises(ValueError, match="Feature names must be in the same order as"):
        USES[use](model, TABLE[["c", "b", "a"]])


@pytest.mark.parametrize("other", OTHER)
def test_errors_are_those_of_scikit_learn(other: str, theirs: GaussianMixture) -> None:
    with pytest.raises(ValueError, match="feature names should match") as expected:
        theirs.score(OTHER[other])
    with pytest.raises(ValueError, match="feature names should match") as found:
        fitted().score(OTHER[other])
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("use", USES)
def test_warnings_where_only_one_has_names(use: str) -> None:
    with pytest.warns(UserWarning, match="X does not have valid|Y does not have valid") as found:
        USES[use](fitted(), ARRAY)
    assert all(each.filename == __file__ for each in found)
    with pytest.warns(UserWarning, match="has feature names, but MVN was fitted without"):
        USES[use](fitted(ARRAY), TABLE)


def test_names_that_are_no_texts_are_none() -> None:
    model = fitted(pd.DataFrame(ARRAY))
    assert not hasattr(model, "feature_names_in_")
    model.score(ARRAY)
    with pytest.raises(TypeError, match="Feature names are only supported if all"):
        fitted(TABLE.rename(columns={"a": 1}))


def test_a_fit_without_names_forgets_them() -> None:
    model = fitted()
    assert not hasattr(clone(model), "feature_names_in_")
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((5, 3), np.nan))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert not hasattr(model.fit(ARRAY), "feature_names_in_")


def test_the_first_partial_fit_learns_the_names() -> None:
    for step in (0.5, "exact"):
        model = fastgsm.GSM(2).partial_fit(TABLE, step=step)
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        model.partial_fit(TABLE, step=step)


@pytest.mark.parametrize("name", MODELS)
def test_files_keep_the_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    table = TABLE.rename(columns={"a": "größe", "b": "two words\n"})
    fitted(table, name).save(path)
    model = fastgsm.load(path)
    assert model.feature_names_in_.tolist() == table.columns.tolist()
    assert model.score(table) == fitted(table, name).score(table)
    with pytest.raises(ValueError, match="seen at fit time"):
        model.score(TABLE)
    fitted(ARRAY, name).save(path)
    assert not hasattr(fastgsm.load(path), "feature_names_in_")


def test_names_too_long_for_a_file_are_refused(tmp_path: Path) -> None:
    model = fitted(TABLE.rename(columns={"a": "a" * 2**20}))
    with pytest.raises(ValueError, match=r"wanted at most 1048576\. Give the columns"):
        model.save(tmp_path / "model.npz")


class Arrow:
    """What a table of pyarrow shows of its columns."""

    shape = (2, 2)
    column_names = ("a", "b")
    columns = (ARRAY[0], ARRAY[1])


class Hundred:
    """No table, but with an attribute of that name."""

    columns = 100


def test_names_of_other_containers() -> None:
    names = feature_names(Arrow())
    assert names is not None and names.tolist() == ["a", "b"]
    for X in (Hundred(), ARRAY, ARRAY.tolist(), TABLE["a"], TABLE.iloc[:, :0]):
        assert feature_names(X) is None


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(ARRAY, schema=["a", "b", "c"])
    assert fitted(table).score(table) == fitted().score(TABLE)


# --- PatchSampler ------------------------------------------------------------------------------

IMAGES = [fastgsm.datasets.dead_leaves((40, 40), random_state=i) for i in range(2)]
NAMES = ["pixel_0_0", "pixel_0_1", "pixel_1_0", "pixel_1_1"]


def sampler() -> Any:
    return fastgsm.PatchSampler(2, 200, center=None, random_state=0)


def test_names_of_pixels_match_the_columns() -> None:
    image = np.arange(12.0).reshape(3, 4) / 12
    table = sampler().set_output(transform="pandas").transform(image)
    assert table.columns.tolist() == sampler().get_feature_names_out().tolist() == NAMES
    np.testing.assert_allclose(table["pixel_1_0"] - table["pixel_0_0"], 4 / 12)
    np.testing.assert_allclose(table["pixel_0_1"] - table["pixel_0_0"], 1 / 12)


def test_output_is_chosen_as_in_scikit_learn() -> None:
    expected = sampler().transform(IMAGES)
    assert isinstance(expected, np.ndarray)
    pandas = clone(sampler().set_output(transform="pandas"))
    np.testing.assert_array_equal(pandas.fit_transform(IMAGES), expected)
    assert isinstance(pandas.set_output().transform(IMAGES), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(sampler().transform(IMAGES), pd.DataFrame)
        default = sampler().set_output(transform="default")
        assert isinstance(default.transform(IMAGES), np.ndarray)
    with pytest.raises(ValueError, match="transform is 'excel'; wanted one of"):
        sampler().set_output(transform="excel")


def test_polars_output() -> None:
    polars = pytest.importorskip("polars")
    table = sampler().set_output(transform="polars").transform(IMAGES)
    assert isinstance(table, polars.DataFrame) and table.columns == NAMES


def test_names_go_through_a_pipeline() -> None:
    pipeline = make_pipeline(sampler(), fastgsm.GSM(2)).set_output(transform="pandas").fit(IMAGES)
    assert pipeline[-1].feature_names_in_.tolist() == NAMES
    assert pipeline[:-1].get_feature_names_out().tolist() == NAMES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline.score(IMAGES)
