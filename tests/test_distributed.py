"""Dask: the bits of `denoise`, whatever the chunks, the scheduler and the workers lost."""

from __future__ import annotations

import os
import sys
from typing import Any

import dask.array as da
import numpy as np
import pytest

import fastgsm
from fastgsm.distributed import denoise_dask

SIGMA = 0.1


@pytest.fixture(scope="module")
def noisy() -> Any:
    clean = fastgsm.datasets.dead_leaves((230, 190), random_state=0)
    return fastgsm.datasets.add_noise(clean, SIGMA, random_state=0).astype(np.float32)


@pytest.mark.parametrize("quality", ["fast", "balanced"])
@pytest.mark.parametrize("chunks", [(100, 37), (230, 190)])
def test_the_bits_are_those_of_the_whole(noisy: Any, quality: str, chunks: Any) -> None:
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


def test_leading_axes_are_of_images_on_their_own(noisy: Any) -> None:
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
    with pytest.raises(ValueError, match="among the last three axes"):
        denoise_dask(image[None, None], channel_axis=0)
    with pytest.raises(ValueError, match="sigma is -1"):
        denoise_dask(image, -1)
    with pytest.raises(ValueError, match="image holds NaN"):
        denoise_dask(da.where(image > 1, np.nan, image), SIGMA).compute()


def kill_once(block: Any, path: str) -> Any:
    """Kill the worker that comes here first."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block
    os._exit(1)


@pytest.mark.skipif(sys.platform == "win32", reason="a killed worker is told by a signal")
@pytest.mark.filterwarnings("ignore")  # of distributed, for the worker that is lost
def test_a_lost_worker_changes_nothing(noisy: Any, tmp_path: Any) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
    ):
        image = da.from_array(noisy, chunks=100)
        image = image.map_blocks(
            kill_once, str(tmp_path / "killed"), dtype=image.dtype, meta=np.empty((0, 0), "f4")
        )
        result = denoise_dask(image, SIGMA, quality="fast", tile=100).compute()
    assert (tmp_path / "killed").exists()
    np.testing.assert_array_equal(result, fastgsm.denoise(noisy, SIGMA, quality="fast"))
