"""The benchmarks of many machines run once, tiny, and their prediction adds up."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import common, markdown, prediction, scaling


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "SHRINK", 64)


def test_scaling_is_measured_and_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "TESTED_WORKERS", (2,))
    monkeypatch.setattr(scaling, "QUALITIES", ("fast",))
    costs, predicted, tested = markdown.read_tables(scaling.measure_model())
    assert [row[0] for row in costs[1:]] == list(scaling.MODELS)
    assert len(predicted) == 1 + len(scaling.MODELS) * len(prediction.WORKERS)
    assert len(tested) == 1 + len(scaling.TESTED_MODELS)
    [large] = markdown.read_tables(scaling.measure_large())
    assert all(float(row[-1]) < 1.5 for row in large[1:])
    assert [row[2] for row in large[1:2]] == [""]
    assert all(float(row[2]) > 0 for row in large[2:])
    [speed] = markdown.read_tables(scaling.measure_beside())
    assert len(speed) == 4


def test_prediction_shares_out_what_can_be_shared() -> None:
    costs = prediction.Costs(1e-6, 10**6, 1e-3, 0.1, 1e-4, 1e9, 1)
    alone, ten = (prediction.predicted(costs, 1e9, 10**6, workers) for workers in (1, 10))
    assert alone["compute"] == pytest.approx(1000)
    assert ten["compute"] == pytest.approx(100)
    assert ten["last additions"] == pytest.approx(2 * 7 * 2e-3)
    assert alone["total"] == pytest.approx(1000 + 1000 * 2e-3 + 0.1)
    crowd = prediction.predicted(costs, 1e9, 10**4, 10**5)
    assert crowd["total"] == pytest.approx(1e5 * 8 / 7 * 1e-4 + 0.1)
    twice = prediction.predicted(dataclasses.replace(costs, passes=2), 1e9, 10**6, 10)
    assert twice == {**ten, "scheduler": 2 * ten["scheduler"]}


def test_the_tables_of_scaling_parse() -> None:
    for part in scaling.PARTS:
        tables = markdown.read_tables(markdown.read_part(markdown.SCALING, part))
        assert len(tables) == (3 if part == "model" else 1)
