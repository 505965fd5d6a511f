"""The built files and their content, and the cost of importing the package."""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fastgsm
from fastgsm.kernels._jit import source_digest
from fastgsm.priors import list_cascades

PROJECT = Path(__file__).resolve().parents[1]
IMPORTED_FROM = Path(fastgsm.__file__).resolve().parents[1]
OPTIONAL = (
    "dask",
    "distributed",
    "PIL",
    "matplotlib",
    "skimage",
    "sklearn",
    "tifffile",
    "tqdm",
    "zarr",
)


def run_python(code: str, path: Path = IMPORTED_FROM, **environment: str) -> str:
    """Run code in a fresh interpreter that finds fastgsm under `path`; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


MODULES = sorted(
    ".".join(path.relative_to(IMPORTED_FROM).with_suffix("").parts)
    for path in (IMPORTED_FROM / "fastgsm").rglob("*.py")
    if not path.stem.startswith("__")
)


def test_any_module_may_be_imported_first() -> None:
    """No module is in a circle that only `import fastgsm` hides; Dask's workers import any."""
    code = f"""
import importlib, sys
for module in {MODULES}:
    for name in [name for name in sys.modules if name.split(".")[0] == "fastgsm"]:
        del sys.modules[name]
    importlib.import_module(module)
"""
    assert "fastgsm.distributed" in MODULES
    run_python(code)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PROJECT]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def dist_info(wheel_names: set[str]) -> str:
    (name,) = {name.split("/")[0] for name in wheel_names if ".dist-info/" in name}
    return name


@pytest.fixture(scope="module")
def metadata(wheel: Path, dist_info: str) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{dist_info}/METADATA").decode())


def test_wheel_holds_the_package_and_nothing_else(wheel_names: set[str], dist_info: str) -> None:
    source = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "fastgsm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel_names if not name.startswith(dist_info)} == source
    known = (".py", ".pyi", "py.typed", ".npz", ".md", "study/page.css", "study/page.js")
    assert not {name for name in source if not name.endswith(known)}


def test_wheel_holds_types_priors_and_licence(wheel_names: set[str], dist_info: str) -> None:
    priors = {PurePosixPath(name) for name in wheel_names if name.startswith("fastgsm/priors/")}
    models = {path.stem for path in priors if path.suffix == ".npz"}
    assert "fastgsm/py.typed" in wheel_names
    assert models == {*fastgsm.list_priors(), *list_cascades()}
    assert models <= {path.stem for path in priors if path.suffix == ".md"}, "model card missing"
    assert f"{dist_info}/licenses/LICENSE" in wheel_names


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "fastgsm"
    assert metadata["Version"] == fastgsm.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "all",
        "bench",
        "cli",
        "dask",
        "docs",
        "test",
        "zarr",
    }


