"""Progress goes to standard error or nowhere."""

from __future__ import annotations

import sys

import pytest

from fastgsm import _progress
from fastgsm._progress import Progress


@pytest.fixture
def no_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def run(total: int, enabled: bool = True) -> None:
    with Progress(total, "denoising", enabled) as progress:
        for _ in range(total):
            progress.update()


def test_tqdm_counts_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    run(5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "denoising" in err and "5/5" in err and err.endswith("\n")


def test_plain_counter_without_tqdm(no_tqdm: None, capsys: pytest.CaptureFixture[str]) -> None:
    run(5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split("\r")[1] == "denoising: 0/5"
    assert err.split("\r")[-1] == "denoising: 5/5\n"


def test_plain_counter_is_refreshed_seldom(
    no_tqdm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(10**6))
    tick = _progress.REFRESH_SECONDS / 10
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now) * tick)
    run(1000)
    shown = capsys.readouterr().err.count("\r")
    assert 50 < shown < 120  # about one line in ten steps


@pytest.mark.parametrize("n", [1, 3])
def test_update_by_several_steps(n: int, no_tqdm: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(6, "blocks", True) as progress:
        progress.update(n)
    assert f"blocks: {n}/6\n" in capsys.readouterr().err


def test_disabled_writes_nothing_and_does_not_import_tqdm(
    no_tqdm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_progress, "_new_bar", lambda *_: pytest.fail("a bar was made"))
    run(3, enabled=False)
    assert capsys.readouterr() == ("", "")


def test_line_is_ended_when_the_work_fails(
    no_tqdm: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), Progress(3, "denoising", True) as progress:
        progress.update()
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith("denoising: 1/3\n")
