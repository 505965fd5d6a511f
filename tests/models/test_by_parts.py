"""Learning by parts: statistics that add, M-steps from them, and steps from batch to batch."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm.learning.chunks import Chunk, InProcess, KeptDistances, Moments
from fastgsm.learning.data import Data, drawn
from fastgsm.learning.density import ScaleGroups
from fastgsm.learning.whitened import WhitenedMixture, mahalanobis_distances
from fastgsm.models._scale_groups import ScaleGroupModel
from tests.helpers import CLOSED_FORM, ITERATIVE, fit_quietly, new_models

MODELS: dict[str, Any] = {
    **new_models(random_state=0, tol=1e-2),
    "GMM about 0": fastgsm.GMM(n_components=3, fit_means=False, random_state=0, tol=1e-2),
}
KEYS = list(MODELS)
GROUPS = [key for key, model in MODELS.items() if isinstance(model, ScaleGroupModel)]


def patches(n: int, seed: int = 0, dtype: Any = np.float64) -> Any:
    image = fastgsm.datasets.dead_leaves((160, 160), random_state=0)
    return fastgsm.sample_patches(image.astype(dtype), 4, n, random_state=seed)


@pytest.fixture(scope="module")
def X() -> Any:
    return patches(3000)


def new(key: str, **options: Any) -> Any:
    model = MODELS[key]
    return type(model)(**{**model.get_params(), **options})


def fitted(key: str, X: Any) -> Any:
    return fit_quietly(new(key, **({} if key in CLOSED_FORM else {"max_iter": 4})), X)


def by_hand(model: Any, X: Any, weights: Any) -> dict[str, Any]:
    """Give the statistics of a mixture of shapes as the formulas say them."""
    K, J = model._shape
    c = model.predict_proba(X).reshape(len(X), K, J) * weights[:, None, None]
    scales = model._density.scales
    inverse = np.linalg.pinv(model.covariances_, rcond=1e-9, hermitian=True)
    centred = X[:, None] - model.means_
    distances = np.einsum("nkd,kde,nke->nk", centred, inverse, centred)
    in_covariance = (c / scales).sum(axis=2)
    return {
        "counts": c.sum(axis=0),
        "distances": (c * distances[:, :, None]).sum(axis=0),
        "sums": np.einsum("nk,nkd->kd", in_covariance, centred),
        "products": np.einsum("nk,nkd,nke->kde", in_covariance, centred, centred),
    }


@pytest.mark.parametrize("key", [key for key in KEYS if key not in GROUPS])
def test_statistics_are_what_the_formulas_say(key: str, X: Any) -> None:
    model = fitted(key, X)
    weights = np.random.default_rng(0).uniform(0, 3, len(X))
    found = model.sufficient_statistics(X, weights)
    assert found.n_samples == len(X)
    assert found.weight == pytest.approx(weights.sum())
    assert found.log_likelihood == pytest.approx((weights * model.score_samples(X)).sum())
    for name, wanted in by_hand(model, X, weights).items():
        value = getattr(found, name)
        if value is None:
            assert model._shape[1] == 1
            assert name == "distances"
            continue
        # Responsibilities below a millionth are left out of the moments.
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("key", GROUPS)
def test_statistics_of_the_samples_covariance(key: str, X: Any) -> None:
    model = fitted(key, X)
    weights = np.random.default_rng(0).uniform(0, 3, len(X))
    found = model.sufficient_statistics(X, weights)
    assert found.log_likelihood == pytest.approx((weights * model.score_samples(X)).sum())
    c = model.predict_proba(X)
    if not model.separable:
        c = c[:, None, :]
        squares = model._density.distances(X).T
    else:
        squares = np.square(X @ model.eigenvectors_) / model.eigenvalues_
    c = c * weights[:, None, None]
    np.testing.assert_allclose(found.counts, c.sum(axis=0))
    np.testing.assert_allclose(found.distances, (c * squares[:, :, None]).sum(axis=0))
    products = np.einsum("n,nd,ne->de", weights, X, X)
    np.testing.assert_allclose(found.products[0], products, atol=1e-9)


@pytest.mark.parametrize("key", KEYS)
def test_statistics_of_parts_add(key: str, X: Any) -> None:
    model = fitted(key, X)
    whole = model.sufficient_statistics(X)
    parts = [model.sufficient_statistics(part) for part in (X[:700], X[700:701], X[701:])]
    added = parts[0].merge(parts[1]) + parts[2]
    assert added.n_samples == whole.n_samples
    for name in ("weight", "log_likelihood", "counts", "distances", "sums", "products"):
        mine, theirs = getattr(added, name), getattr(whole, name)
        if theirs is not None:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-8 * len(X))


@pytest.mark.parametrize("key", KEYS)
def test_a_weight_of_two_is_two_samples_and_one_of_zero_none(key: str, X: Any) -> None:
    model = fitted(key, X)
    weights = np.where(np.arange(1000) < 300, 2.0, 1.0)
    weights[-100:] = 0
    mine = model.sufficient_statistics(X[:1000], weights)
    theirs = model.sufficient_statistics(np.concatenate([X[:300], X[:900]]))
    assert mine.n_samples == 900
    assert mine.weight == theirs.weight == 1200
    np.testing.assert_allclose(mine.counts, theirs.counts, rtol=1e-9)
    np.testing.assert_allclose(mine.products, theirs.products, atol=1e-9)
    none = model.sufficient_statistics(X[:10], np.zeros(10))
    assert none.weight == none.n_samples == 0
    np.testing.assert_array_equal((mine + none).products, mine.products)


@pytest.mark.parametrize("key", KEYS)
def test_more_samples_than_a_block(key: str, X: Any, monkeypatch: Any) -> None:
    model = fitted(key, X)
    whole = model.sufficient_statistics(X)
    monkeypatch.setattr("fastgsm.learning.chunks.SAMPLES_AT_ONCE", 512)
    np.testing.assert_allclose(model.sufficient_statistics(X).counts, whole.counts, rtol=1e-9)


@pytest.mark.parametrize("key", KEYS)
def test_em_by_parts_climbs_to_where_fit_does(key: str, X: Any) -> None:
    model = fitted(key, X)
    for _ in range(1 if key in CLOSED_FORM else 60):
        parts = [model.sufficient_statistics(part) for part in (X[:1000], X[1000:])]
        model.m_step(parts[0] + parts[1])
    climbed = model.lower_bounds_[-50:]
    assert np.diff(climbed).min() > -1e-7
    assert model.score(X) == pytest.approx(new(key).fit(X).score(X), abs=0.15)


def test_one_m_step_is_that_of_fit(X: Any) -> None:
    start = fitted("GMM", X)
    given: dict[str, Any] = {
        "weights_init": start.weights_,
        "means_init": start.means_,
        "covariances_init": start.covariances_,
    }
    wanted = fit_quietly(new("GMM", max_iter=1, **given), X)
    start.m_step(start.sufficient_statistics(X))
    np.testing.assert_allclose(start.weights_, wanted.weights_, rtol=1e-6)
    np.testing.assert_allclose(start.means_, wanted.means_, atol=1e-8)
    np.testing.assert_allclose(start.covariances_, wanted.covariances_, atol=1e-8)


@pytest.mark.parametrize("key", KEYS)
def test_a_models_own_statistics_give_it_back(key: str, X: Any) -> None:
    model = fitted(key, X)
    before = {name: values.copy() for name, values in model._arrays().items()}
    score = model.score(X)
    model._take(model._own_statistics())
    for name, values in model._arrays().items():
        if name != "eigenvectors":  # whose signs are free
            np.testing.assert_allclose(values, before[name], rtol=1e-6, atol=1e-9)
    assert model.score(X) == pytest.approx(score)


def test_partial_fit_of_a_normal_is_fit(X: Any) -> None:
    weights = np.random.default_rng(1).uniform(0, 2, len(X))
    wanted = fastgsm.MVN().fit(X, sample_weight=weights)
    model = fastgsm.MVN()
    for part in np.array_split(np.arange(len(X)), 4):
        model.partial_fit(X[part], sample_weight=weights[part])
    np.testing.assert_allclose(model.means_, wanted.means_, atol=1e-12)
    np.testing.assert_allclose(model.covariances_, wanted.covariances_, atol=1e-10)
    assert model.n_samples_seen_ == pytest.approx(weights.sum())
    assert model.n_iter_ == 4


@pytest.mark.parametrize("key", ITERATIVE)
def test_partial_fit_learns_from_later_batches(key: str) -> None:
    unseen = patches(3000, seed=99)
    model = new(key)
    for seed in range(12):
        model.partial_fit(patches(1500, seed))
    first = new(key).fit(patches(1500, 0))
    assert model.score(unseen) > first.score(unseen)
    assert model.n_iter_ == first.n_iter_ + 11
    assert model.n_samples_seen_ == 12 * 1500


@pytest.mark.parametrize("key", KEYS)
def test_exact_steps_are_one_iteration_on_all_batches(key: str, X: Any) -> None:
    wanted, model = fitted(key, X), fitted(key, X)
    wanted.m_step(wanted.sufficient_statistics(X[:1000]) + wanted.sufficient_statistics(X[1000:]))
    before = model.weights_
    model.partial_fit(X[:1000], step="exact").partial_fit(X[1000:], step="exact")
    np.testing.assert_array_equal(model.weights_, before)
    with pytest.raises(ValueError, match="pass of exact steps has not ended"):
        model.partial_fit(X[:10])
    model.m_step()
    for name, values in model._arrays().items():
        np.testing.assert_array_equal(values, wanted._arrays()[name])
    assert model.lower_bounds_ == wanted.lower_bounds_
    with pytest.raises(ValueError, match="there are no statistics"):
        model.m_step()


def test_exact_steps_begin_a_model(X: Any) -> None:
    model = new("MoGSM")
    for _ in range(3):
        for part in np.array_split(X, 3):
            model.partial_fit(part, step="exact")
        model.m_step()
    assert np.diff(model.lower_bounds_[-3:]).min() > 0


def test_a_saved_model_goes_on(X: Any, tmp_path: Any) -> None:
    for key in ("MVN", "GSM"):
        model = new(key).partial_fit(X[:1500])
        model.save(tmp_path / "model.npz")
        loaded = fastgsm.load(tmp_path / "model.npz")
        model.partial_fit(X[1500:])
        loaded.partial_fit(X[1500:])
        for name, values in model._arrays().items():
            np.testing.assert_array_equal(values, loaded._arrays()[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32(dtype: Any) -> None:
    X = patches(2000, dtype=dtype)
    model = new("MoGSM", n_components=2).partial_fit(X)
    assert model.sufficient_statistics(X).products.dtype == np.float64
    assert np.isfinite(model.partial_fit(X).score(X))


def test_mistakes_are_named_and_change_nothing(X: Any) -> None:
    with pytest.raises(fastgsm.NotFittedError):
        fastgsm.GSM().sufficient_statistics(X)
    with pytest.raises(fastgsm.NotFittedError):
        fastgsm.GSM().m_step()
    model = fitted("GSM", X)
    others = fitted("GSM", X[:2000]).sufficient_statistics(X)
    with pytest.raises(ValueError, match="different parameters"):
        model.sufficient_statistics(X) + others
    with pytest.raises(ValueError, match="other parameters"):
        model.m_step(others)
    for step, message in [(0, "above 0"), (1.5, "share"), ("much", "one of 'decay'")]:
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, step=step)
    with pytest.raises(ValueError, match="16 features"):
        model.partial_fit(X[:, :9])
    with pytest.raises(ValueError, match="3000 of 3000 samples lie outside of the subspace"):
        model.partial_fit(X + 0.5)
    with pytest.raises(ValueError, match="zero for every sample"):
        model.partial_fit(X, sample_weight=np.zeros(len(X)))
    assert model.n_iter_ == 4
    unfitted = fastgsm.GMM(n_components=50)
    with pytest.raises(ValueError, match="n_samples = 20"):
        unfitted.partial_fit(X[:20])
    old = fastgsm.load_prior("gsm")
    with pytest.raises(ValueError, match="not known how many samples"):
        old.partial_fit(fastgsm.extract_patches(np.eye(16), center="patch"), step="equal")
    assert vars(unfitted) == vars(fastgsm.GMM(n_components=50))


def in_process(X: Any, weights: Any, cuts: list[int], kept_bytes: float = 2**28) -> Data:
    """Give samples in chunks, as Dask's workers would look at them."""
    chunks = [
        Chunk.of(X[i:j], weights[i:j], first=i)
        for i, j in zip([0, *cuts], [*cuts, len(X)], strict=True)
    ]
    return Data(*X.shape, X.dtype, InProcess(chunks, kept_bytes))


