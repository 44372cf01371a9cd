"""The jobs for Spark and Ray Data in local mode: the dataset and the lists of one machine, whatever the partitions."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tercel import DataError, Dataset, Model

from pipeline.distributed import KEY, PURCHASES, Columns, build_dataset, clean_purchases, ordered_files
from pipeline.distributed_scores import SCORES, Scoring, open_model, score_users, user_ids

SHIPPED = Path(__file__).resolve().parents[3] / "tests" / "data" / "complete-journey" / "transactions.csv.gz"
COLUMNS = Columns("household_id", "product_id", "t_dat")
NAMES = ["--user", COLUMNS.user, "--item", COLUMNS.item, "--time", COLUMNS.time]
SPLIT = "time:2017-12-04,2017-12-11"
K = 10

Job = Callable[[list[str]], None]


@pytest.fixture(scope="session")
def raw() -> pa.Table:
    """The purchases of every sixteenth household, in no order, some of them twice."""
    table = pa.csv.read_csv(SHIPPED).select([COLUMNS.item, "quantity", COLUMNS.time, COLUMNS.user])
    table = table.filter(pc.equal(pc.bit_wise_and(table[COLUMNS.user], 15), 3))
    some = np.random.default_rng(1).permutation(np.concatenate([np.arange(table.num_rows), np.arange(500)]))
    return table.take(some)


@pytest.fixture(scope="session")
def purchases(raw: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as three Parquet files."""
    folder = tmp_path_factory.mktemp("purchases")
    third = raw.num_rows // 3
    for part in range(3):
        pq.write_table(raw.slice(part * third, None if part == 2 else third), folder / f"{part}.parquet")
    return folder


