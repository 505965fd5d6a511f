"""The command itself, and its sub-commands ``compare`` and ``demo``."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fastgsm
from fastgsm.cli._options import QUALITIES
from fastgsm.restore.presets import PRESETS
from tests.cli.helpers import error_line, in_folder, run

pytest.importorskip("PIL.Image")
pytest.importorskip("tifffile")


# ---- compare and demo


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    noted: list[Any] = []
    fake = types.ModuleType("fastgsm.report")
    fake.compare = lambda *args, **options: noted.append(("compare", args, options))  # type: ignore[attr-defined]
    fake.demo = lambda *args, **options: noted.append(("demo", args, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastgsm.report", fake)
    monkeypatch.setattr(fastgsm, "report", fake, raising=False)
    return noted


def test_compare_and_demo_call_the_report(report: list[Any]) -> None:
    assert run("compare") == 0
    assert run("compare", "--images", "photos", "--out", "there", "--quiet", "--seed", 3,
               "--patches", 99) == 0  # fmt: skip
    assert run("demo") == 0
    assert run("demo", "--out", "here") == 0
    defaults = {"n_patches": 10_000, "seed": 0, "progress": True}
    assert report == [
        ("compare", (None, "fastgsm-compare"), defaults),
        ("compare", ("photos", "there"), {"n_patches": 99, "seed": 3, "progress": False}),
        ("demo", ("fastgsm-demo",), {}),
        ("demo", ("here",), {}),
    ]


# ---- the command itself


COMMANDS = ("denoise", "train", "info", "plot", "priors", "compare", "demo", "completion")


def test_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--version")
    assert stopped.value.code == 0
    assert capsys.readouterr() == (f"fastgsm {fastgsm.__version__}\n", "")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_examples(command: str | None, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*filter(None, [command]), "--help")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    start = {None: "fastgsm demo", "completion": 'eval "$(fastgsm completion'}
    assert f"examples:\n  {start.get(command, f'fastgsm {command}')}" in printed
    assert command is not None or "exit status:\n  0 " in printed


@pytest.mark.parametrize(("argv", "message"), [
    ([], "the following arguments are required: COMMAND (see fastgsm --help)"),
    (["paint"], "invalid choice: 'paint'"),
    (["demo", "--loud"], "unrecognized arguments: --loud"),
])  # fmt: skip
def test_wrong_commands(argv: list[str], message: str, capsys: Any) -> None:
    assert run(*argv) == 2
    assert message in error_line(capsys)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_but_the_standard_library(
    tmp_path: Path, option: str
) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom fastgsm.cli import main\n"
        f"try:\n    main([{option!r}])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new - {'fastgsm', *sys.stdlib_module_names}, new\n"
        "assert 'fastgsm._denoise' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], **in_folder(tmp_path))
    assert done.returncode == 0, done.stderr


def test_what_the_parser_repeats_is_what_the_library_has() -> None:
    """The parser does not import the library, so that the help appears at once."""
    assert list(PRESETS) == list(QUALITIES)


def test_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fastgsm", "paint"], **in_folder(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("fastgsm: error: ") and done.stderr.count("\n") == 1


# argparse itself ignores the error while it prints its help, and so returns 0.
@pytest.mark.parametrize(("option", "status"), [("--help", (0, 141)), ("--version", (141,))])
def test_broken_pipe_is_quiet(tmp_path: Path, option: str, status: tuple[int, ...]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    options = in_folder(tmp_path) | {"capture_output": False}
    done = subprocess.run(
        [sys.executable, "-m", "fastgsm", option],
        stdout=write_end,
        stderr=subprocess.PIPE,
        **options,
    )
    os.close(write_end)
    assert done.returncode in status and done.stderr == ""
