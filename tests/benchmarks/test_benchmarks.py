"""Every benchmark runs once, tiny; rivals agree with fastgsm; documents parse."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pkgutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgsm
import fastgsm.kernels
from benchmarks import (
    common,
    markdown,
    quality,
    ratios,
    rivals,
    roofline,
    table,
    test_ratios,
)
from benchmarks.cases.case import arrays
from benchmarks.kernels import CASES
from fastgsm.kernels._jit import KERNELS

ASV_METHODS = ("time_", "peakmem_", "track_", "timeraw_")
ASV_MODULES = ("kernels", "fit", "denoise", "startup")


def asv_classes() -> list[type]:
    """Every class of benchmarks/ in which asv finds a benchmark."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in ASV_MODULES]
    return [
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and any(n.startswith(ASV_METHODS) for n in dir(cls))
    ]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "SHRINK", 64)
    monkeypatch.setattr(ratios, "limit_blas", lambda: None)  # outlasts a test
    monkeypatch.setattr(ratios, "WITHOUT_CACHE", "")  # compiling everything takes half a minute


def run_like_asv(cls: Any) -> int:
    """Run all methods of a class for all its parameters, in float32 on all threads."""
    n_runs = 0
    names = [name for name in dir(cls) if name.startswith(ASV_METHODS)]
    cls = type(cls.__name__, (cls,), {"params": getattr(cls, "params", ())})
    if "dtype" in getattr(cls, "param_names", ()):
        cls.params = tuple(
            [values[0]]
            if values == common.DTYPES
            else values[-1:]
            if values == common.THREADS
            else values
            for values in cls.params
        )
    cached = [cls().setup_cache()] if hasattr(cls, "setup_cache") else []
    cached = [value for value in cached if value is not None]
    for name, values in itertools.product(names, itertools.product(*cls.params)):
        benchmark = cls()
        if hasattr(benchmark, "setup"):
            benchmark.setup(*cached, *values)
        result = getattr(benchmark, name)(*cached, *values)
        if name.startswith("track_"):
            assert np.isfinite(result)
        if name.startswith("timeraw_"):
            compile(result, name, "exec")
        n_runs += 1
    return n_runs


@pytest.mark.parametrize("cls", asv_classes(), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_asv_benchmark_runs(cls: type) -> None:
    assert run_like_asv(cls) > 0


def test_every_module_with_asv_benchmarks_is_listed() -> None:
    found = set()
    for path in Path(common.__file__).parent.glob("*.py"):
        if any(f"def {prefix}" in path.read_text(encoding="utf-8") for prefix in ASV_METHODS):
            found.add(path.stem)
    assert found == set(ASV_MODULES)


@pytest.mark.parametrize("name", CASES)
def test_kernel_and_numpy_give_the_same(name: str) -> None:
    case = CASES[name]("float64")
    assert case.flops + case.bytes > 0
    ours, numpy = arrays(case.ours()), arrays(case.numpy())
    if case.same:
        for actual, wanted in zip(ours, numpy, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-9)


def test_every_kernel_is_a_case() -> None:
    for module in pkgutil.iter_modules(fastgsm.kernels.__path__):
        importlib.import_module(f"fastgsm.kernels.{module.name}")
    assert KERNELS.keys() == CASES.keys() - {"rotation", "exp", "log", "aggregate"}


@pytest.mark.parametrize("job", ratios.JOBS, ids=lambda job: job.name)
def test_job_runs(job: ratios.Job) -> None:
    race, ours = ratios.measure(dataclasses.replace(job, rounds=1))
    assert ours > 0
    assert np.isfinite(race.ratio(ours))
    header = ["job", "rival", "fastgsm", "rival's", "ratio", "target: at most"]
    (rows,) = markdown.read_tables(markdown.table(header, [ratios.row(race, ours)]))
    assert rows[1][0] == job.name


@pytest.mark.parametrize(
    ("part", "limit"), [("compiled before", "0.5 s"), ("never compiled", "20 s")]
)
def test_a_first_denoise_has_a_limit_in_seconds(part: str, limit: str) -> None:
    job = next(job for job in ratios.JOBS if part in job.name)
    pair = ratios.Pair(int, int, measured=lambda: (0.4, 0.2))
    race = ratios.Race(dataclasses.replace(job, prepare=lambda: pair))
    assert ratios.row(race, 1.0)[2:] == ["400 ms", "200 ms", "2", limit]


def test_what_is_never_compiled_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratios, "seconds", lambda function: function() or 20.0)
    job = next(job for job in ratios.JOBS if "never compiled" in job.name)
    calls: list[int] = []
    pair = ratios.Pair(partial(calls.append, 1), int, measured=lambda: (1, 1))
    ratios.measure(dataclasses.replace(job, prepare=lambda: pair))
    assert calls == [1]


