"""Tiles: the bits of the whole image, in bounded memory, with a checkpoint."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter

import fastgsm
from fastgsm._arrays import share_pixels
from fastgsm._parts import tiles_of
from fastgsm.noise.model import NoiseModel
from fastgsm.restore import presets
from fastgsm.restore.method import Reach
from fastgsm.restore.presets import PRESETS
from tests.helpers import QUALITIES, noisy_leaves

SIGMA = 0.1


@pytest.fixture(scope="module")
def noisy() -> Any:
    return noisy_leaves((331, 290), sigma=SIGMA)


def by_tiles(image: Any, sigma: Any = SIGMA, **options: Any) -> Any:
    return fastgsm.denoise_tiles(image, np.zeros_like(image), sigma, **options)


@pytest.mark.parametrize(
    ("quality", "tile"), [*((q, 70) for q in QUALITIES), ("fast", 1), ("best", 1), ("best", 50)]
)
def test_tiles_give_the_bits_of_the_whole_image(noisy: Any, quality: str, tile: int) -> None:
    image = noisy[:, :150]
    whole = fastgsm.denoise(image, SIGMA, quality=quality)
    np.testing.assert_array_equal(by_tiles(image, quality=quality, tile=tile), whole)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((60, 420), {"quality": "balanced", "tile": 40}),
        ((420, 60), {"quality": "balanced", "tile": 40, "dtype": np.float64}),
        ((60, 500), {"quality": "best", "tile": 40}),
        ((400, 50), {"quality": "balanced", "tile": 90, "stride": 3}),
        ((50, 420), {"quality": "balanced", "tile": 40, "patch_size": 5}),
        ((50, 400), {"quality": "balanced", "tile": 40, "n_channels": 3}),
    ],
)
def test_long_images_have_several_tiles_along_either_axis(shape: Any, options: Any) -> None:
    """The images are longer than a tile and two halos, so that no tile sees a whole one."""
    options = dict(options)
    dtype, patch_size, n = (
        options.pop(name, default)
        for name, default in (("dtype", np.float32), ("patch_size", 8), ("n_channels", 1))
    )
    clean = fastgsm.datasets.dead_leaves((n * shape[0], shape[1]), random_state=1)
    image = fastgsm.datasets.add_noise(clean, SIGMA, random_state=1).astype(dtype)
    if n > 1:
        image, options["channel_axis"] = image.reshape(n, *shape), 0
    if patch_size != 8:
        X = fastgsm.sample_patches(clean, patch_size, 3000, random_state=0)
        options["prior"] = fastgsm.MoGSM(4, 3, tol=0.5, random_state=0).fit(X)
    whole = fastgsm.denoise(image, SIGMA, **{k: v for k, v in options.items() if k != "tile"})
    np.testing.assert_array_equal(by_tiles(image, **options), whole)


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_a_smaller_halo_does_not_suffice(noisy: Any, quality: str, monkeypatch: Any) -> None:
    """Halos are whole steps, and a preset's reach needs all of them.

    "fast" loses its one step here, "balanced" two of three, as the last matters to few pixels.
    """
    prior = "gsm" if quality == "fast" else None
    step = PRESETS[quality].reach(8, 1 if quality == "fast" else 4).step
    smaller = Reach(0 if quality == "fast" else step, step)
    monkeypatch.setitem(PRESETS, quality, replace(PRESETS[quality], reach=lambda *_: smaller))
    image = noisy[:, :150]
    whole = fastgsm.denoise(image, SIGMA, quality=quality, prior=prior)
    assert (by_tiles(image, quality=quality, prior=prior, tile=70) != whole).any()


def test_a_smaller_halo_does_not_suffice_for_a_cascade(noisy: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(fastgsm.restore.options, "cascades_reach", lambda _: Reach(8, 64))
    image = np.tile(noisy, (1, 2))
    whole = fastgsm.denoise(image, SIGMA, quality="fast")
    assert (by_tiles(image, quality="fast", tile=70) != whole).any()


@pytest.mark.parametrize(
    ("quality", "smaller"),
    [("balanced", {"fine": 24}), ("best", {"fine": 0}), ("best", {"refinement": 24})],
)
def test_smaller_halos_of_the_stages_do_not_suffice(
    noisy: Any, quality: str, smaller: Any, monkeypatch: Any
) -> None:
    """Each stage loses one step here, but "balanced" loses two steps of its 40 pixels."""
    new = PRESETS[quality].new

    def new_with_small_halos(setting: Any, level: float) -> Any:
        with monkeypatch.context() as patch:
            if "fine" in smaller:
                patch.setattr(presets, "fine_halo", lambda *_: smaller["fine"])
            else:
                reach = Reach(smaller["refinement"], 24)
                patch.setattr(presets.NonlocalMVN, "reach", lambda: reach)
            return new(setting, level)

    monkeypatch.setitem(PRESETS, quality, replace(PRESETS[quality], new=new_with_small_halos))
    image = noisy[:, :200]
    whole = fastgsm.denoise(image, SIGMA, quality=quality)
    assert (by_tiles(image, quality=quality, tile=70) != whole).any()


def test_patches_larger_than_a_band(noisy: Any) -> None:
    prior = fastgsm.MVN().fit(fastgsm.sample_patches(noisy, 20, 2000, random_state=0))
    options: dict[str, Any] = {"quality": "fast", "prior": prior}
    whole = fastgsm.denoise(noisy, SIGMA, **options)
    np.testing.assert_array_equal(by_tiles(noisy, tile=50, **options), whole)


def test_all_tiles_draw_the_same_grids(noisy: Any, monkeypatch: Any) -> None:
    image = noisy[:, :150]
    whole = fastgsm.denoise(image, SIGMA, random_state=np.random.default_rng(5))
    monkeypatch.setattr("fastgsm.tiles.check_random_state", lambda _: np.random.default_rng(5))
    np.testing.assert_array_equal(by_tiles(image, random_state=None, tile=70), whole)


@pytest.mark.parametrize(("dtype", "data_range"), [(np.float32, 200), (np.uint16, 4095)])
def test_a_data_range_may_differ_from_that_of_the_type(
    noisy: Any, dtype: Any, data_range: float
) -> None:
    image = (noisy.clip(0, 1) * data_range).astype(dtype)
    options: dict[str, Any] = {"quality": "fast", "data_range": data_range}
    whole = fastgsm.denoise(image, **options)
    np.testing.assert_array_equal(by_tiles(image, None, tile=100, **options), whole)


def test_an_unlikely_range_warns(noisy: Any) -> None:
    with pytest.warns(UserWarning, match=r"image spans .*give data_range") as warned:
        by_tiles(noisy[:40] * 255, 25, quality="fast", tile=24)
    assert len(warned) == 1


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_colour(noisy: Any, channel_axis: int) -> None:
    colour = np.stack([noisy, noisy[::-1], noisy[:, ::-1]], axis=channel_axis)
    options: dict[str, Any] = {"quality": "fast", "channel_axis": channel_axis}
    whole = fastgsm.denoise(colour, **options)
    np.testing.assert_array_equal(by_tiles(colour, None, tile=100, **options), whole)


@pytest.mark.parametrize("tile", [60, 1000])
def test_the_noise_is_estimated_from_the_whole_image(noisy: Any, tile: int) -> None:
    for image in (noisy, (255 * noisy[:40]).clip(0, 255).astype(np.uint8)):
        given = by_tiles(image, fastgsm.estimate_sigma(image), quality="fast", tile=tile)
        estimated = by_tiles(image, None, quality="fast", tile=tile)
        np.testing.assert_array_equal(estimated, given)


NOISES: dict[str, Any] = {
    "auto": "auto",
    "camera": "camera",
    "model": NoiseModel.white([0.1, 0.05, 0.2]),
    "correlated": NoiseModel([0.1], np.outer([0.4, 1, 0.4], [0.4, 1, 0.4])[None, None]),
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("quality", QUALITIES)
def test_any_noise_gives_the_bits_of_the_whole_image(noisy: Any, noise: Any, quality: str) -> None:
    image = np.stack([noisy[:, :150], noisy[:, 140:], noisy[:, 100:250]], axis=-1)
    options: dict[str, Any] = {"noise": noise, "quality": quality, "channel_axis": -1}
    whole = fastgsm.denoise(image, **options)
    np.testing.assert_array_equal(by_tiles(image, None, tile=128, **options), whole)


@pytest.mark.parametrize("kind", ["correlated", "photon", "camera"])
def test_any_noise_that_is_found_gives_the_bits_of_the_whole_image(kind: str) -> None:
    clean = fastgsm.datasets.dead_leaves((200, 230), random_state=0)
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"quality": "fast", "channel_axis": None, "data_range": 1.0}
    if kind == "photon":
        image = rng.poisson(30 * clean) / 30
    elif kind == "correlated":
        image = clean + 0.35 * gaussian_filter(rng.standard_normal(clean.shape), 1)
    else:
        photo = skimage.data.astronaut()[:256, 120:376].astype(np.float32) / 255
        image = fastgsm.datasets.camera_noise(photo, 100, random_state=0)
        options["channel_axis"] = -1
    found = fastgsm.estimate_noise(image, channel_axis=options["channel_axis"])
    assert found.kind == kind
    whole = fastgsm.denoise(image, **options)
    np.testing.assert_array_equal(by_tiles(image, None, tile=96, **options), whole)


@pytest.mark.filterwarnings("ignore:image spans", "ignore:image has at most")
@pytest.mark.parametrize("noise", ["white", "poisson", "auto"])
@pytest.mark.parametrize(("unit", "dtype"), [(0.01, np.float32), (1, np.uint16), (50, np.float64)])
def test_the_data_range_is_that_of_the_whole_image(
    noisy: Any, noise: str, unit: float, dtype: Any
) -> None:
    counts = np.random.default_rng(0).poisson(50 * noisy[:100, :150].clip(0, 1))
    options: dict[str, Any] = {"noise": noise, "quality": "fast"}
    for image in ((unit * counts).astype(dtype), (unit * counts[:, ::-1]).astype(dtype)):
        whole = fastgsm.denoise(image, **options)
        for tile in (48, 49):  # in the second case the last tile is narrower than a box
            np.testing.assert_array_equal(by_tiles(image, None, tile=tile, **options), whole)


def test_tiles_cover_every_pixel_once() -> None:
    count = np.zeros((100, 37), int)
    for tile in tiles_of(count.shape, 20, 9, 8):
        assert tile.outer[0].start % 8 == tile.outer[1].start % 8 == 0
        view = count[tile.outer]
        view[tile.cut] += 1
        assert view[tile.cut].shape == count[tile.inner].shape
    assert (count == 1).all()


def test_memory_does_not_grow_with_the_image(noisy: Any, tmp_path: Path) -> None:
    peaks = []
    # The first call prepares the prior. Now and then a call's peak is a third lower.
    for n in (1, 1, 1, 1, 1, 3):
        np.save(tmp_path / "noisy.npy", np.tile(noisy, (n, n)))
        image = np.load(tmp_path / "noisy.npy", mmap_mode="r")
        out = np.lib.format.open_memmap(
            tmp_path / "out.npy", "w+", dtype=image.dtype, shape=image.shape
        )
        tracemalloc.start()
        fastgsm.denoise_tiles(image, out, SIGMA, quality="fast", tile=96)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[-1] < 1.2 * max(peaks[1:-1])


class Store:
    """The part of an array's interface that `denoise_tiles` uses; may fail after some writes."""

    def __init__(self, array: Any, writes: int = 1000) -> None:
        self.array, self.writes = array, writes
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, part: Any) -> Any:
        return self.array[part]

    def __setitem__(self, part: Any, values: Any) -> None:
        if self.writes == 0:
            raise OSError("disk full")
        self.writes -= 1
        self.array[part] = values


