"""Models as files, and bad input to models: what was given, what is wanted."""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
from fastgsm._registry import MODELS
from tests.helpers import fit_quietly, new_models

X = np.random.default_rng(0).standard_t(4, (400, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])
OPTIONS: dict[str, Any] = {"tol": 0.05, "max_iter": 500, "random_state": 0}
every_model = pytest.mark.parametrize("model", new_models(2, **OPTIONS).values(), ids=MODELS)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    fastgsm.GSM(3, **OPTIONS).fit(X).save(path)
    return path


def rewrite(path: Path, header: dict[str, Any] | None = None, **arrays: Any) -> None:
    """Change entries of a model file."""
    with np.load(path) as file:
        contents = dict(file)
    changed = json.loads(contents.pop("header").tobytes()) | (header or {})
    contents |= arrays
    np.savez(path, header=np.frombuffer(json.dumps(changed).encode(), np.uint8), **contents)


# --- files --------------------------------------------------------------------------------


@every_model
def test_round_trip_keeps_every_bit(model: Any, tmp_path: Path) -> None:
    model.fit(X)
    model.save(tmp_path / "model.npz")
    loaded = fastgsm.load(tmp_path / "model.npz")
    assert type(loaded) is type(model)
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(loaded.denoise_patches(X, 0.3), model.denoise_patches(X, 0.3))
    for name in ("lower_bounds_", "lower_bound_", "n_iter_", "converged_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(model, name)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_options_given_as_numpy_scalars(tmp_path: Path) -> None:
    options = {"tol": np.float32(0.5), "max_iter": np.int64(500), "warm_start": np.bool_(True)}
    model = fastgsm.GSM(np.int64(4), **options).fit(X)  # type: ignore[arg-type]
    model.save(tmp_path / "model.npz")
    loaded = fastgsm.load(tmp_path / "model.npz")
    assert loaded.get_params() == model.get_params()
    assert len(loaded.weights_) == loaded.n_scales == 4


def test_options_changed_after_fit(tmp_path: Path) -> None:
    model = fastgsm.GSM(3, **OPTIONS).fit(X).set_params(n_scales=4)
    with pytest.raises(ValueError, match="Fit it again after changing its options"):
        model.save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        fastgsm.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("keep", [0, 1, 10, 0.3, 0.9, 0.999])
def test_truncated_file(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(ValueError, match="not a fastgsm model"):
        fastgsm.load(saved)


def test_damaged_file(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 0xFF
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="not a fastgsm model"):
        fastgsm.load(saved)


@every_model
def test_randomly_damaged_files(model: Any, tmp_path: Path) -> None:
    """Each loads, if what was hit does not matter, or gives a ValueError: nothing else."""
    path = tmp_path / "model.npz"
    model.fit(X).save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(300):
            damaged = bytearray(content)
            for place in rng.integers(len(content), size=rng.integers(1, 4)):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(ValueError):
                fastgsm.load(path)


def test_damaged_directory_of_the_archive(saved: Path) -> None:
    content = saved.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(content.index(b"PK\x01\x02"), end + 22):
            for value in (0, 0x7F, 0xFF):
                saved.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
                with contextlib.suppress(ValueError):
                    fastgsm.load(saved)


def test_damaged_header_of_an_array(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content.replace(b"(1, 3)", b"(1, 3("))
    with pytest.raises(ValueError, match="not a fastgsm model"):
        fastgsm.load(saved)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        fastgsm.load(tmp_path)


def test_foreign_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "text.npz").write_text("weights: 1")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="not a fastgsm model"):
            fastgsm.load(path)