def test_memory_is_shown_in_bytes() -> None:
    pair = ratios.Pair(int, int, measured=lambda: (8e6, 16e6), unit=("MB", 1e6))
    race = ratios.Race(ratios.Job("", "", 1.0, lambda: pair, rounds=1))
    assert ratios.row(race, 1.0)[2:] == ["8 MB", "16 MB", "0.5", "1"]


def test_a_rival_that_preparing_timed_is_not_run_again() -> None:
    def rival() -> None:
        raise AssertionError

    pair = ratios.Pair(int, rival, rival_times=(2 * ratios.SLOW,))
    race, _ = ratios.measure(ratios.Job("", "", 1.0, lambda: pair))
    assert race.ratio(ratios.SLOW) == 0.5


def test_likelihoods_stand_beside_the_times() -> None:
    race = ratios.Race(ratios.Job("a", "b", 1.0, ratios.fit_gsm, rounds=1))
    ours, rival = (race.pair.notes[key] for key in ("nats per patch", "rival's"))
    assert ours == pytest.approx(rival, abs=0.5)
    assert ratios.notes(race) == f"- a: nats per patch {ours:.4f}, rival's {rival:.4f}."


def test_part_of_the_ratios_is_not_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ratios", "exp", "--write"])
    with pytest.raises(SystemExit):
        ratios.main()
    assert "only exp would be in it; give no names" in capsys.readouterr().err


def test_pytest_benchmark_records_the_ratio(benchmark: Any) -> None:
    job = ratios.Job("one", "one", 1.0, lambda: ratios.Pair(lambda: 1, lambda: 1), rounds=2)
    test_ratios.test_ratio(benchmark, job, "fastgsm")
    assert benchmark.group == "one"
    if benchmark.stats:
        assert benchmark.extra_info["job"] == "one"
        assert benchmark.extra_info["ratio"] > 0


def test_ratio_is_for_equal_work() -> None:
    pair = ratios.Pair(lambda: None, lambda: None, work=(4, 1))
    race = ratios.Race(ratios.Job("", "", 1.0, lambda: pair))
    race.times = [2.0, 1.0]
    assert race.ratio(ours=4.0) == 1.0


def test_slow_rival_is_timed_no_oftener_than_asked() -> None:
    race = ratios.Race(ratios.Job("", "", 1.0, lambda: ratios.Pair(int, int), rival_rounds=1))
    race.run_rival()
    race.run_rival()
    assert len(race.times) == 1


def test_textbook_denoises_as_fastgsm_does() -> None:
    clean = fastgsm.datasets.dead_leaves((40, 48), 0)
    noisy = common.add_noise(clean)
    prior = fastgsm.load_prior("gsm")
    textbook = rivals.TextbookGSM.of(prior)
    patches = fastgsm.extract_patches(noisy, center="patch")
    expected = textbook.denoise_patches(patches, common.SIGMA)
    np.testing.assert_allclose(prior.denoise_patches(patches, common.SIGMA), expected, atol=1e-6)
    # The textbook's patches all weigh the same.
    ours = fastgsm.denoise(noisy, common.SIGMA, prior=prior, quality="fast")
    plain = textbook.denoise(noisy, common.SIGMA)
    assert common.rms(ours - clean) < common.rms(plain - clean)
    assert common.rms(ours - plain) < 0.3 * common.rms(plain - clean)


def test_textbook_em_reaches_the_same_likelihood() -> None:
    X = common.patches(0)
    scales = np.geomspace(0.1, 10, 3)
    # After two steps, fastgsm prolongs them.
    textbook = rivals.fit_textbook_gsm(X, scales, tol=0, max_iter=2)
    ours = common.fit(fastgsm.GSM(3, scales_init=scales, tol=0, max_iter=2), X)
    assert textbook.score(X) == pytest.approx(ours.score(X), abs=1e-6)
    textbook = rivals.fit_textbook_gsm(X, scales, tol=1e-5)
    ours = common.fit(fastgsm.GSM(3, scales_init=scales, tol=1e-5), X)
    assert textbook.score(X) < ours.score(X) + 1e-5


