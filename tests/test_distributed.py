"""Dask: the same bits, whatever the chunks, the scheduler and the workers lost."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

import fastgsm
from fastgsm._registry import MODELS
from fastgsm.distributed import denoise_dask, fit_dask, fit_images
from fastgsm.noise import NoiseModel
from tests.helpers import QUALITIES, fit_quietly, heavy_tailed, new_model, new_models, noisy_leaves

SIGMA = 0.1


@pytest.fixture(scope="module")
def noisy() -> Any:
    return noisy_leaves((230, 190), sigma=SIGMA)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("chunks", [(100, 37), (230, 190)])
def test_chunks_give_the_bits_of_the_whole_image(noisy: Any, quality: str, chunks: Any) -> None:
    options: dict[str, Any] = {"quality": quality}
    lazy = denoise_dask(da.from_array(noisy, chunks), tile=100, **options)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == noisy.shape
    assert lazy.dtype == noisy.dtype
    whole = fastgsm.denoise(noisy, **options)
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), whole)


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_channels(noisy: Any, channel_axis: int) -> None:
    colour = np.stack([noisy, noisy[::-1], noisy[:, ::-1]], axis=channel_axis)
    options: dict[str, Any] = {"quality": "fast", "channel_axis": channel_axis}
    lazy = denoise_dask(da.from_array(colour, chunks=64), SIGMA, tile=100, **options)
    np.testing.assert_array_equal(lazy.compute(), fastgsm.denoise(colour, SIGMA, **options))


@pytest.mark.parametrize("noise", ["auto", "camera", NoiseModel.white([0.1, 0.05, 0.2])])
def test_any_noise_gives_the_bits_of_the_whole_image(noisy: Any, noise: Any) -> None:
    image = np.stack([noisy[:, :90], noisy[:, -90:], noisy[:, 20:110]], axis=-1)
    options: dict[str, Any] = {"noise": noise, "quality": "fast", "channel_axis": -1}
    lazy = denoise_dask(da.from_array(image, chunks=(50, 40, 3)), tile=64, **options)
    np.testing.assert_array_equal(lazy.compute(), fastgsm.denoise(image, **options))


def test_images_along_leading_axes_are_denoised_separately(noisy: Any) -> None:
    stack = np.stack([noisy, 0.5 * noisy])[None, ..., None]
    options: dict[str, Any] = {"quality": "fast", "channel_axis": -1}
    lazy = denoise_dask(da.from_array(stack, chunks=80), tile=100, **options)
    each = [fastgsm.denoise(image, **options) for image in stack[0]]
    np.testing.assert_array_equal(lazy.compute(), np.stack(each)[None])


def test_nothing_is_computed_too_early() -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed")

    image = da.map_blocks(fail, chunks=((64,), (64,)), dtype=np.float32, meta=np.empty((0, 0)))
    denoise_dask(image, quality="fast")


def test_bad_input_is_named(noisy: Any) -> None:
    with pytest.raises(TypeError, match="image is a ndarray"):
        denoise_dask(noisy)
    image = da.from_array(noisy)
    for axis in (0, 5, -4):
        with pytest.raises(ValueError, match=f"is {axis}; wanted .* as the last three"):
            denoise_dask(image[None, None, None], channel_axis=axis)
    with pytest.raises(TypeError, match=r"channel_axis is 1\.0"):
        denoise_dask(image[None, None], channel_axis=1.0)
    with pytest.raises(ValueError, match=r"shape \(0, 230, 190\), without a pixel"):
        denoise_dask(da.zeros((0, *noisy.shape)), SIGMA)
    with pytest.raises(ValueError, match="sigma is -1"):
        denoise_dask(image, -1)
    with pytest.raises(ValueError, match="image holds NaN"):
        denoise_dask(da.where(image > 1, np.nan, image), SIGMA).compute()


def test_a_data_range_that_is_too_small_warns(noisy: Any) -> None:
    lazy = denoise_dask(da.from_array(255 * noisy[:40]), 25, quality="fast")
    with pytest.warns(UserWarning, match="give data_range"):
        lazy.compute(scheduler="synchronous")


def kill_once(block: Any, path: str, survived: int) -> Any:
    """Kill the worker that comes here after ``survived`` other blocks."""
    for number in range(survived + 1):
        try:
            os.close(os.open(f"{path}{number or ''}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if number == survived:
            os._exit(1)
        break
    return block


def logged(block: Any, path: str) -> Any:
    """Write one letter for each finished block."""
    with open(path, "a") as file:
        file.write("x")
    return block


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two workers of one thread each, and a client that Dask's `compute` uses."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


def killing(array: Any, path: Any, survived: int = 0) -> Any:
    """Return an array that kills, once, a worker that computes a chunk while no file is there."""
    meta = np.empty((0,) * array.ndim, array.dtype)
    return array.map_blocks(kill_once, str(path), survived, dtype=array.dtype, meta=meta)


def kills(test: Any) -> Any:
    """Mark a test that loses a worker."""
    test = pytest.mark.filterwarnings("ignore")(test)  # from distributed, about the worker
    return pytest.mark.skipif(sys.platform == "win32", reason="needs signals to see a kill")(test)


@kills
def test_a_lost_worker_changes_nothing(noisy: Any, tmp_path: Any, cluster: Any) -> None:
    """The worker dies at one of the last of 48 chunks, when it holds tiles, which are lost."""
    image = killing(da.from_array(noisy, chunks=32), tmp_path / "killed", survived=40)
    done = tmp_path / "done"
    lazy = denoise_dask(image, SIGMA, quality="fast", tile=32)
    result = lazy.map_blocks(logged, str(done), dtype=lazy.dtype).compute()
    assert (tmp_path / "killed40").exists()
    assert len(done.read_text()) > lazy.npartitions == 12
    np.testing.assert_array_equal(result, fastgsm.denoise(noisy, SIGMA, quality="fast"))


def test_a_prior_given_by_the_user_is_sent_once(noisy: Any) -> None:
    prior = fastgsm.MVN().fit(fastgsm.sample_patches(noisy, random_state=0))
    lazy = denoise_dask(
        da.from_array(noisy, chunks=64), SIGMA, prior=prior, quality="fast", tile=64
    )
    graph = lazy.__dask_graph__()
    values = prior._density.eigenvectors.tobytes()[:64]
    assert sum(values in pickle.dumps(graph[key]) for key in graph) == 1
    whole = fastgsm.denoise(noisy, SIGMA, prior=prior, quality="fast")
    np.testing.assert_array_equal(lazy.compute(), whole)


# --- learning ---------------------------------------------------------------------------------

new = partial(new_model, tol=1e-2, random_state=0)


def assert_same_bits(mine: Any, other: Any) -> None:
    assert mine.lower_bounds_ == other.lower_bounds_
    for name, values in mine._arrays().items():
        np.testing.assert_array_equal(values, other._arrays()[name])


@pytest.fixture(scope="module")
def X(noisy: Any) -> Any:
    return fastgsm.sample_patches(noisy, 4, 3000, random_state=0)


@pytest.mark.parametrize("key", MODELS)
def test_fit_of_a_dask_array(key: str, X: Any) -> None:
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    model = new(key).fit(da.from_array(X, (700, 9)), sample_weight=weights)
    whole = new(key).fit(X, sample_weight=weights)
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=0.02)
    assert model.n_samples_seen_ == weights.sum()
    lazy_weights = da.from_array(weights, 1000)
    with dask.config.set(scheduler="synchronous"):
        assert_same_bits(model, new(key).fit(da.from_array(X, (700, 16)), None, lazy_weights))


@pytest.mark.parametrize("share_used", [None, 0.7, 0.3])
@pytest.mark.parametrize(
    "model",
    [
        *new_models(tol=1e-2, random_state=0).values(),
        fastgsm.GMM(3, init_params="random", tol=1e-2, random_state=0),
        fastgsm.MoGSM(3, 3, init_params="random", tol=1e-2, random_state=0),
        fastgsm.GSM(3, init_params="random", tol=1e-2, random_state=0),
        fastgsm.ICA(3, init_params="random", tol=1e-2, random_state=0),
        fastgsm.GMM(3, n_init=3, tol=1e-2, random_state=0),
    ],
    ids=repr,
)
def test_a_fit_of_chunks_starts_where_one_in_memory_does(
    X: Any, model: Any, share_used: float | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr("fastgsm.learning.data.START_SAMPLES", 400)
    X = X.astype(np.float64)
    weights = None
    if share_used is not None:
        rng = np.random.default_rng(0)
        weights = np.where(rng.random(len(X)) < share_used, rng.uniform(1, 3, len(X)), 0)
    whole = fit_quietly(clone(model), X, weights)
    for chunks in ((701, 9), (3000, 16)):
        mine = fit_quietly(clone(model), da.from_array(X, chunks), weights)
        np.testing.assert_allclose(mine.lower_bounds_, whole.lower_bounds_, rtol=1e-8)
        np.testing.assert_allclose(mine.covariances_, whole.covariances_, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(mine.weights_, whole.weights_, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("change", [lambda x: x[:-1], lambda x: np.concatenate([x, x[-1:]])])
def test_chunks_of_other_shapes_than_announced_are_refused(X: Any, change: Any) -> None:
    def wrong(array: Any, axis: int = 0) -> Any:
        def changed(block: Any) -> Any:
            return np.swapaxes(change(np.swapaxes(block, 0, axis)), 0, axis)

        return array.map_blocks(changed, chunks=array.chunks, dtype=array.dtype, meta=array._meta)

    lazy, weights = da.from_array(X, (1000, 16)), da.ones(len(X), chunks=700)
    image = da.from_array(np.zeros((60, 60)), chunks=20)
    match = r"the chunk \(\d.*\) of {} has shape .*, but the Dask array announces"
    fitted = new("MVN").fit(X)
    for samples in (wrong(lazy), wrong(lazy, 1), wrong(da.from_array(X, (1000, 9)))):
        for learn in (new("GSM").fit, fitted.sufficient_statistics, fitted.partial_fit):
            with pytest.raises(ValueError, match=match.format("X")):
                learn(samples)
    with pytest.raises(ValueError, match=match.format("sample_weight")):
        new("GSM").fit(lazy, sample_weight=wrong(weights))
    for axis in (0, 1):
        with pytest.raises(ValueError, match=match.format(r"images\[0\]")):
            fit_images(new("MVN"), [wrong(image, axis)], 1000, 4, random_state=0)


@kills
def test_a_worker_lost_in_a_fit_changes_nothing(X: Any, tmp_path: Any, cluster: Any) -> None:
    lazy = da.from_array(X, (500, 16))
    path = tmp_path / "killed"
    path.touch()

    def in_the_middle(em: Any) -> None:
        if em.iteration == 3:
            path.unlink()

    model = new("MoGSM").fit(killing(lazy, path), callback=in_the_middle)
    assert path.exists()
    with dask.config.set(scheduler="synchronous"):
        assert_same_bits(model, new("MoGSM").fit(lazy))


@pytest.mark.filterwarnings("ignore")  # from distributed
def test_an_interrupted_fit_continues_with_other_workers(
    X: Any, tmp_path: Any, monkeypatch: Any, cluster: Any
) -> None:
    monkeypatch.setattr("fastgsm.learning.checkpoint.SAVE_SECONDS", 0.0)
    path = tmp_path / "fit.npz"
    lazy = da.from_array(X, (1000, 16))

    def interrupt(em: Any) -> None:
        if em.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_dask(new("GMM"), lazy, callback=interrupt, checkpoint=path)
    with dask.config.set(scheduler="synchronous"):
        resumed = fit_dask(new("GMM"), lazy, checkpoint=path)
        assert_same_bits(resumed, new("GMM").fit(lazy))


def test_fit_images(noisy: Any, tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr")
    options: dict[str, Any] = {"n_patches": 4000, "patch_size": 4, "random_state": 0, "tile": 100}
    lazy = [da.from_array(noisy, chunks=64), da.from_array(noisy[:120, :80], chunks=50)]
    model = fit_images(new("GSM"), lazy, **options)
    assert model.n_samples_seen_ == 4000
    patches = fastgsm.sample_patches([noisy, noisy[:120, :80]], 4, 4000, random_state=1)
    assert model.score(patches) == pytest.approx(new("GSM").fit(patches).score(patches), abs=0.3)

    group = zarr.open_group(tmp_path / "images.zarr", mode="w")
    for name, image in zip(("a", "b"), lazy, strict=True):
        group.create_array(name, shape=image.shape, dtype=image.dtype, chunks=(64, 64))
        group[name][:] = image.compute()
    with dask.config.set(scheduler="synchronous"):
        assert_same_bits(model, fit_images(new("GSM"), group, **options))


def test_workers_give_the_bits_of_large_patches_too(noisy: Any, cluster: Any) -> None:
    """16x16: LAPACK's last bits there depend on the number of threads, one in a worker."""
    X = fastgsm.sample_patches(noisy.astype(float), 16, 900, random_state=0)
    lazy = da.from_array(X, (300, 256))
    for model in (fastgsm.GMM(2, random_state=0), fastgsm.GSM(2)):
        mine = type(model)(**model.get_params()).fit(lazy)
        with dask.config.set(scheduler="synchronous"):
            assert_same_bits(mine, model.fit(lazy))