def test_a_run_continues_from_its_checkpoint(noisy: Any, tmp_path: Any, monkeypatch: Any) -> None:
    options: dict[str, Any] = {"quality": "fast", "tile": 100, "checkpoint": tmp_path / "done"}
    out = Store(np.zeros_like(noisy), writes=4)
    with pytest.raises(OSError, match="disk full"):
        fastgsm.denoise_tiles(Store(noisy), out, SIGMA, **options)
    with options["checkpoint"].open("a") as file:
        file.write("1")  # a line that was cut short
    for other in (
        {"sigma": SIGMA + 0.1},
        {"image": noisy + 1},
        {"random_state": 1},
        {"prior": fastgsm.load_prior("gsm-chroma")},
    ):
        arguments: dict[str, Any] = {"image": Store(noisy), "sigma": SIGMA} | options | other
        with pytest.raises(ValueError, match="checkpoint of another run"):
            fastgsm.denoise_tiles(out=out, **arguments)
    out.writes = 1000
    fastgsm.denoise_tiles(Store(noisy), out, SIGMA, **options)
    n_tiles = len(tiles_of(noisy.shape, 100, 0, 16))
    assert 1000 - out.writes == n_tiles - 4
    np.testing.assert_array_equal(out.array, fastgsm.denoise(noisy, SIGMA, quality="fast"))
    assert not options["checkpoint"].exists()


