"""The tables that the checks read, in DuckDB: ids become integers once, everything after that is small and fast.

DuckDB streams Parquet and spills to disk, so that a night of 1.4 million users needs no more memory than it is given.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import duckdb
import pyarrow as pa

Source: TypeAlias = str | Path | pa.Table

COLUMNS = {
    "predictions": {"user": "VARCHAR", "rank": "INTEGER", "item": "VARCHAR", "score": "DOUBLE"},
    "second_seed": {"user": "VARCHAR", "rank": "INTEGER", "item": "VARCHAR", "score": "DOUBLE"},
    "purchases": {"user_id": "VARCHAR", "item_id": "VARCHAR", "bought_at": "DATE", "split": "VARCHAR"},
    "customers": {"user_id": "VARCHAR"},
    "articles": {"item_id": "VARCHAR"},
}
"""What every input must have, and the type it is read as. Ids may be integers or texts; they are compared as texts."""

REQUIRED_VALUES = {
    "predictions": ("user", "rank", "item"),
    "second_seed": ("user", "rank", "item"),
    "purchases": ("user_id", "item_id", "split"),
    "customers": ("user_id",),
    "articles": ("item_id",),
}
"""Columns in which an empty value is an error. A score may be empty here: a check of its own looks at scores."""


class BadInput(ValueError):
    """An input that cannot be checked, with the reason in words."""


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A Parquet file for pyarrow, which takes no path that is not UTF-8."""
    with Path(path).open("rb") as file:
        yield file


def utf8(path: str | Path) -> str:
    """A path for DuckDB.

    Raises:
        BadInput: When it is not UTF-8, which DuckDB does not take.
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(text).decode("utf-8", "backslashreplace")
        raise BadInput(f"{shown}: DuckDB takes no path that is not UTF-8: rename it") from None
    return text


@contextmanager
def connect(memory: str = "4GB", threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in a temporary folder that goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="checks-") as folder:
        connection = duckdb.connect(str(Path(folder) / "checks.duckdb"))
        try:
            connection.execute(f"SET memory_limit = '{memory}'")
            connection.execute(f"SET threads = {int(threads)}")
            connection.execute(f"SET temp_directory = {literal(folder)}")
            yield connection
        finally:
            connection.close()


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def scalar(con: duckdb.DuckDBPyConnection, query: str) -> float:
    """The single number that a query returns; NaN where it returns none."""
    row = first_row(con, query)
    return float("nan") if row is None or row[0] is None else float(row[0])


def first_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...] | None:
    """The first row of a result. All of it is fetched: a result left open blocks the connection."""
    rows = con.execute(query).fetchall()
    return rows[0] if rows else None


def columns_of(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Column names and their types."""
    return {row[0]: row[1] for row in con.execute(f"DESCRIBE {table}").fetchall()}


def open_source(con: duckdb.DuckDBPyConnection, name: str, source: Source) -> None:
    """Makes the view raw_NAME over a Parquet file or a table and says what is wrong with it, if anything."""
    view = f"raw_{name}"
    try:
        if isinstance(source, pa.Table):
            con.register(f"arrow_{name}", source)
            con.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM arrow_{name}")
        else:
            con.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM read_parquet({literal(utf8(source))})")
        missing = [column for column in COLUMNS[name] if column not in columns_of(con, view)]
        if missing:
            raise BadInput(f"{name} has no column {', '.join(missing)}")
        refuse_empty(con, name, view)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{name} cannot be read: {reason}") from error


def refuse_empty(con: duckdb.DuckDBPyConnection, name: str, view: str) -> None:
    """No rows, or rows without an id, are nothing to check."""
    if scalar(con, f"SELECT count(*) FROM {view}") == 0:
        raise BadInput(f"{name} has no rows")
    for column in REQUIRED_VALUES[name]:
        empty = scalar(con, f"SELECT count(*) FROM {view} WHERE {quoted(column)} IS NULL")
        if empty:
            raise BadInput(f"{name} has {empty:,.0f} rows with an empty {column}")


def load(
    con: duckdb.DuckDBPyConnection,
    predictions: Source,
    purchases: Source,
    customers: Source,
    articles: Source,
    second_seed: Source | None,
    seen_splits: tuple[str, ...],
) -> None:
    """Reads every input and makes the tables users, items, lists, other_lists, train, test and catalogue."""
    sources: dict[str, Source] = {
        "predictions": predictions,
        "purchases": purchases,
        "customers": customers,
        "articles": articles,
    }
    if second_seed is not None:
        sources["second_seed"] = second_seed
    for name, source in sources.items():
        open_source(con, name, source)
    try:
        encode_ids(con, second_seed is not None)
        encode_lists(con, "lists", "raw_predictions")
        if second_seed is not None:
            encode_lists(con, "other_lists", "raw_second_seed")
        encode_purchases(con, seen_splits)
    except duckdb.Error as error:
        raise BadInput(f"an input has values of another type: {str(error).splitlines()[0]}") from error


def encode_ids(con: duckdb.DuckDBPyConnection, with_second: bool) -> None:
    """users(u, user) and items(i, item): every id of every input, numbered in the order of the texts."""
    users = [("raw_predictions", "user"), ("raw_purchases", "user_id"), ("raw_customers", "user_id")]
    items = [("raw_predictions", "item"), ("raw_purchases", "item_id"), ("raw_articles", "item_id")]
    if with_second:
        users.append(("raw_second_seed", "user"))
        items.append(("raw_second_seed", "item"))
    for table, key, name, parts in (("users", "u", "user", users), ("items", "i", "item", items)):
        union = " UNION ".join(f"SELECT CAST({quoted(column)} AS VARCHAR) AS id FROM {view}" for view, column in parts)
        con.execute(
            f"CREATE TABLE {table} AS SELECT CAST(row_number() OVER (ORDER BY id) AS INTEGER) AS {key}, "
            f"id AS {quoted(name)} FROM ({union})"
        )


def encode_lists(con: duckdb.DuckDBPyConnection, table: str, view: str) -> None:
    """Predictions with integer ids: (u, i, r, s)."""
    con.execute(
        f"""CREATE TABLE {table} AS
        SELECT u, i, CAST(p.rank AS INTEGER) AS r, CAST(p.score AS DOUBLE) AS s
        FROM {view} p
        JOIN users ON users."user" = CAST(p."user" AS VARCHAR)
        JOIN items ON items.item = CAST(p.item AS VARCHAR)"""
    )


def encode_purchases(con: duckdb.DuckDBPyConnection, seen_splits: tuple[str, ...]) -> None:
    """train(u, i, n) with row counts, test(u, i) with every pair once, and the catalogue's items."""
    con.execute(
        """CREATE TABLE bought AS
        SELECT u, i, p.split AS split, count(*) AS n
        FROM raw_purchases p
        JOIN users ON users."user" = CAST(p.user_id AS VARCHAR)
        JOIN items ON items.item = CAST(p.item_id AS VARCHAR)
        GROUP BY ALL"""
    )
    seen = ", ".join(literal(split) for split in seen_splits)
    con.execute(f"CREATE TABLE train AS SELECT u, i, sum(n) AS n FROM bought WHERE split IN ({seen}) GROUP BY u, i")
    con.execute("CREATE TABLE test AS SELECT DISTINCT u, i FROM bought WHERE split = 'test'")
    con.execute(
        """CREATE TABLE catalogue AS SELECT DISTINCT i FROM raw_articles a
        JOIN items ON items.item = CAST(a.item_id AS VARCHAR)"""
    )
