"""DataOps, third step: the marts of a build that succeeded, streamed in one order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.dataops_base import NotBuilt, connect

BATCH_ROWS = 65_536


def purchases(warehouse: Path) -> pa.RecordBatchReader:
    """Every purchase, one row per user, item and day, in the order of the days; streamed. Raises NotBuilt."""
    return _stream(warehouse, "select * from marts.purchases order by bought_at, user_id, item_id")


def training_purchases(warehouse: Path) -> pa.RecordBatchReader:
    """The chosen users' whole histories with each purchase's split, in the order of the days. Raises NotBuilt."""
    return _stream(warehouse, "select * from marts.training_purchases order by bought_at, user_id, item_id")


def customers(warehouse: Path) -> pa.RecordBatchReader:
    """Every known user with features (null where unknown), in the order of the ids. Raises NotBuilt."""
    return _stream(warehouse, "select * from marts.customers order by user_id")


def articles(warehouse: Path) -> pa.RecordBatchReader:
    """Every known item with features and a name for people, in the order of the ids. Raises NotBuilt."""
    return _stream(warehouse, "select * from marts.articles order by item_id")


def _stream(warehouse: Path, query: str) -> pa.RecordBatchReader:
    """The query's batches. Ordered queries only, so that the same warehouse always gives the same rows in one order."""
    if not warehouse.is_file():
        raise NotBuilt(f"{warehouse} is not there: load_raw and build make it")
    connection = connect(warehouse, read_only=True)
    try:
        if connection.execute("select ok from meta.last_build").fetchall() != [(True,)]:
            raise NotBuilt(f"the last build of {warehouse} failed: its marts are not tested")
        reader = connection.sql(query).to_arrow_reader(BATCH_ROWS)
    except duckdb.CatalogException as error:
        connection.close()
        raise NotBuilt(f"{warehouse} was never built: build makes its marts") from error
    except BaseException:
        connection.close()
        raise

    def batches() -> Iterator[pa.RecordBatch]:
        # The connection lives as long as somebody reads.
        try:
            yield from reader
        finally:
            connection.close()

    return pa.RecordBatchReader.from_batches(reader.schema, batches())
