"""The steps of a night, each a plain function over one folder; the flow strings them together.

    work = Work(Path("out/night"))
    prepare(work, Path("../tests/data/complete-journey"), DataSettings())
    trained = train_one(work, "a", {"dim": 64}, Schedule())

Everything large stays in the folder, as Parquet or as Tercel's own files: on one machine a plain folder, on a cluster
one that every worker sees. The search for settings is night_tune, and night_base has what the steps share.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tercel
from tercel._core import forget
from tercel.dataset import SPLITS
from tercel.model import Exclude

from pipeline import dataops
from pipeline.checks import CheckReport, Settings, run_checks
from pipeline.night_base import Schedule, Trained, Work
from pipeline.night_tune import TUNED, Search, origin, tune
from pipeline.owned import Owned
from pipeline.publish import Published, checksum_of, popular_list, publish_dynamodb, publish_sqlite
from pipeline.publish_dynamodb import remove_requests
from pipeline.report import render_report

__all__ = [
    "TUNED",
    "Schedule",
    "Search",
    "Trained",
    "Work",
    "origin",
    "pick",
    "predict",
    "prepare",
    "publish",
    "test",
    "train_one",
    "tune",
]

# Columns of articles that are texts for people: hundreds of thousands of values that say nothing to a tower.
_FOR_PEOPLE = "name", "prod_name", "detail_desc", "image_url"


def prepare(work: Work, source: Path | str, settings: dataops.DataSettings) -> dict[str, Any]:
    """Files to warehouse, dbt with its tests, marts to Parquet, and Arrow shards; what there is now.

    Raises:
        DataTestsFailed: When a data test fails: nothing is trained on such data.
    """
    owned = Owned(work.folder)
    owned.sweep()
    for path in (work.warehouse, work.warehouse.with_suffix(".dbt")):
        owned.claim(path)
    raw = dataops.load_raw(source, work.warehouse)
    built = dataops.build(work.warehouse, settings)
    marts = {
        "purchases": dataops.training_purchases,
        "customers": dataops.customers,
        "articles": dataops.articles,
    }
    for name, rows in marts.items():
        with owned.replacing(work.mart(name)) as draft:
            _write(rows(work.warehouse), draft)
    features = pq.read_schema(work.mart("articles")).names
    data = tercel.Dataset.build(
        dataops.training_purchases(work.warehouse),
        work.data,
        user="user_id",
        item="item_id",
        time="bought_at",
        split=f"time:{built.train_until},{built.valid_until}",
        user_features=dataops.customers(work.warehouse),
        item_features=dataops.articles(work.warehouse),
        item_feature_kinds={name: "skip" for name in _FOR_PEOPLE if name in features},
        progress=False,
    )
    return {
        "kind": raw.kind,
        "train_until": str(built.train_until),
        "valid_until": str(built.valid_until),
        "data_tests": built.tests_passed,
        "warnings": [str(warning) for warning in built.warnings],
        "rows": {split: data.rows(split) for split in SPLITS},
        "users": data.users,
        "items": data.items,
        "notes": data.summary["notes"],
    }


def train_one(work: Work, name: str, settings: Mapping[str, Any], schedule: Schedule) -> Trained:
    """Trains with some settings (short names, and `config` for a whole configuration); every epoch is validated over
    the full catalogue, and the best one kept.

    Killed, it goes on from its last checkpoint when it is called again.
    """
    path = work.model(name)
    given = {"epochs": schedule.epochs, "seed": schedule.seed, **settings}
    given |= {"threads": schedule.threads, "device": schedule.device, "checkpoint_every": 2000}
    given["early_stop"] = f"{schedule.metric},{schedule.patience}"
    data = tercel.Dataset(work.data)
    try:
        model = tercel.Model.train(data, path, resume=True, progress=False, **given)
    except tercel.CheckpointError:
        # Another run's leavings: other settings, or other data. A model that is there stays until there is another.
        forget(path)
        model = tercel.Model.train(data, path, progress=False, **given)
    metrics = model.metrics
    found = max(metrics["validations"])
    epochs = [event for event in model.history if event["event"] == "epoch"]
    started = [event for event in model.history if event["event"] == "settings"]
    return Trained(
        name=name,
        path=path,
        settings=dict(settings),
        metric=schedule.metric,
        value=found,
        popularity=_popularity(model, data, schedule.metric),
        decisions=started[-1]["decisions"] if started else [],
        losses=metrics["epoch_losses"],
        validations=metrics["validations"],
        seconds=sum(event["seconds"] for event in epochs),
    )


def pick(results: Sequence[Trained]) -> Trained:
    """The best by the full-catalogue validation metric; of equals the first."""
    return max(results, key=lambda one: one.value)


def test(
    work: Work, chosen: Trained, night: str, schedule: Schedule, checks: Settings
) -> tuple[dict[str, Any], CheckReport]:
    """The model on the test split, and its behaviour: figures and the checks on everybody's lists.

    A second seed of the chosen settings is trained, to see how much of the lists is luck.
    """
    owned = Owned(work.folder)
    for name in ("purchases", "customers", "articles"):
        owned.check(work.mart(name))
    data = tercel.Dataset(work.data)
    again = train_one(
        work, f"{chosen.name}-again", chosen.settings, Schedule(**asdict(schedule) | {"seed": schedule.seed + 1})
    )
    model = tercel.Model(chosen.path, device=schedule.device, threads=schedule.threads)
    found = tercel.evaluate(model, data, "test", k=sorted({checks.k, 20}), view="both", progress=False)
    figures = {f"test, {name}": view.details for name, view in found.views.items()}
    second = work.folder / "predictions-again.parquet"
    other = tercel.Model(again.path, device=schedule.device)
    with owned.replacing(second) as draft:
        _recommend(other, checks.k, draft, exclude="train")
    predict(work, chosen, checks.k, schedule)
    report = run_checks(
        str(work.checked),
        str(work.mart("purchases")),
        str(work.mart("customers")),
        str(work.mart("articles")),
        str(second),
        checks,
    )
    metrics = model.metrics | {name: {"event": "evaluate", **body} for name, body in figures.items()}
    metrics["settings"] = origin(work, chosen)
    page = render_report(
        predictions=str(work.checked),
        purchases=str(work.mart("purchases")),
        customers=str(work.mart("customers")),
        articles=str(work.mart("articles")),
        checks=report,
        metrics=metrics,
        night=night,
        model_checksum=checksum_of(chosen.path / "model.safetensors"),
        settings=checks,
    )
    owned = Owned(work.folder)
    owned.write_text(work.report(night), page)
    owned.write_text(work.folder / "checks.json", report.to_json() + "\n")
    owned.write_text(work.folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return figures, report


def predict(work: Work, chosen: Trained, k: int, schedule: Schedule) -> int:
    """Everybody's lists; the number of rows. Written whole or not at all.

    They are published for tomorrow: what a user has bought in any split is left out. The lists that are checked keep
    what is in the validation and test splits: by it they are measured.
    """
    model = tercel.Model(chosen.path, device=schedule.device, threads=schedule.threads)
    owned = Owned(work.folder)
    with owned.replacing(work.checked) as draft:
        _recommend(model, k, draft, exclude="train")
    with owned.replacing(work.predictions) as draft:
        _recommend(model, k, draft, exclude="all", seen=tercel.Dataset(work.data))
    return int(pq.read_metadata(work.predictions).num_rows)


def publish(
    work: Work, chosen: Trained, night: str, k: int, *, dynamodb: Path | None = None, table: str = "userItemTable"
) -> list[Published]:
    """The night into the store that the API serves; and, where it is wanted, as DynamoDB's batch writes into a folder
    of the night's name.
    """
    owned = Owned(work.folder)
    for path in (work.predictions, work.mart("purchases"), work.mart("articles")):
        owned.check(path)
    purchases, articles = str(work.mart("purchases")), str(work.mart("articles"))
    fallback = popular_list(purchases, k, articles, splits=("train",))
    checksum = checksum_of(chosen.path / "model.safetensors")
    done = [publish_sqlite(str(work.predictions), work.store, night, fallback, checksum, articles)]
    if dynamodb is not None:
        folder = dynamodb / night
        # What an earlier attempt at this night has left, and nothing else.
        remove_requests(folder)
        done.append(publish_dynamodb(str(work.predictions), folder, table, night, fallback))
    return done


def _popularity(model: tercel.Model, data: tercel.Dataset, metric: str) -> float:
    """The popularity baseline's value of a metric on the validation split, in the view that early stopping watches: the
    one that the metric names, or discovery, or what is bought next where there is nothing to discover.
    """
    view, _, figure = metric.rpartition(".")
    k = int(figure.rsplit("@", 1)[1])
    views = [view] if view else ["discovery", "next"]
    for each in views:
        found = model.evaluate(data, "valid", k=k, view=each, baselines="none", bootstrap=0, progress=False)
        if found.nothing is None:
            return found.popularity[figure]
    raise ValueError(f"{metric}: {found.nothing}")


def _write(rows: pa.RecordBatchReader, path: Path) -> None:
    """Rows as Parquet, whose pages have checksums."""
    with pq.ParquetWriter(path, rows.schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in rows:
            writer.write_batch(batch)


def _recommend(model: tercel.Model, k: int, draft: Path, exclude: Exclude, seen: tercel.Dataset | None = None) -> None:
    """Everybody's lists into a draft. The core knows the format by a file's name, which a draft has not."""
    file = draft.with_name(f"{draft.name}.parquet")
    file.unlink(missing_ok=True)  # a killed night's
    try:
        model.recommend(k, exclude=exclude, seen=seen, out=file, progress=False)
        file.chmod(stat.S_IMODE(draft.stat().st_mode))
        file.replace(draft)
    finally:
        file.unlink(missing_ok=True)