def test_images_of_several_types_are_converted_to_the_widest(noisy: Any) -> None:
    images = [noisy, noisy.astype(np.float64)]
    model = fit_images(new("MVN"), images, 2000, 4, random_state=0)
    assert model.eigenvalues_.shape == (1, 15)
    ints = fit_images(new("MVN"), [np.uint8(100 * np.clip(noisy, 0, 2))], 2000, 4, random_state=0)
    assert ints.score(fastgsm.sample_patches(noisy, 4, 100)) > -np.inf


def test_stacks_are_not_read_by_the_client(noisy: Any, tmp_path: Any) -> None:
    zarr = pytest.importorskip("zarr")
    stack = zarr.create_array(tmp_path / "a.zarr", shape=(2, *noisy.shape), dtype="f4")
    stack[:] = np.stack([noisy] * 2)
    mine = fit_images(new("MVN"), stack, 1000, 4, random_state=0, tile=100)
    assert_same_bits(mine, fit_images(new("MVN"), [noisy] * 2, 1000, 4, random_state=0, tile=100))
    xarray = pytest.importorskip("xarray")
    lazy = xarray.DataArray(da.from_array(noisy, 64))
    for images in (lazy, [lazy]):
        assert fit_images(new("MVN"), images, 1000, 4, random_state=0).n_samples_seen_ == 1000