class Bomb:
    """Raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle in a model file was executed",))


def test_pickles_are_not_executed(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(Bomb()))
    rewrite(saved, weights=np.array([Bomb()], dtype=object))
    for path in (saved, tmp_path / "pickled.npz"):
        with pytest.raises(ValueError, match="not a fastgsm model"):
            fastgsm.load(path)


def test_array_that_claims_more_than_it_holds(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    head = head.ljust(117) + b"\n"
    entries["weights.npy"] = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="claims"):
        fastgsm.load(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"version": 2}, "version 2 .* use the release that wrote it"),
        ({"format": "other"}, "format is 'other'"),
        ({"model": "Path"}, "unknown class 'Path'"),
        ({"options": {"nonsense": 1}}, "nonsense"),
        ({"options": 3}, "not a fastgsm model"),
        ({"lower_bounds": [None]}, "not a fastgsm model"),
        ({"lower_bounds": [10**400]}, "not a fastgsm model"),
        ({"model": "MVN", "options": {}}, r"mixture of \(1, 3\) .* ask for \(1, 1\)"),
        ({"model": "MoGSM", "options": {}}, r"mixture of \(1, 3\) .* ask for \(32, 8\)"),
        ({"model": "ICA", "options": {}}, "not a fastgsm model"),
        ({"options": {"n_scales": 99}}, r"mixture of \(1, 3\) .* ask for \(1, 99\)"),
        ({"options": {"n_scales": "x"}}, "n_scales is 'x'"),
        ({"options": {"n_scales": 3, "tol": -1}}, "tol is -1"),
    ],
)
def test_header_of_another_kind(saved: Path, header: dict[str, Any], message: str) -> None:
    rewrite(saved, header)
    with pytest.raises(ValueError, match=message):
        fastgsm.load(saved)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": np.array([[0.5, 0.5, 0.5]])}, "weights"),
        ({"weights": np.array([[np.nan, 0.5, 0.5]])}, "NaN"),
        ({"scales": np.array([[-1.0, 1.0, 2.0]])}, "scales"),
        ({"scales": np.ones((1, 2))}, "shapes of its arrays"),
        ({"eigenvectors": np.ones((1, 4, 4))}, "orthonormal"),
        ({"extra": np.ones(2)}, "arrays that no model has"),
    ],
)
def test_arrays_that_are_no_density(saved: Path, arrays: dict[str, Any], message: str) -> None:
    rewrite(saved, **arrays)
    with pytest.raises(ValueError, match=message):
        fastgsm.load(saved)


def test_saving_to_a_bad_place(tmp_path: Path) -> None:
    model = fastgsm.MVN().fit(X)
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        model.save(tmp_path / "model.pkl")
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*absent; create"):
        model.save(tmp_path / "absent" / "model.npz")
    assert not list(tmp_path.iterdir())


# --- bad input ----------------------------------------------------------------------------


@every_model
def test_unfitted(model: Any, tmp_path: Path) -> None:
    model = type(model)()
    for use in (
        lambda: model.score_samples(X),
        lambda: model.predict_proba(X),
        lambda: model.sample(),
        lambda: model.bic(X),
        lambda: model.denoise_patches(X, 0.1),
        lambda: model.save(tmp_path / "model.npz"),
        lambda: model.covariances_,
    ):
        with pytest.raises(fastgsm.models.NotFittedError, match="not fitted yet"):
            use()


@every_model
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[0], "Expected 2D array, got 1D array"),
        (X[:0], r"0 sample\(s\)"),
        (X[:1], "needs at least"),
        (np.where(np.equal(X, X.max()), np.nan, X), "contains NaN"),
        (np.where(np.equal(X, X.max()), np.inf, X), "contains infinity"),
        (np.zeros((50, 4)), "all samples of X are the same"),
        (X + 1j, "Complex data not supported"),
    ],
)
def test_bad_training_data(model: Any, bad: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.fit(bad)


@every_model
def test_bad_new_data(model: Any) -> None:
    model.fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but it is expecting 4"):
        model.score_samples(X[:, :3])
    with pytest.raises(ValueError, match="Y has 3 features, but it is expecting 4"):
        model.denoise_patches(X[:, :3], 0.1)
    with pytest.raises(ValueError, match="sigma is -1"):
        model.denoise_patches(X, -1)
    with pytest.raises(ValueError, match="sigma is nan"):
        model.denoise_patches(X, np.nan)
    with pytest.raises(TypeError, match="sigma is 'much'"):
        model.denoise_patches(X, "much")
    with pytest.raises(ValueError, match="n_samples is 0"):
        model.sample(0)


@every_model
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "sample_weight has shape"),
        (-np.ones(400), "negative"),
        (np.full(400, np.nan), "NaN"),
        (np.zeros(400), "zero for every sample"),
        (["a"] * 400, "sample_weight has dtype <U1; wanted numbers"),
    ],
)
def test_bad_sample_weights(model: Any, weights: np.ndarray, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, sample_weight=weights)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (fastgsm.GSM(0), ValueError, "n_scales is 0"),
        (fastgsm.GSM(2.5), TypeError, "n_scales is 2.5"),  # type: ignore[arg-type]
        (fastgsm.GSM(tol=-1), ValueError, "tol is -1"),
        (fastgsm.GSM(max_iter=0), ValueError, "max_iter is 0"),
        (fastgsm.GMM(reg_covar=-1), ValueError, "reg_covar is -1"),
        (fastgsm.GMM(init_params="best"), ValueError, "init_params is 'best'"),
        (fastgsm.GMM(401), ValueError, "needs at least 401 samples"),
        (fastgsm.GMM(2, fit_means=False, means_init=X[:2]), ValueError, "fit_means is False"),
        (fastgsm.GMM(2, means_init="a"), TypeError, "means_init has dtype <U1; wanted numbers"),
        (fastgsm.GMM(2, means_init=[[1.0], [1.0, 2.0]]), ValueError, "means_init is not an array"),
        (fastgsm.ICA(2, weights_init="a"), TypeError, "weights_init has dtype <U1"),
        (fastgsm.GMM(2, means_init=X[:3]), ValueError, "means_init has shape"),
        (fastgsm.GMM(2, covariances_init=[-np.eye(4)] * 2), ValueError, "positive definite"),
        (fastgsm.GMM(2, weights_init=[0.5, 0.6]), ValueError, "weights_init sums to 1.1"),
        (fastgsm.GSM(2, scales_init=[1.0, 0.0]), ValueError, "scales_init has a least value"),
        (fastgsm.GSM(2, scales_init=[1.0, np.nan]), ValueError, "scales_init holds NaN"),
        (fastgsm.ICA(2, weights_init=[0.5, 0.5]), ValueError, "weights_init has shape"),
        (fastgsm.GSM(random_state=-1, init_params="random"), ValueError, "random_state is -1"),
    ],
)
def test_bad_options(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.fit(X)


def test_unknown_option() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'n_scale'"):
        fastgsm.GSM().set_params(n_scale=3)


# --- bundled priors -----------------------------------------------------------------------


def test_the_registry_has_every_model() -> None:
    models = [getattr(fastgsm.models, name) for name in fastgsm.models.__all__]
    classes = [each for each in models if hasattr(each, "_set_arrays")]
    listed = {name: entry.model for name, entry in MODELS.items()}
    assert listed == {
        each.__name__: each for each in classes if each is not fastgsm.models.PatchModel
    }
    for entry in MODELS.values():
        sizes = entry.tiny.keys()
        assert sizes == {"n_components", "n_scales"} & entry.model().get_params().keys()
        for options in (entry.tiny, entry.modest):
            assert options.keys() == sizes
            assert entry.new(options).get_params().items() >= options.items()
        fitted = fit_quietly(entry.new(entry.tiny, tol=0.0, max_iter=2, random_state=0), X)
        assert entry.iterates == (fitted.n_iter_ > 1)


def test_nobody_else_sees_what_is_done_to_a_bundled_prior() -> None:
    prior = fastgsm.load_prior("gsm")
    before = prior._arrays()
    fastgsm.load_prior("gsm").set_params(n_scales=2, tol=0.1).fit(X)
    fastgsm.load_prior("gsm").lower_bounds_.clear()
    again = fastgsm.load_prior("gsm")
    assert again.get_params() == prior.get_params()
    assert again.lower_bounds_
    for name, values in again._arrays().items():
        np.testing.assert_array_equal(values, before[name])