@pytest.fixture
def stopped(noisy: Any, tmp_path: Any) -> dict[str, Any]:
    """Return the arguments of a run that was stopped after four tiles."""
    out = Store(np.zeros_like(noisy), writes=4)
    options: dict[str, Any] = {"image": noisy, "out": out, "sigma": SIGMA, "quality": "fast"}
    options |= {"tile": 100, "checkpoint": tmp_path / "done"}
    with pytest.raises(OSError, match="disk full"):
        fastgsm.denoise_tiles(**options)
    out.writes = 1000
    return options


@pytest.mark.parametrize("lost", [np.s_[:], np.s_[0, 0], np.s_[96:100, 96:100]])
def test_tiles_missing_in_out_do_not_count_as_done(
    noisy: Any, stopped: dict[str, Any], lost: Any
) -> None:
    out, checkpoint = stopped["out"], stopped["checkpoint"]
    listed = checkpoint.read_bytes()
    out.array[lost] = 0  # np.s_[:] as if opened again in mode "w+"
    with pytest.raises(ValueError, match="out does not hold tile 0, which is done according to"):
        fastgsm.denoise_tiles(**stopped)
    assert checkpoint.read_bytes() == listed and out.writes == 1000
    checkpoint.unlink()
    fastgsm.denoise_tiles(**stopped)
    np.testing.assert_array_equal(out.array, fastgsm.denoise(noisy, SIGMA, quality="fast"))


