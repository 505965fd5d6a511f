"""What a fit tells while it runs, and how it is ended early."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgsm
from tests.helpers import ITERATIVE, new_model

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4)) * RNG.choice([0.5, 1.0, 3.0], (300, 1))

with_each_model = pytest.mark.parametrize(
    "model",
    [new_model(name, 2, tol=0.0, random_state=0) for name in ITERATIVE],
    ids=ITERATIVE,
)


@with_each_model
def test_callback_sees_each_iteration(model: Any) -> None:
    seen: list[fastgsm.EMIteration] = []
    model = clone(model).set_params(tol=0.01)
    model.fit(X, callback=seen.append)
    assert [em.iteration for em in seen] == list(range(1, model.n_iter_ + 1))
    assert [em.log_likelihood for em in seen] == model.lower_bounds_
    np.testing.assert_array_equal([em.gain for em in seen], [np.inf, *np.diff(model.lower_bounds_)])
    seconds = [em.seconds for em in seen]
    assert seconds[0] >= 0 and seconds == sorted(seconds)
    assert model.converged_


@with_each_model
def test_callback_ends_the_fit_with_the_parameters_it_saw(model: Any) -> None:
    stopped = clone(model).fit(X, callback=lambda em: em.iteration == 3)
    assert stopped.n_iter_ == 3 and not stopped.converged_
    assert stopped.score(X) == pytest.approx(stopped.lower_bound_, rel=1e-9)
    assert stopped.denoise_patches(X, 0.1).shape == X.shape


def test_callback_of_a_closed_form() -> None:
    seen: list[fastgsm.EMIteration] = []
    model = fastgsm.MVN().fit(X, callback=seen.append)
    assert [em.log_likelihood for em in seen] == model.lower_bounds_
    assert model.converged_


@with_each_model
@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration, ZeroDivisionError])
def test_interrupted_fit_leaves_the_model_as_it_was(
    model: Any, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(em: fastgsm.EMIteration) -> None:
        if em.iteration == 2:
            raise error

    model = clone(model).fit(X, callback=lambda em: em.iteration == 2)
    before = model.weights_, model.scales_, model.lower_bounds_
    with pytest.raises(error):
        model.fit(X[:100] * 2, callback=interrupt, progress=True)
    for old, new in zip(before, (model.weights_, model.scales_, model.lower_bounds_), strict=True):
        np.testing.assert_array_equal(old, new)
    assert capsys.readouterr().err.endswith("\n")  # the line of progress is ended
    unfitted = clone(model)
    with pytest.raises(error):
        unfitted.fit(X, callback=interrupt)
    with pytest.raises(fastgsm.NotFittedError):
        unfitted.score(X)


def test_callback_is_no_option_and_reaches_a_model_in_a_pipeline() -> None:
    seen: list[fastgsm.EMIteration] = []
    pipeline = make_pipeline(StandardScaler(), fastgsm.GSM(3))
    pipeline.fit(X, gsm__callback=seen.append)
    assert len(seen) == pipeline[-1].n_iter_
    assert "callback" not in pipeline[-1].get_params()


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="callback is 3; wanted a function of one argument"):
        fastgsm.GSM().fit(X, callback=3)


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress_counts_iterations_on_stderr(
    tqdm: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = fastgsm.GSM(3).fit(X, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.rstrip("\n").split("\r")[-1]
    assert last.startswith(f"GSM: {model.n_iter_}")
    assert f"log-likelihood {model.lower_bound_:.4f}" in last


NOTEBOOK = """
import sys, types, warnings
warnings.simplefilter("error")
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = ipython
sys.modules["ipywidgets"] = None
import numpy as np, fastgsm
fastgsm.denoise(np.random.default_rng(0).random((16, 16)), 0.1, quality="fast", progress=True)
"""


def test_progress_in_a_notebook_without_widgets_is_a_line_without_a_warning() -> None:
    run = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert "denoising: 100%" in run.stderr and "Warning" not in run.stderr


def test_interrupted_denoising_leaves_out_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fastgsm._progress.Progress, "update", interrupt)
    image = RNG.random((24, 24))
    out = np.full_like(image, 7.0)
    with pytest.raises(KeyboardInterrupt):
        fastgsm.denoise(image, 0.1, quality="fast", out=out)
    assert (out == 7).all()