@pytest.fixture(scope="session")
def settings(raw: pa.Table) -> dict[str, Any]:
    """How datasets are built: with features of every kind, and users of few purchases left to the held-out weeks."""
    users = sorted(set(raw[COLUMNS.user].to_pylist()))
    features = pa.table(
        {
            "user": [str(user) for user in users],
            "segment": [f"segment {user % 7}" if user % 5 else None for user in users],
            "spend": [user % 97 / 7 if user % 11 else None for user in users],
            "tags": ["|".join(f"t{tag}" for tag in range(user // 16 % 4)) for user in users],
        }
    )
    kinds = {"segment": "categorical", "spend": "numeric:8", "tags": "multi-hot:|"}
    return {"split": SPLIT, "min_user_count": 20, "user_features": features, "user_feature_kinds": kinds}


def on_one_machine(raw: pa.Table, *, keep_duplicates: bool = False) -> pa.Table:
    """What the workers and the engine should make of the purchases, in other words than theirs."""
    midnight = pc.cast(raw[COLUMNS.time], pa.timestamp("s")).cast(pa.int64())
    ids = {name: raw[column].cast("string") for name, column in (("user", COLUMNS.user), ("item", COLUMNS.item))}
    table = pa.table({"time": midnight, **ids})
    table = table if keep_duplicates else table.group_by(table.column_names).aggregate([])
    return table.sort_by([(name, "ascending") for name in ("time", "user", "item")])


@pytest.fixture(scope="session")
def data(raw: pa.Table, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.build(on_one_machine(raw), tmp_path_factory.mktemp("one") / "data", progress=False, **settings)


@pytest.fixture(scope="session")
def model(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("model") / "model"
    return Model.train(data, out, dim=16, epochs=2, history=5, device="cpu", progress=False)


@pytest.fixture(scope="session")
def lists(model: Model) -> pa.Table:
    """The lists of one machine."""
    return model.recommend(K, progress=False)


@pytest.fixture(scope="session")
def spark() -> Iterator[Job]:
    """The Spark job, in a session on two cores."""
    from pyspark.sql import SparkSession

    from pipeline import spark_job

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "3").getOrCreate()
    yield spark_job.main
    session.stop()


@pytest.fixture(scope="session")
def ray() -> Iterator[Job]:
    """The Ray job, with room for two actors."""
    import ray

    from pipeline import ray_job

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Most of the time of small jobs goes into starting processes: those that wait for a second are kept.
    keep = {"idle_worker_killing_time_threshold_ms": 600_000}
    here: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False, "log_to_driver": False}
    ray_job.session(num_cpus=3, _system_config=keep, **here)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray_job.main
    ray.shutdown()


@pytest.fixture(params=["spark", "ray"])
def job(request: pytest.FixtureRequest) -> Job:
    """The command line of each engine."""
    started: Job = request.getfixturevalue(request.param)
    return started


def contents(folder: Path) -> dict[str, Any]:
    """A dataset's files: its manifest, with all checksums but not what the input's columns were, and the files
    themselves.
    """
    manifest = json.loads((folder / "dataset.json").read_bytes())
    manifest.pop("columns")
    return {"dataset.json": manifest} | {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name != "dataset.json"
    }


def bits(found: pa.Table) -> tuple[list[Any], npt.NDArray[np.uint32]]:
    """Every user, rank and item in one order, and the bits of the scores."""
    table = found.select(SCORES.names).cast(SCORES).sort_by([("user", "ascending"), ("rank", "ascending")])
    return table.drop_columns("score").to_pylist(), table["score"].to_numpy().view(np.uint32)


def assert_same_lists(found: pa.Table, expected: pa.Table) -> None:
    (rows, scores), (expected_rows, expected_scores) = bits(found), bits(expected)
    assert rows == expected_rows
    assert np.array_equal(scores, expected_scores)


def scored(batches: list[pa.RecordBatch], scoring: Scoring) -> pa.Table:
    return pa.Table.from_batches(score_users(iter(batches), scoring), SCORES)


@pytest.mark.parametrize("partitions", [1, 5])
def test_the_dataset_is_that_of_one_machine(
    job: Job, partitions: int, purchases: Path, settings: dict[str, Any], data: Dataset, tmp_path: Path
) -> None:
    job(["shards", str(purchases), str(tmp_path / "shards"), *NAMES, "--partitions", str(partitions)])
    files = ordered_files(tmp_path / "shards")
    assert len(files) == partitions
    made = build_dataset(tmp_path / "shards", tmp_path / "data", **settings)
    assert contents(made.path) == contents(data.path)


def test_duplicates_may_stay_and_the_job_builds_the_dataset(job: Job, raw: pa.Table, tmp_path: Path) -> None:
    # Of CSV, where ids may begin with a zero.
    padded = pc.utf8_lpad(raw[COLUMNS.item].cast("string"), 12, "0")
    raw = raw.set_column(raw.column_names.index(COLUMNS.item), COLUMNS.item, padded)
    pa.csv.write_csv(raw, tmp_path / "purchases.csv")
    features = pa.table({"item": sorted(set(raw[COLUMNS.item].to_pylist()))})
    features = features.append_column("last_digit", pc.utf8_slice_codeunits(features["item"], -1))
    pq.write_table(features, tmp_path / "items.parquet")
    out = ["--dataset", str(tmp_path / "data"), "--split", SPLIT, "--item-features", str(tmp_path / "items.parquet")]
    csv = str(tmp_path / "purchases.csv")
    job(["shards", csv, str(tmp_path / "shards"), *NAMES, "--keep-duplicates", *out, "--partitions", "4"])
    rows = on_one_machine(raw, keep_duplicates=True)
    one = Dataset.build(rows, tmp_path / "one", split=SPLIT, item_features=features, progress=False)
    assert contents(tmp_path / "data") == contents(one.path)


@pytest.mark.parametrize("partitions", [1, 7])
def test_every_list_is_that_of_one_machine(
    job: Job, partitions: int, model: Model, lists: pa.Table, tmp_path: Path
) -> None:
    job(["score", str(model.path), str(tmp_path / "lists"), "--k", str(K), "--partitions", str(partitions)])
    assert_same_lists(pq.read_table(tmp_path / "lists"), lists)


def test_listed_users_are_scored_once_each(job: Job, model: Model, lists: pa.Table, tmp_path: Path) -> None:
    some = [*user_ids(model.path)["user"].to_pylist()[::9], "nobody"]
    pq.write_table(pa.table({"who": some + some[:5]}), tmp_path / "users.parquet")
    users = ["--users", str(tmp_path / "users.parquet"), "--column", "who", "--k", str(K)]
    job(["score", str(model.path), str(tmp_path / "lists"), *users, "--partitions", "3"])
    nobody = model.recommend(K, users=pa.table({"user": ["nobody"]}), progress=False).cast(SCORES)
    listed = lists.cast(SCORES).filter(pc.is_in(lists["user"], pa.array(some)))
    assert_same_lists(pq.read_table(tmp_path / "lists"), pa.concat_tables([listed, nobody]))


def test_ray_needs_a_core_beside_the_actors(ray: Job, model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 actors on 3 cores"):
        ray(["score", str(model.path), str(tmp_path / "lists"), "--actors", "3"])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 13, 1000])
def test_a_list_does_not_depend_on_its_batch(batch: int, threads: int, model: Model, lists: pa.Table) -> None:
    batches = user_ids(model.path).to_batches(max_chunksize=batch)
    assert_same_lists(scored(batches, Scoring(str(model.path), K, threads=threads, at_once=batch)), lists)


def test_what_users_have_had_may_stay(model: Model) -> None:
    batches = user_ids(model.path).to_batches()
    expected = model.recommend(K, include_seen=True, progress=False)
    assert_same_lists(scored(batches, Scoring(str(model.path), K, include_seen=True)), expected)


def test_cold_users_are_known_by_their_features(model: Model, data: Dataset, lists: pa.Table) -> None:
    cold = user_ids(model.path)["user"][-data.manifest["users"]["unseen"] :]
    assert len(cold) > 3
    expected = lists.filter(pc.is_in(lists["user"], cold))
    found = scored([pa.record_batch({"user": cold.combine_chunks()})], Scoring(str(model.path), K))
    assert_same_lists(found, expected)
    stranger = scored([pa.record_batch({"user": ["nobody"]})], Scoring(str(model.path), K))
    assert found["score"].to_pylist()[:K] != stranger["score"].to_pylist()


def test_without_users_there_are_no_lists(model: Model) -> None:
    empty = pa.record_batch({"user": pa.array([], pa.string())})
    assert scored([empty, empty], Scoring(str(model.path))).num_rows == 0
    assert scored([], Scoring(str(model.path))).num_rows == 0


def test_a_model_in_the_place_of_another_is_opened(data: Dataset, model: Model, tmp_path: Path) -> None:
    place = str(tmp_path / "model")
    shutil.copytree(model.path, place)
    batches = user_ids(model.path).to_batches()
    first = open_model(place, 1)
    assert open_model(place, 1) is first
    other = Model.train(data, tmp_path / "other", dim=8, epochs=1, device="cpu", progress=False)
    other.save_pretrained(place)
    assert_same_lists(scored(batches, Scoring(place, K)), other.recommend(K, progress=False))


def test_purchases_are_read_as_ingest_reads_them() -> None:
    days = ["2017-09-01", "1969-12-31 00:00:00.75"]
    batch = pa.record_batch({"more": [0, 0], "t_dat": days, "product_id": ["007", "b"], "household_id": [7, -1]})
    (clean,) = clean_purchases(iter([batch, batch.slice(0, 0)]), COLUMNS)
    assert clean.schema == PURCHASES
    assert clean.to_pydict() == {"time": [1504224000, -86400], "user": ["7", "-1"], "item": ["007", "b"]}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("household_id", [1, None], "row 2, column household_id: is null"),
        ("household_id", [1.0, 2.0], "household_id.*Float64"),
        ("t_dat", ["2017-09-01", "soon"], "row 2, column t_dat: `soon`"),
        ("product_id", None, "product_id"),
    ],
)
def test_bad_purchases_are_refused(column: str, values: list[Any] | None, message: str) -> None:
    columns: dict[str, Any] = {
        "household_id": [1, 2],
        "product_id": [3, 4],
        "t_dat": ["2017-09-01"] * 2,
        column: values,
    }
    batch = pa.record_batch({name: values for name, values in columns.items() if values is not None})
    with pytest.raises(DataError, match=message):
        next(clean_purchases(iter([batch]), COLUMNS))


def parts(folder: Path, **rows: list[tuple[int, str, str]]) -> Path:
    for name, part in rows.items():
        columns = [[row[at] for row in part] for at in range(len(KEY))]
        pq.write_table(pa.table(columns, schema=PURCHASES), folder / f"{name}.parquet", row_group_size=1)
    return folder


def test_the_rows_tell_the_order_of_the_files(tmp_path: Path) -> None:
    parts(tmp_path, a=[(2, "u", "i"), (2, "u", "j")], b=[], c=[(2, "u", "j"), (3, "a", "a")], d=[(1, "z", "z")])
    assert [path.stem for path in ordered_files(tmp_path)] == ["d", "a", "c"]


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    parts(tmp_path, a=[(1, "u", "i"), (3, "u", "j")], b=[(2, "u", "i"), (2, "u", "j")])
    with pytest.raises(ValueError, match=r"b.parquet starts before a.parquet ends: sort the rows by time, user, item"):
        ordered_files(tmp_path)


def test_files_without_rows_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Parquet file with a row"):
        ordered_files(parts(tmp_path, a=[]))