def test_statistics_of_a_dask_array(X: Any) -> None:
    model = new("GMM").fit(X)
    mine = model.sufficient_statistics(da.from_array(X, (1000, 16)), np.ones(len(X)))
    parts = [model.sufficient_statistics(X[i : i + 1000]) for i in (0, 1000, 2000)]
    np.testing.assert_array_equal(mine.products, sum(parts).products)
    assert model.partial_fit(da.from_array(X, (1000, 16))).n_samples_seen_ == 2 * len(X)


def test_patches_are_drawn_a_block_at_a_time(noisy: Any, monkeypatch: Any) -> None:
    drawn: list[int] = []

    def count(*args: Any, **options: Any) -> Any:
        drawn.append(args[2])
        return fastgsm.sample_patches(*args, **options)

    monkeypatch.setattr("fastgsm._patch_sources.SAMPLES_AT_ONCE", 512)
    monkeypatch.setattr("fastgsm._patch_sources.sample_patches", count)
    with dask.config.set(scheduler="synchronous"):
        model = fit_images(new("MVN"), noisy, 2000, 4, random_state=0)
    assert model.n_samples_seen_ == 2000
    assert max(drawn) == 512


def test_places_of_all_images_are_equally_likely() -> None:
    images = [np.zeros((40, 100), np.float32), np.ones((80, 100), np.float32)]
    model = fit_images(fastgsm.MVN(), images, 100_000, 1, center=None, random_state=0, tile=30)
    assert model.means_[0, 0] == pytest.approx(2 / 3, abs=0.01)