def test_sklearn_iterates_as_fastgsm_does() -> None:
    X = np.random.default_rng(0).standard_normal((2000, 4)) ** 3
    start = {
        "weights": np.full(3, 1 / 3),
        "means": X[:3],
        "covariances": np.array([np.cov(X.T)] * 3),
    }
    rival = rivals.fit_sklearn(rivals.sklearn_gmm(**start, max_iter=1), X)
    rivals.sklearn_iteration(rival, X)
    start = {f"{name}_init": value for name, value in start.items()}
    ours = common.fit(fastgsm.GMM(3, **start, max_iter=2, tol=0), X)
    assert ours.score(X) == pytest.approx(float(np.mean(rival.score_samples(X))), abs=1e-4)


def test_readme_table_parses() -> None:
    denoising, learning = markdown.read_tables(markdown.read_part(markdown.README, "bench-table"))
    assert [row[0] for row in denoising[1:]] == list(table.denoisers())
    assert [row[0] for row in learning[1:]] == list(table.learners())
    for _, seconds, figure in denoising[1:] + learning[1:]:
        assert float(seconds) > 0
        assert float(figure) > 0


@pytest.mark.parametrize("part", ["ratios", "roofline", "scaling"])
def test_performance_document_has_its_parts(part: str) -> None:
    assert markdown.read_part(markdown.PERFORMANCE, part)


def test_the_tables_of_quality_parse() -> None:
    first, beside_bm3d = (
        markdown.read_tables(markdown.read_part(markdown.QUALITY, part)) for part in quality.TABLES
    )
    assert {row[2] for row in first[0][1:]} == set(quality.QUALITIES)
    for rows in beside_bm3d:  # none until it has been measured
        assert {row[2] for row in rows[1:]} == {*quality.QUALITIES, "bm3d"}


def test_crooked_table_is_refused() -> None:
    with pytest.raises(ValueError, match="crooked"):
        markdown.read_tables("| a | b |\n| --- | ---: |\n| 1 |\n")


def test_part_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n")
    markdown.write_part(path, "x", "new \\1")
    assert markdown.read_part(path, "x").strip() == "new \\1"
    assert path.read_text().startswith("before\n")
    assert path.read_text().endswith("after\n")
    with pytest.raises(ValueError, match="no markers"):
        markdown.write_part(path, "y", "new")


def test_table_measures_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [n for n in ("cv2", "bm3d") if importlib.util.find_spec(n) is None]
    if needed:
        pytest.skip(f"needs {needed}: the bench extra")
    monkeypatch.setattr(table, "ROUNDS", 1)
    monkeypatch.setattr(rivals, "fit_textbook_gsm", partial(rivals.fit_textbook_gsm, max_iter=2))
    images = {"a": common.image(0, 64 * 64)}
    for text in (table.denoising(images), table.learning(images)):
        (rows,) = markdown.read_tables(text)
        assert all(float(cell) > 0 for row in rows[1:] for cell in row[1:])


def test_roofline_measures_kernels_and_scaling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(roofline, "ROUNDS", 1)
    monkeypatch.setattr(roofline, "IMAGES", tmp_path)
    monkeypatch.setattr(
        roofline, "CASES", {n: CASES[n] for n in ("rotation", "extract", "aggregate")}
    )
    rows = roofline.kernel_rows("float32", roofline.product_rate("float32"), roofline.bandwidth())
    curves = {
        what: roofline.curve(list(xs)[:2], task) for what, (_, xs, task) in roofline.SCALING.items()
    }
    roofline.plot(rows, 1e11, 1e10, curves)
    assert (tmp_path / "roofline.svg").stat().st_size > 0
    assert (tmp_path / "scaling.svg").stat().st_size > 0
    for text in (roofline.kernel_table(rows), roofline.scaling_table(curves)):
        assert len(markdown.read_tables(text)) == 1


def test_blas_keeps_one_thread_or_all() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(None, user_api="blas"):  # restores what it finds
        common.limit_blas()
        counts = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert counts <= set(common.THREADS)


def test_threads_are_set_back() -> None:
    import numba

    before = numba.get_num_threads()
    with common.threads(1):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