def test_a_store_may_round_the_values_written_to_it(noisy: Any, tmp_path: Any) -> None:
    class Rounding(Store):
        def __setitem__(self, part: Any, values: Any) -> None:
            super().__setitem__(part, np.round(values, 2))

    out = Rounding(np.zeros_like(noisy), writes=4)
    options: dict[str, Any] = {"quality": "fast", "tile": 100, "checkpoint": tmp_path / "done"}
    with pytest.raises(OSError, match="disk full"):
        fastgsm.denoise_tiles(noisy, out, SIGMA, **options)
    out.writes = 1000
    fastgsm.denoise_tiles(noisy, out, SIGMA, **options)
    assert 1000 - out.writes == len(tiles_of(noisy.shape, 100, 0, 16)) - 4


@pytest.mark.parametrize(
    "content",
    [b"my notes", b"my notes\n1\n", b"\x89PNG\r\n\x1a\n\0\xff", b"fastgsm-tiles-1 ",
     b"fastgsm-tiles-1 abc\nx y\n", b"fastgsm-tiles-1 abc\n\xff\n", b"fastgsm-tiles-1 abc\n1\n"],
)  # fmt: skip
def test_a_file_that_is_not_a_checkpoint_is_left_alone(
    noisy: Any, tmp_path: Any, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of tiles; wanted one"):
        by_tiles(noisy, quality="fast", checkpoint=path)
    assert path.read_bytes() == content


def test_an_empty_file_may_become_a_checkpoint(noisy: Any, tmp_path: Any) -> None:
    (tmp_path / "file").touch()
    by_tiles(noisy, quality="fast", checkpoint=tmp_path / "file")
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_needs_a_seed(noisy: Any, tmp_path: Any) -> None:
    options: dict[str, Any] = {"checkpoint": tmp_path / "done", "random_state": None}
    with pytest.raises(ValueError, match="random_state is None, so no run repeats"):
        by_tiles(noisy, **options)
    assert not any(tmp_path.iterdir())


def test_a_bright_tile_counts_for_all_before_one_is_written(noisy: Any) -> None:
    image = noisy.copy()
    image[120:] *= 255
    out = Store(np.zeros_like(image), writes=0)
    options: dict[str, Any] = {"quality": "fast", "tile": 100}
    with (
        pytest.warns(UserWarning, match="image spans") as warned,
        pytest.raises(OSError, match="disk full"),
    ):
        fastgsm.denoise_tiles(image, out, SIGMA, **options)
    assert len(warned) == 1 and warned[0].filename == __file__


def test_dark_tiles_do_not_make_a_dark_image(noisy: Any, tmp_path: Any) -> None:
    image = noisy.copy()
    image[120:] /= 1000
    options: dict[str, Any] = {"quality": "fast", "tile": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_tiles(image, **options)  # dark tiles in an image that is not dark
        out = Store(np.zeros_like(image), writes=8)
        options["checkpoint"] = tmp_path / "done"
        with pytest.raises(OSError, match="disk full"):
            fastgsm.denoise_tiles(image, out, SIGMA, **options)
        out.writes = 1000
        fastgsm.denoise_tiles(image, out, SIGMA, **options)
    with pytest.warns(UserWarning, match="image spans"):
        by_tiles(image / 1000, SIGMA / 1000, **options)


# ---- one array, opened twice


def zarr_handles(tmp_path: Any, image: Any) -> list[tuple[Any, Any, bool]]:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    group.create_array("x", data=image)
    alias = tmp_path / "link.zarr"
    alias.symlink_to(tmp_path / "group.zarr")
    memory: dict[str, Any] = {}
    for name in "xy":
        zarr.create_array(memory, name=name, data=image)
    return [
        (group["x"], group["x"], True),
        (group["x"], zarr.open_array(alias / "x", mode="r+"), True),
        (group["x"], group.create_array("y", data=image), False),
        *((zarr.open_array(memory, path="x"), zarr.open_array(memory, path=n), n == "x")
          for n in "xy"),
        (zarr.create_array({}, data=image), zarr.create_array({}, data=image), False),
        (group["x"], image, False),
        (group["x"], Store(image), False),
    ]  # fmt: skip


def h5py_handles(tmp_path: Any, image: Any) -> list[tuple[Any, Any, bool]]:
    h5py = pytest.importorskip("h5py")
    file = h5py.File(tmp_path / "images.h5", "w")
    file["x"] = image
    file["y"] = file["x"]  # a link
    file["z"] = image
    again = h5py.File(tmp_path / "images.h5", "r+")
    return [
        (file["x"], file["x"], True),
        (file["x"], again["y"], True),
        (file["x"], file["z"], False),
        (file["x"], image, False),
    ]


def mapped_handles(tmp_path: Any, image: Any) -> list[tuple[Any, Any, bool]]:
    def mapped(name: str, mode: Any = "r+", row: int = 0) -> Any:
        start = 128 + row * image.strides[0]
        return np.memmap(tmp_path / name, image.dtype, mode, start, image.shape)

    np.save(tmp_path / "one.npy", np.concatenate([image, image]))
    np.save(tmp_path / "two.npy", image)
    (tmp_path / "link.npy").symlink_to("one.npy")
    twice = np.load(tmp_path / "one.npy", mmap_mode="r+")
    n = len(image)
    np.save(tmp_path / "deleted.npy", image)
    deleted = mapped("deleted.npy")
    (tmp_path / "deleted.npy").unlink()
    return [
        (mapped("one.npy", "r"), mapped("one.npy"), True),
        (mapped("one.npy", "c"), np.asarray(mapped("link.npy", row=n - 1)), True),
        (twice[n:], mapped("one.npy", row=n), True),
        (twice[n:], mapped("one.npy"), False),
        (mapped("one.npy"), mapped("one.npy", row=n), False),
        (mapped("one.npy"), mapped("two.npy"), False),
        (mapped("one.npy"), deleted, False),
        (mapped("one.npy"), image, False),
    ]


@pytest.mark.parametrize("handles", [zarr_handles, h5py_handles, mapped_handles])
def test_one_array_opened_twice_is_refused(noisy: Any, tmp_path: Any, handles: Any) -> None:
    image = noisy[:64, :64].copy()
    for first, second, same in handles(tmp_path, image):
        for one, other in ((first, second), (second, first)):
            assert share_pixels(one, other) == same
            if same:
                before = np.array(one[:])
                with pytest.raises(ValueError, match="out shares memory, a file or a data set"):
                    fastgsm.denoise_tiles(one, other, 0.1)
                if not isinstance(one, np.ndarray):  # for which denoise makes a copy
                    with pytest.raises(ValueError, match="out shares memory, a file or a data set"):
                        fastgsm.denoise(one, 0.1, out=other)
                np.testing.assert_array_equal(one[:], before)


IMAGE = np.zeros((40, 40))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": [[0.0]]}, TypeError, "image is a list; wanted an array"),
        ({"out": np.zeros((40, 41))}, ValueError, r"out has shape \(40, 41\)"),
        ({"out": IMAGE}, ValueError, "out shares memory"),
        ({"image": np.where(np.eye(40), np.nan, 0)}, ValueError, "image holds NaN in rows 0 to 40"),
        ({"image": np.zeros((40, 5)), "out": np.zeros((40, 5))}, ValueError, "at least 8"),
        ({"channel_axis": 0}, ValueError, "two axes of pixels and one of channels"),
        ({"sigma": np.ones((40, 40))}, TypeError, "sigma is"),
        ({"tile": 0}, ValueError, "tile is 0"),
        ({"image": np.ma.masked_less(np.eye(40), 1)}, TypeError, "image is a masked array"),
        ({"quality": "top"}, ValueError, "quality is 'top'"),
    ],
)
def test_bad_input_is_named(options: Any, error: Any, message: str) -> None:
    arguments = {"image": IMAGE, "out": np.empty((40, 40)), "sigma": 0.1} | options
    with pytest.raises(error, match=message):
        fastgsm.denoise_tiles(**arguments)