def test_bad_samples_and_images_are_named(X: Any) -> None:
    lazy = da.from_array(X, (1000, 16))
    with pytest.raises(TypeError, match="X is a ndarray"):
        fit_dask(new("GSM"), X)
    with pytest.raises(ValueError, match="wanted \\(n_samples, n_features\\)"):
        new("GSM").fit(lazy[:, 0])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        new("GSM").fit(lazy[lazy[:, 0] > 0])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        new("GSM").fit(lazy, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="sample_weight has chunks of unknown length"):
        new("GSM").fit(lazy, sample_weight=lazy[lazy[:, 0] > 0][:, 0])
    with pytest.raises(ValueError, match="sample_weight is zero for every sample"):
        new("GSM").fit(lazy, sample_weight=np.zeros(len(X)))
    with pytest.raises(ValueError, match="NaN"):
        new("GSM").fit(da.where(lazy > 0.1, np.nan, lazy))
    with pytest.raises(ValueError, match="n_samples = 1"):
        new("GSM").fit(lazy[:1])
    for learn in (new("GSM").fit, new("GSM").fit(X).sufficient_statistics):
        with pytest.raises(ValueError, match=r"shape \(0, 16\); wanted at least one"):
            learn(lazy[:0])
    with pytest.raises(ValueError, match="images is empty"):
        fit_images(new("GSM"), [])
    with pytest.raises(ValueError, match=r"images\[0\]"):
        fit_images(new("GSM"), [np.zeros((4, 4))])
    with pytest.raises(ValueError, match=r"images\[0\] has shape \(40, 40, 3\)"):
        fit_images(new("GSM"), [np.zeros((40, 40, 3))])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        fit_images(new("GSM"), [lazy[lazy[:, 0] > 0]])
    with pytest.raises(TypeError, match="is the path"):
        fit_images(new("GSM"), "images.zarr")
    with pytest.raises(TypeError, match="dtype bool"):
        fit_images(new("GSM"), [np.zeros((40, 40), bool)])
    with pytest.raises(ValueError, match="center is 'global'"):
        fit_images(new("GSM"), [np.zeros((40, 40))], center="global")


