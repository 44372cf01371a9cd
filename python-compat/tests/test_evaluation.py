"""Two views of one evaluation: what is new to users, and what they take next."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tercel

from .planted import planted

QUIET: dict[str, Any] = {"bootstrap": 0, "progress": False}


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> tuple[tercel.Model, tercel.Dataset]:
    """People who buy again, and a model of what they bought."""
    folder = tmp_path_factory.mktemp("again")
    rows = planted(again=True)
    data = tercel.Dataset.build(rows, folder / "data", split="last-per-user:2", progress=False)
    model = tercel.Model.train(data, folder / "model", dim=8, epochs=2, batch_size=256, progress=False, device="cpu")
    return model, data


def test_both_views_where_people_buy_again(again: tuple[tercel.Model, tercel.Dataset]) -> None:
    model, data = again
    report = tercel.evaluate(model, data, k=10, **QUIET)
    assert list(report.views) == ["discovery", "next"] and report.view == "discovery"
    discovery, following = report.views.values()
    assert discovery is report and discovery.users < following.users == 400
    assert discovery.details["repeated"] == following.details["repeated"] > 0
    assert discovery.details["relevant"] + discovery.details["repeated"] == following.details["relevant"]
    for view in report.views.values():
        assert list(view.baselines) == ["popular_7_days", "popular_28_days", "item_knn"]
        for figures in view.baselines.values():
            assert figures.keys() == view.metrics.keys() and all(map(math.isfinite, figures.values()))
        head = str(view).splitlines()[1].split()
        assert head == ["model", "popularity", "of", "7", "days", "of", "28", "days", "item-kNN"]


def test_one_view_whichever_way_it_is_said(again: tuple[tercel.Model, tercel.Dataset]) -> None:
    model, data = again
    both = tercel.evaluate(model, data, k=10, view="both", baselines="none", **QUIET).views
    for view, include_seen in (("discovery", False), ("next", True)):
        one = model.evaluate(data, k=10, view=view, baselines="none", **QUIET)
        short = model.evaluate(data, k=10, include_seen=include_seen, baselines="none", **QUIET)
        assert one == short == both[view] and list(one.views) == [view] and one.baselines == {}
    with pytest.raises(tercel.ConfigError, match="view: 'next' contradicts include_seen=False"):
        tercel.evaluate(model, data, view="next", include_seen=False, **QUIET)
    wrongs: list[dict[str, Any]] = [{"view": "seen"}, {"baselines": "some"}]
    for wrong in wrongs:
        with pytest.raises(tercel.ConfigError, match="is not one of"):
            tercel.evaluate(model, data, **wrong, **QUIET)


def test_a_view_without_anything_to_find_says_so_and_prints_no_zeros(tmp_path: Path) -> None:
    data = tercel.Dataset.build(tercel.demo_purchases(), tmp_path / "data", split="last-per-user:1", progress=False)
    settings: dict[str, Any] = {"dim": 16, "epochs": 20, "batch_size": 64, "early_stop": "off", "progress": False}
    model = tercel.Model.train(data, tmp_path / "model", **settings)
    report = tercel.evaluate(model, data, k=10, progress=False)
    assert report.view == "next" and report["recall@10"] > report.popularity["recall@10"] > 0
    nothing = report.views["discovery"]
    assert (nothing.users, nothing.metrics, nothing.popularity, nothing.baselines) == (0, {}, {}, {})
    assert nothing.nothing is not None and "30 pairs" in nothing.nothing and nothing.nothing in str(nothing)
    assert len(str(nothing).splitlines()) == 1
    with pytest.raises(KeyError, match="nothing to find"):
        nothing["recall@10"]
    # The card that training left has the one view's table, and of the other a line.
    metrics = model.card.split("## Metrics")[1].split("## Limits")[0]
    assert "Discovery (what users find that is new to them): nothing to find" in metrics
    assert metrics.count("| ndcg@10 |") == 1 and "| ndcg@10 | 0.0000 |" not in metrics
    assert not any("does not beat" in warning for warning in model.metrics["diagnostics"]["warnings"])


def test_early_stopping_watches_the_view_that_it_is_told(tmp_path: Path) -> None:
    rows = tercel.demo_purchases()
    data = tercel.Dataset.build(rows, tmp_path / "data", valid=rows, progress=False)
    settings: dict[str, Any] = {"dim": 8, "epochs": 3, "batch_size": 64, "progress": False}
    plain = tercel.Model.train(data, tmp_path / "plain", early_stop="ndcg@10,3", **settings)
    [told] = [event for event in plain.history if event["event"] == "watching"]
    assert told["metric"] == "next.ndcg@10" and "are also in the training split" in told["reason"]
    named = tercel.Model.train(data, tmp_path / "named", early_stop="next.ndcg@10,3", **settings)
    assert not any(event["event"] == "watching" for event in named.history)
    assert named.metrics["validations"] == plain.metrics["validations"] and max(named.metrics["validations"]) > 0
    assert {event["view"] for event in named.history if event["event"] == "validation"} == {"next"}
    with pytest.raises(tercel.ConfigError, match="nothing to find in the view `discovery`"):
        tercel.Model.train(data, tmp_path / "other", early_stop="discovery.ndcg@10,3", **settings)
    with pytest.raises(tercel.ConfigError, match="METRIC,PATIENCE"):
        tercel.Model.train(data, tmp_path / "wrong", early_stop="both.ndcg@10,3", **settings)