def test_runtime_dependencies_are_numpy_numba_scipy(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    runtime = {line.split(">")[0] for line in requirements if "extra ==" not in line}
    assert runtime == {"numpy", "numba", "scipy"}


def test_console_script(wheel: Path, dist_info: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        scripts = archive.read(f"{dist_info}/entry_points.txt").decode()
    assert scripts.split() == ["[console_scripts]", "fastgsm", "=", "fastgsm.cli:main"]


def test_sdist_holds_what_is_needed_to_test_it(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.split("/")[0] for name in names}
    assert {"tests/test_packaging.py", "benchmarks/denoise.py", "asv.conf.json"} <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff"} <= names
    assert not {".ci", ".github", ".asv", ".venv"} & tops


def test_unpacked_wheel_works_without_the_extras(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"""
import sys
for name in {OPTIONAL}:
    sys.modules[name] = None  # importing it now raises ImportError
import fastgsm
for name in fastgsm.list_priors():
    fastgsm.load_prior(name)
print(fastgsm.__file__)
"""
    imported = run_python(code, path=tmp_path)
    assert Path(imported) == tmp_path / "fastgsm" / "__init__.py"


AS_INSTALLED = """
import fastgsm
from fastgsm.kernels import _jit, patches
from fastgsm.priors import read_card
print(len([fastgsm.load_prior(name) for name in fastgsm.list_priors() if read_card(name)]))
print(_jit.DIGEST)
print(type(patches.extract.serial._cache).__name__)
"""


def test_runs_from_a_zip_archive(tmp_path: Path) -> None:
    archive = tmp_path / "fastgsm.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (IMPORTED_FROM / "fastgsm").rglob("*"):
            if path.suffix in (".py", ".npz", ".md"):
                file.write(path, path.relative_to(IMPORTED_FROM))
    printed = run_python(AS_INSTALLED, archive, NUMBA_CACHE_DIR=str(tmp_path)).split()
    assert printed == ["5", source_digest(), "_Cache"]


def test_runs_from_byte_code_alone(tmp_path: Path) -> None:
    shutil.copytree(
        IMPORTED_FROM / "fastgsm", tmp_path / "from", ignore=shutil.ignore_patterns("__pycache__")
    )
    compileall.compile_dir(tmp_path / "from", legacy=True, quiet=1)
    for source in (tmp_path / "from").rglob("*.py"):
        source.unlink()
    (tmp_path / "from").rename(tmp_path / "fastgsm")  # the files named in the code are not there
    n_priors, digest, cache = run_python(AS_INSTALLED, tmp_path).split()
    assert (n_priors, cache) == ("5", "_Cache")
    assert digest not in (source_digest(), hashlib.sha256(b"").hexdigest()[:12])


def test_import_loads_no_optional_package_and_no_slow_part_of_scipy() -> None:
    unwanted = {*OPTIONAL, "scipy.fft", "scipy.cluster", "scipy.spatial", "scipy.special"}
    code = f"import sys, fastgsm; fastgsm.denoise; print(*sorted({unwanted} & set(sys.modules)))"
    assert run_python(code) == ""


@pytest.mark.parametrize(
    "code",
    [
        "import fastgsm._denoise, fastgsm",
        "from fastgsm._denoise import denoise; import fastgsm",
        "import fastgsm; fastgsm.GSM; import fastgsm._denoise",
        "from fastgsm import *; import fastgsm",
    ],
)
def test_denoise_is_the_function_whatever_is_imported_first(code: str) -> None:
    assert run_python(f"{code}; print(type(fastgsm.denoise).__name__)") == "function"


def test_names_are_imported_at_their_first_use() -> None:
    code = """
import sys, fastgsm
assert "numba" not in sys.modules
assert {"GSM", "denoise", "__version__"} <= set(dir(fastgsm))
assert set(fastgsm.__all__) <= set(dir(fastgsm))
assert fastgsm.io and not hasattr(fastgsm, "nothing")
"""
    assert run_python(code) == ""


def test_import_compiles_nothing(tmp_path: Path) -> None:
    code = """
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    import fastgsm
    fastgsm.denoise
print(len(recorder.buffer))
"""
    # A fresh cache: a kernel found in an old one would not be compiled, and not be noticed.
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"


def test_nothing_asks_the_network(tmp_path: Path) -> None:
    code = f"""
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{{event}} {{arguments}}")

sys.addaudithook(refuse)
import numpy as np
import fastgsm, fastgsm.cli
fastgsm.denoise(np.random.default_rng(0).random((16, 16)))
sys.exit(fastgsm.cli.main(["demo", "--out", {str(tmp_path)!r}]))
"""
    pytest.importorskip("skimage")
    assert "demo.png" in run_python(code)


def test_lock_pins_what_the_tests_need() -> None:
    """Each direct requirement is pinned to a version that it allows; every line is a pin."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (PROJECT / "tests" / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    wanted = project["dependencies"] + extras["cli"] + extras["test"]
    for requirement in map(Requirement, wanted):
        if requirement.name != "fastgsm":
            version = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement


def test_version_is_the_newest_in_the_changelog() -> None:
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line for line in changelog.splitlines() if line.startswith("## ["))
    assert newest.startswith(f"## [{fastgsm.__version__}]")


def test_citation_has_this_version_and_licence(metadata: Message) -> None:
    lines = (PROJECT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    entries = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
    assert entries["version"] == fastgsm.__version__
    assert entries["license"] == metadata["License-Expression"]


def test_built_files_can_be_uploaded(built: Path) -> None:
    twine = pytest.importorskip("twine.commands.check", reason="needs twine")
    assert not twine.check([str(path) for path in built.iterdir()], strict=True)
