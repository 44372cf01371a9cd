"""What the parts of DataOps share: the settings, the errors, what is reported, and the door to the warehouse."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import duckdb

SourceKind = Literal["hm", "complete-journey"]


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


def connect(warehouse: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """The warehouse, under the same memory limit that dbt/profiles.yml gives it; what is more goes to disk."""
    limit = os.environ.get("TERCEL_WAREHOUSE_MEMORY", "4GB")
    return duckdb.connect(str(warehouse), read_only=read_only, config={"memory_limit": limit})


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many rows the table has."""
    [(rows,)] = connection.execute(f"select count(*) from {table}").fetchall()
    return int(rows)
