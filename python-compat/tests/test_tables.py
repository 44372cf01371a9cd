"""Tables in and out: every library's rows make the same dataset, and nothing is copied that need not be."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest
import tercel

ROWS = 3_000


def table(rows: int = ROWS) -> pa.Table:
    """Numbers, texts and times, so that each library has something to say in its own way."""
    rng = np.random.default_rng(1)
    at = 1_600_000_000_000_000 + rng.integers(0, 10**8, rows) * 1_000_000
    return pa.table(
        {
            "customer_id": pa.array(rng.integers(1, 200, rows), pa.int64()),
            "item_id": pa.array([f"sku-{item:03}" for item in rng.integers(0, 90, rows)]),
            "timestamp": pa.array(at, pa.timestamp("us")),
        }
    )


def build(rows: Any, **settings: Any) -> tercel.Dataset:
    return tercel.Dataset.build(rows, split="random:0.2", progress=False, **settings)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return table()


@pytest.fixture(scope="module")
def from_parquet(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tercel.Dataset:
    file = tmp_path_factory.mktemp("files") / "rows.parquet"
    pyarrow.parquet.write_table(rows, file)
    return build(file)


def duck(rows: pa.Table, folder: Path) -> Any:
    return duckdb.connect().from_arrow(rows)


def arrow_file(rows: pa.Table, folder: Path) -> Path:
    file = folder / "rows.arrow"
    with pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    return file


def csv_file(rows: pa.Table, folder: Path) -> str:
    file = folder / "rows.csv"
    pyarrow.csv.write_csv(rows.set_column(2, "timestamp", rows["timestamp"].cast("timestamp[s]")), file)
    return str(file)


class Foreign:
    """Rows that speak of themselves by the Arrow C data interface alone."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object | None = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


SOURCES: dict[str, Callable[[pa.Table, Path], Any]] = {
    "pyarrow table": lambda rows, _: rows,
    "pyarrow table in chunks": lambda rows, _: pa.concat_tables([rows.slice(at, 700) for at in range(0, ROWS, 700)]),
    "dictionary of texts": lambda rows, _: rows.set_column(1, "item_id", rows["item_id"].dictionary_encode()),
    "record batch": lambda rows, _: rows.combine_chunks().to_batches()[0],
    "record batches": lambda rows, _: rows.to_batches(max_chunksize=256),
    "reader": lambda rows, _: pa.RecordBatchReader.from_batches(rows.schema, iter(rows.to_batches(max_chunksize=512))),
    "an array of another library": lambda rows, _: Foreign(rows.combine_chunks().to_batches()[0]),
    "NumPy arrays": lambda rows, _: {name: rows[name].to_numpy() for name in rows.column_names},
    "several tables": lambda rows, _: [rows.slice(0, 1_000), rows.slice(1_000)],
    "polars": lambda rows, _: pl.from_arrow(rows),
    "polars, lazy": lambda rows, _: pl.DataFrame(pl.from_arrow(rows)).lazy().filter(pl.col("customer_id") > 0),
    "pandas": lambda rows, _: rows.to_pandas(),
    "pandas, objects": lambda rows, _: rows.to_pandas().astype({"item_id": object}),
    "duckdb": duck,
    "arrow file": arrow_file,
    "csv file": csv_file,
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_makes_the_same_dataset(
    source: str, rows: pa.Table, from_parquet: tercel.Dataset, tmp_path: Path
) -> None:
    made = build(SOURCES[source](rows, tmp_path))
    # The manifest has an XXH3 checksum of every file.
    assert made.manifest == from_parquet.manifest
    assert made.manifest["train"]["files"][0]["xxh3"]


def test_other_rows_make_another_dataset(rows: pa.Table, from_parquet: tercel.Dataset) -> None:
    other = rows.set_column(1, "item_id", pc.binary_join_element_wise(rows["item_id"], "x", ""))
    assert build(other).manifest["items"]["file"]["xxh3"] != from_parquet.manifest["items"]["file"]["xxh3"]


def test_the_index_of_a_data_frame_is_no_column(rows: pa.Table, from_parquet: tercel.Dataset) -> None:
    frame = rows.to_pandas()
    frame.index = pd.Index(np.arange(len(frame))[::-1], name="user")  # a usual name of the user column
    assert build(frame).manifest == from_parquet.manifest


def test_features_come_as_tables_too(rows: pa.Table, tmp_path: Path) -> None:
    items = pc.unique(rows["item_id"])
    features = pa.table({"item_id": items, "colour": [f"c{i % 5}" for i in range(len(items))]})
    file = tmp_path / "items.parquet"
    pyarrow.parquet.write_table(features, file)
    made = [build(rows, item_features=one) for one in (file, features, features.to_pandas(), pl.from_arrow(features))]
    assert all(one.manifest == made[0].manifest for one in made)
    assert [column["name"] for column in made[0].manifest["items"]["features"]] == ["colour"]


def test_a_table_can_be_given_again(rows: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(rows))
    assert build(rows).manifest == build(rows).manifest == build(frame).manifest == build(frame).manifest


# ------------------------------------------------------------------------------------------------------------- streams


class Stream:
    """A stream that is made while it is read, and looks how much of it is in memory at once."""

    def __init__(self, batches: int, rows: int) -> None:
        self.batches, self.rows = batches, rows
        self.before = pa.total_allocated_bytes()
        self.peak = self.given = 0

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("user_id", pa.int64()), ("item_id", pa.int64())])

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in range(self.batches):
            self.peak = max(self.peak, pa.total_allocated_bytes() - self.before)
            first = pa.scalar(batch * self.rows, pa.int64())
            numbers = pc.add(pa.array(np.arange(self.rows, dtype=np.int64)), first)  # in Arrow's own pool
            users, items = pc.bit_wise_and(numbers, 1023), pc.bit_wise_and(numbers, 511)
            del numbers
            self.given += 1
            yield pa.RecordBatch.from_arrays([users, items], schema=self.schema)
            del users, items


