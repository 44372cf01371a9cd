"""DataOps, second step: the dbt project in `dbt/` run in this process, with every data test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb

from pipeline.dataops_base import (
    BuildFailed,
    BuildReport,
    DataSettings,
    DataTestsFailed,
    NotBuilt,
    SourceKind,
    SplitRows,
    TestFailure,
    connect,
    count,
)

PROJECT = Path(__file__).parent / "dbt"


def build(warehouse: Path, settings: DataSettings, project: Path = PROJECT) -> BuildReport:
    """Runs every model and every data test of the project on the newest load in `warehouse`.

    Returns what was made. Raises DataTestsFailed where a test found rows, BuildFailed where a model could not run, and
    NotBuilt where nothing was loaded; the marts then cannot be read until a build succeeds.
    """
    warehouse = warehouse.resolve()  # dbt takes paths from the project's folder
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
    with connect(warehouse, read_only=True) as connection:
        marts = ("purchases", "customers", "articles", "training_users", "training_purchases")
        rows = {name: count(connection, f"marts.{name}") for name in marts}
        [dates] = connection.execute("select train_until, valid_until from marts.split_dates").fetchall()
        splits = connection.execute(
            "select split, count(*), min(bought_at), max(bought_at) from marts.training_purchases group by split"
        ).fetchall()
    by_split = {name: SplitRows(count, first, last) for name, count, first, last in sorted(splits, key=lambda s: s[2])}
    return BuildReport(kind, dates[0], dates[1], rows, by_split, passed, warnings)


def _newest_load(warehouse: Path) -> SourceKind:
    if not warehouse.is_file():
        raise NotBuilt(f"{warehouse} is not there: load_raw makes it")
    with connect(warehouse, read_only=True) as connection:
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
    with connect(warehouse) as connection:
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