@pytest.mark.parametrize("key", KEYS)
def test_a_fit_in_chunks_is_one_of_all(key: str, X: Any) -> None:
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    whole = new(key).fit(X, sample_weight=weights)
    model = new(key)
    model._fit_data(in_process(X, weights, [400, 401, 2000]), None, False, None)
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=0.02)
    assert model.n_samples_seen_ == weights.sum()
    assert np.diff(model.lower_bounds_).min(initial=0) > -1e-7
    np.testing.assert_allclose(model.covariances_, whole.covariances_, atol=1e-6)


@pytest.mark.parametrize("key", ITERATIVE)
def test_batches_made_on_the_way_are_one_chunk_in_memory(key: str, X: Any) -> None:
    """The starting values are those of all samples, so both go through the same iterations."""

    class Batches:
        def __iter__(self) -> Iterator[Chunk]:
            for first in range(0, len(X), 700):
                yield Chunk.of(X[first : first + 700], first=first)

    data = Data(*X.shape, X.dtype, InProcess(Batches()))
    model = new(key)._fit_data(data, None, False, None)
    whole = new(key).fit(X)
    np.testing.assert_allclose(model.lower_bounds_, whole.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(model.covariances_, whole.covariances_, rtol=1e-6, atol=1e-9)


def test_distances_kept_between_passes_change_no_bit(X: Any, monkeypatch: Any) -> None:
    calls: list[int] = []

    def counted(self: WhitenedMixture, X: Any) -> Any:
        calls.append(len(X))
        return mahalanobis_distances(X, self.means, self.whiteners)

    monkeypatch.setattr(WhitenedMixture, "distances", counted)
    fits = []
    for room in (2**28, 40_000, 0):  # for all four chunks, for three, for none
        calls.clear()
        model = new("MoGSM")
        data = in_process(X, np.ones(len(X)), [400, 401, 2000], room)
        model._fit_data(data, None, False, None)
        fits.append((model._density, sum(calls)))
    (all_kept, least), (some_kept, more), (none_kept, most) = fits
    assert least < more < most
    for density in (some_kept, none_kept):
        np.testing.assert_array_equal(density.covariances, all_kept.covariances)
        np.testing.assert_array_equal(density.scales, all_kept.scales)


@pytest.mark.parametrize("key", GROUPS)
def test_distances_of_scales_are_computed_once(key: str, X: Any, monkeypatch: Any) -> None:
    calls = []
    computed = ScaleGroups.distances

    def counted(self: ScaleGroups, X: Any) -> Any:
        calls.append(len(X))
        return computed(self, X)

    monkeypatch.setattr(ScaleGroups, "distances", counted)
    model = new(key)
    model._fit_data(in_process(X, np.ones(len(X)), [400, 2000]), None, False, None)
    assert model.n_iter_ > 2
    assert sum(calls) == 2 * len(X)  # for the start, and for all iterations


def test_kept_distances_have_their_limit(X: Any) -> None:
    model = fitted("MoGSM", X)
    first, second = Chunk.of(X[:100], first=0), Chunk.of(X[100:250], first=100)
    distances = [model._density.distances(block.X) for block in (first, second)]
    kept = KeptDistances(model._density.whitened, distances[1].nbytes)
    kept.keep(first, distances[0])
    kept.keep(second, distances[1])  # no room
    assert kept.of(second) is not distances[1]
    assert pickle.loads(pickle.dumps(kept)).of(first) is not distances[0]
    assert kept.of(first) is distances[0]
    assert kept.of(first) is not distances[0]
    kept.keep(second, distances[1])
    assert kept.of(second) is distances[1]


def test_moments_of_parts_add_far_from_the_origin() -> None:
    X = np.random.default_rng(0).normal(1e6, 1.0, (1000, 3))
    parts = [Moments.of(Chunk.of(part), about_mean=True) for part in np.array_split(X, 7)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    np.testing.assert_allclose(total.mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(total.covariance, np.cov(X.T, bias=True), rtol=1e-8)
    nothing = Moments.of(Chunk.of(X[:5], np.zeros(5)), about_mean=True)
    assert (nothing + total).weight == 1000
    np.testing.assert_array_equal((nothing + total).covariance, total.covariance)


def test_the_start_is_drawn_from_all(monkeypatch: Any) -> None:
    monkeypatch.setattr("fastgsm.learning.data.START_SAMPLES", 300)
    assert drawn(np.arange(1000), 1.0).all()
    numbers = np.flatnonzero(drawn(np.arange(2_258_000), 300 / 2_258_000))
    assert 230 < len(numbers) < 370
    assert np.abs(np.percentile(numbers, [25, 50, 75]) / 2_258_000 - [0.25, 0.5, 0.75]).max() < 0.1
    assert np.std(numbers % 100) > 20  # of all columns of an image's patches
    X = np.arange(3000.0)[:, None] + np.random.default_rng(0).normal(size=(3000, 2))
    assert 230 < len(start_of(in_process(X, np.ones(3000), [7, 1129, 2258]))[0]) < 370
    for used in (20, 1000, 2000):  # none of the others
        weights = np.repeat([0.0, 1.0], [3000 - used, used])
        start = start_of(in_process(X, weights, [1000, 2500]))[0]
        assert start.min() > 2990 - used
        least, most = {20: (20, 20), 1000: (230, 370), 2000: (140, 260)}[used]
        assert least <= len(start) <= most


def start_of(data: Data) -> Any:
    survey = data.survey(about_mean=False, reg_covar=1e-6)
    return survey.X, survey.sample_weight


def test_a_dark_chunk_is_no_error() -> None:
    X = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32) * np.float32(1e-12)
    X[:300] *= np.float32(1e-4)
    model = fastgsm.GSM(2)
    model._fit_data(in_process(X, np.ones(600), [300]), None, False, None)
    assert model.score(X) == pytest.approx(fastgsm.GSM(2).fit(X).score(X), abs=0.1)
    with pytest.raises(ValueError, match="too small"):
        fastgsm.GSM(2)._fit_data(in_process(X[:300], np.ones(300), [150]), None, False, None)


def test_scales_are_learned_from_later_batches() -> None:
    """Only the contrasts of the later batches differ, not their shapes."""
    rng = np.random.default_rng(0)

    def batch(spread: float) -> Any:
        scale = np.exp(spread * rng.standard_normal((3000, 1)))
        return scale * rng.standard_normal((3000, 9)) * np.linspace(1, 3, 9)

    model = fastgsm.MoGSM(2, 4, random_state=0, tol=1e-2).fit(batch(0.2))
    before = np.ptp(np.log(model.scales_), axis=1)
    for _ in range(40):
        model.partial_fit(batch(1.0), step=0.15)
    assert (np.ptp(np.log(model.scales_), axis=1) > before + 1).all()
    unseen = batch(1.0)
    wanted = fastgsm.MoGSM(2, 4, random_state=0, tol=1e-2).fit(batch(1.0)).score(unseen)
    assert model.score(unseen) == pytest.approx(wanted, abs=0.2)


def test_statistics_are_values_of_their_own(X: Any) -> None:
    model = fitted("GSM", X)
    statistics = model.sufficient_statistics(X)
    twice = sum([statistics, statistics])
    assert twice.weight == 2 * len(X)
    np.testing.assert_array_equal(twice.products, 2 * statistics.products)
    for wrong in (3, None):
        with pytest.raises(TypeError, match="wanted SufficientStatistics"):
            statistics.merge(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="statistics is a int"):
        model.m_step(3)
    model.partial_fit(X, step="exact")
    with pytest.raises(ValueError, match="have collected others"):
        model.m_step(statistics)
    with pytest.raises(ValueError, match="X is up to"):
        model.sufficient_statistics((X * 1e15).astype(np.float32))


def test_an_interrupted_m_step_changes_nothing(X: Any, monkeypatch: Any) -> None:
    model = fitted("GMM", X).partial_fit(X, step="exact")
    before = model.weights_

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "_note", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.m_step()
    np.testing.assert_array_equal(model.weights_, before)
    model.m_step()
    assert not np.array_equal(model.weights_, before)


def test_warnings_point_at_the_caller(X: Any) -> None:
    for learn in (new("GMM", max_iter=1).fit, new("GMM", max_iter=1).partial_fit):
        with pytest.warns(fastgsm.ConvergenceWarning) as caught:
            learn(X)
        assert {each.filename for each in caught} == {__file__}


def test_a_component_that_collapses_in_chunks_is_named() -> None:
    X = np.concatenate([np.random.default_rng(0).normal(size=(60, 2)), np.zeros((60, 2))])
    model = fastgsm.GMM(4, reg_covar=0.0, random_state=0, max_iter=50)
    with pytest.raises(ValueError, match=r"lost its extent|became|cannot learn"):
        model._fit_data(in_process(X, np.ones(len(X)), [50]), None, False, None)


class Interruption(Exception):
    pass


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("key", ITERATIVE)
def test_an_interrupted_fit_goes_on_to_the_same_bits(
    key: str, chunked: bool, X: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("fastgsm.learning.checkpoint.SAVE_SECONDS", 0.0)

    def fit(model: Any, callback: Any = None, checkpoint: Any = None, X: Any = X) -> Any:
        data = in_process(X, np.ones(len(X)), [1000])
        if not chunked:
            return model.fit(X, callback=callback, checkpoint=checkpoint)
        return model._fit_data(data, callback, False, checkpoint)

    def interrupt(em: Any) -> None:
        if em.iteration == 4:
            raise Interruption

    path = tmp_path / "fit.npz"
    with pytest.raises(Interruption):
        fit(new(key), interrupt, path)
    with pytest.raises(ValueError, match="checkpoint of another fit"):
        fit(new(key), None, path, X[:2000])
    iterations: list[int] = []
    resumed = fit(new(key), lambda em: iterations.append(em.iteration), path)
    assert iterations[0] == 4
    assert not path.exists()
    whole = fit(new(key))
    assert resumed.lower_bounds_ == whole.lower_bounds_
    for name, values in whole._arrays().items():
        np.testing.assert_array_equal(resumed._arrays()[name], values)


def test_a_damaged_checkpoint_is_named(X: Any, tmp_path: Any) -> None:
    path = tmp_path / "fit.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a checkpoint of a fit that can be read"):
        new("GSM").fit(X, checkpoint=path)
    assert path.read_bytes() == b"no archive"


def test_a_checkpoint_of_an_unfinished_fit_stays(X: Any, tmp_path: Any) -> None:
    path = tmp_path / "fit.npz"
    with pytest.warns(fastgsm.ConvergenceWarning):
        new("GMM", max_iter=2, tol=0.0).fit(X, checkpoint=path)
    assert path.exists()
    for max_iter in (2, 1, 4):  # the first two have nothing left to do
        with pytest.warns(fastgsm.ConvergenceWarning, match="did not converge in"):
            model = new("GMM", max_iter=max_iter, tol=0.0).fit(X, checkpoint=path)
        assert model.n_iter_ == max(2, max_iter)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        fastgsm.MVN().fit(X, checkpoint=tmp_path / "none" / "fit.npz")
    new("GMM").fit(X, callback=lambda em: em.iteration == 6, checkpoint=path.with_stem("other"))
    assert path.with_stem("other").exists()


def test_a_checkpoint_of_a_fit_in_memory_is_none_of_chunks(X: Any, tmp_path: Any) -> None:
    path = tmp_path / "fit.npz"
    new("GMM").fit(X, callback=lambda em: em.iteration == 3, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint of another fit"):
        new("GMM")._fit_data(in_process(X, np.ones(len(X)), []), None, False, path)