def test_a_stream_is_read_batch_by_batch() -> None:
    stream = Stream(batches=120, rows=16_384)
    reader = pa.RecordBatchReader.from_batches(stream.schema, iter(stream))
    made = tercel.Dataset.build(reader, progress=False)
    assert made.rows("train") == 120 * 16_384 and stream.given == 120
    size = 2 * 8 * 16_384
    assert stream.peak < 16 * size, f"{stream.peak / size:.0f} of 120 batches were in memory at once"


def test_a_stream_that_breaks_says_which(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from table(10).to_batches()
        raise RuntimeError("the warehouse is closed")

    reader = pa.RecordBatchReader.from_batches(table(10).schema, batches())
    with pytest.raises(tercel.DataError, match="the warehouse is closed") as error:
        tercel.Dataset.build(reader, tmp_path / "out", progress=False)
    assert error.value.path == "interactions"
    assert list(tmp_path.iterdir()) == [], "nothing half-made stays"


@pytest.mark.parametrize("wrong", [3, None, [], object(), {"a": [1], "b": [1, 2]}])
def test_what_is_no_table_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, tercel.TercelError), match=r"no table|no input"):
        tercel.Dataset.build(wrong, progress=False)


def test_files_are_no_rows_in_memory() -> None:
    with pytest.raises(TypeError, match=r"Dataset\.build reads files"):
        tercel.read_interactions("rows.csv")


# ----------------------------------------------------------------------------------------------------------------- out


def test_shards_are_mapped_not_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 400_000
    made = tercel.Dataset.build(
        pa.table({"user_id": rng.integers(0, 900, rows), "item_id": rng.integers(0, 400, rows)}),
        tmp_path / "out",
        progress=False,
    )
    before = pa.total_allocated_bytes()
    out = made.to_arrow("train")
    assert out.num_rows == rows and out.nbytes >= rows * 8
    assert pa.total_allocated_bytes() - before < out.nbytes / 50
    for column in ("user", "item"):
        values = out.column(column).chunk(0).to_numpy(zero_copy_only=True)
        assert values.dtype == np.uint32 and not values.flags.writeable and values.max() < 901


def test_raw_ids_come_back_through_the_tables(rows: pa.Table) -> None:
    made = tercel.Dataset.build(rows, progress=False)
    users, items = made.user_table()["id"].to_pylist(), made.item_table()["id"].to_pylist()
    out = made.to_arrow()
    got = {
        (users[user], items[item]) for user, item in zip(out["user"].to_pylist(), out["item"].to_pylist(), strict=True)
    }
    given = zip(rows["customer_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True)
    assert {(str(user), item) for user, item in got} == {(str(user), item) for user, item in given}


def test_ids_that_held_out_rows_alone_name(purchases: pa.Table) -> None:
    later = pa.table({"user_id": [7_000, 1], "item_id": [10_001, 70_000], "timestamp": [2_000_000_000] * 2})
    made = tercel.Dataset.build(purchases, test=later, progress=False)
    users, items = (table["id"].to_pylist() for table in (made.user_table(unseen=True), made.item_table(unseen=True)))
    rows = made.to_arrow("test").to_pylist()
    assert [(users[row["user"]], items[row["item"]]) for row in rows] == [(7_000, 10_001), (1, 70_000)]
    assert (len(users), len(items)) == (made.users + 2, made.items + 2)
    assert made.user_table().num_rows == made.users + 1 and made.item_table().num_rows == made.items + 1


def test_embeddings_are_owned_once(model: tercel.Model) -> None:
    users, again = model.user_embeddings(), model.user_embeddings()
    assert users.dtype == np.float32 and users.flags.c_contiguous and users.flags.writeable
    # The array has taken the native buffer over: it is no view of another array, and shares nothing with the model.
    assert not isinstance(users.base, np.ndarray) and not np.shares_memory(users, again)
    again[:] = 0
    assert np.array_equal(model.user_embeddings(), users)


def test_recommendations_are_mapped(model: tercel.Model) -> None:
    before = pa.total_allocated_bytes()
    top = model.recommend(k=100, include_seen=True, progress=False)
    assert top.num_rows == 100 * 400 and top.nbytes > 400_000
    assert pa.total_allocated_bytes() - before < top.nbytes / 20


def test_temporary_folders_go_with_their_objects(purchases: pa.Table) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = tercel.Dataset.build(purchases, progress=False)
        folder = made.path
        rows = made.to_arrow()
        assert folder.exists()
        del made
    assert not folder.exists()
    assert rows.num_rows == purchases.num_rows and rows["user"].to_pylist(), "what is mapped stays"