def test_weights_of_samples_on_dask_are_checked_as_elsewhere() -> None:
    X, model = da.from_array(heavy_tailed(100, 3), chunks=(50, -1)), fastgsm.MVN()
    weights = np.random.default_rng(0).integers(1, 5, 100)
    wanted = model.fit(X, sample_weight=weights).covariances_
    found = model.fit(X, sample_weight=pd.Series(weights, dtype="Int64")).covariances_
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    missing = pd.Series([pd.NA, *weights[1:]], dtype="Int64")
    with pytest.raises(ValueError, match="sample_weight holds NaN"):
        model.fit(X, sample_weight=missing)
    with pytest.raises(TypeError, match="sample_weight is a sparse matrix"):
        model.fit(X, sample_weight=csr_array(weights[None]))


def test_statistics_of_a_dask_array_are_those_of_the_model(X: Any) -> None:
    model, lazy = fastgsm.MVN().fit(X), da.from_array(X, chunks=(1000, -1))
    ours = fastgsm.distributed.statistics_dask(model, lazy)
    wanted = model.sufficient_statistics(lazy)
    np.testing.assert_array_equal(ours.products, wanted.products)
    with pytest.raises(TypeError, match=r"wanted a dask\.array\.Array"):
        fastgsm.distributed.statistics_dask(model, X)


def test_a_program_that_imports_no_client() -> None:
    """Dask imports the package distributed when it computes, and needs the package's defaults."""
    program = """
import dask.array as da, numpy as np, fastgsm
X = np.random.default_rng(0).normal(size=(300, 3))
model = fastgsm.MVN().fit(da.from_array(X, chunks=(100, 3)))
model.partial_fit(da.from_array(X, chunks=(100, 3)))
print(model.n_samples_seen_)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    assert float(result.stdout) == 600