# ---- denoise(out=...), which passes stored arrays on to tiles


@pytest.fixture
def tiles_called(monkeypatch: Any) -> list[Any]:
    """Return a list that receives each image that `denoise_tiles` is called with."""
    images = []
    by_tiles = fastgsm.denoise_tiles

    def noted(image: Any, *arguments: Any, **options: Any) -> Any:
        images.append(image)
        return by_tiles(image, *arguments, tile=64, **options)

    monkeypatch.setattr("fastgsm._denoise.denoise_tiles", noted)
    return images


def as_zarr(array: Any) -> Any:
    zarr = pytest.importorskip("zarr")
    return zarr.create_array({}, data=array, chunks=(33,) * array.ndim)


def as_hdf5(array: Any) -> Any:
    h5py = pytest.importorskip("h5py")
    file = h5py.File.in_memory()
    return file.create_dataset("image", data=array, chunks=True)


@pytest.mark.parametrize("store", [Store, as_zarr, as_hdf5])
def test_denoise_reads_and_writes_stored_arrays_by_tiles(
    noisy: Any, tiles_called: Any, store: Any
) -> None:
    image = np.stack([noisy, noisy[::-1], noisy[:, ::-1]]) * 200
    options: dict[str, Any] = {"quality": "fast", "channel_axis": 0, "data_range": 200}
    options |= {"prior": fastgsm.load_prior("gsm-chroma"), "stride": 2, "workers": 1}
    whole = fastgsm.denoise(image, 20, **options)
    for given, out in (
        (store(image), store(np.zeros_like(image))),
        (store(image), np.zeros_like(image)),
        (image, store(np.zeros_like(image))),
    ):
        assert fastgsm.denoise(given, 20, out=out, **options) is out
        np.testing.assert_array_equal(out[:], whole)
        assert tiles_called.pop() is given
    plain = np.zeros_like(image)
    assert fastgsm.denoise(image, 20, out=plain, **options) is plain
    assert fastgsm.denoise(image[0], 20, quality="fast", data_range=200).shape == noisy.shape
    assert not tiles_called


def test_denoise_passes_the_seed_and_the_noise_on_to_tiles(noisy: Any, tiles_called: Any) -> None:
    image, out = noisy[:, :150], Store(np.zeros_like(noisy[:, :150]))
    fastgsm.denoise(Store(image), out=out, random_state=np.random.default_rng(5))
    whole = fastgsm.denoise(image, random_state=np.random.default_rng(5))
    np.testing.assert_array_equal(out.array, whole)
    assert len(tiles_called) == 1


def test_denoise_maps_large_files_by_tiles(
    noisy: Any, tiles_called: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    np.save(tmp_path / "in.npy", noisy)
    image = np.load(tmp_path / "in.npy", mmap_mode="c")
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", noisy.dtype, noisy.shape)
    whole = fastgsm.denoise(noisy, SIGMA, quality="fast")

    def denoise(out: Any) -> None:
        fastgsm.denoise(image, SIGMA, quality="fast", out=out)
        np.testing.assert_array_equal(out, whole)

    denoise(out)
    assert not tiles_called  # small
    monkeypatch.setitem(fastgsm.denoise.__globals__, "MAPPED_WHOLE", noisy.size - 1)
    out[:] = 0
    denoise(out)
    assert len(tiles_called) == 1
    denoise(np.zeros_like(noisy))
    denoise(image)  # in place, where tiles would read pixels that others have written
    image = np.load(tmp_path / "out.npy", mmap_mode="r")
    out[:] = noisy
    denoise(out)  # the same file
    assert len(tiles_called) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("aggregation", "center"), ("mask", IMAGE > 0), ("return_std", True),
     ("sigma", IMAGE + 1)],
)  # fmt: skip
def test_denoise_refuses_options_that_tiles_lack(name: str, value: Any) -> None:
    what = "a map for sigma" if name == "sigma" else name
    for image, out in ((Store(IMAGE), np.empty((40, 40))), (IMAGE, Store(np.empty((40, 40))))):
        with pytest.raises(ValueError, match=f"{what} was given, and image or out is stored"):
            fastgsm.denoise(image, out=out, quality="fast", **{name: value})


def test_a_prior_that_expects_images_without_their_mean_is_refused(noisy: Any) -> None:
    X = fastgsm.sample_patches(noisy, 8, 500, center="global", random_state=0)
    prior = fastgsm.MVN().fit(X)
    with pytest.raises(ValueError, match="which a tile cannot know"):
        by_tiles(noisy, prior=prior)
