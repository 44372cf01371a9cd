"""DataOps: a shop's files into a warehouse, tested and in one shape.

    load_raw(folder, warehouse, "auto")      # the files, as they are, into the schema `raw`
    build(warehouse, DataSettings())         # dbt: staging, marts and every data test
    for batch in training_purchases(warehouse): ...

The SQL is the dbt project in `dbt/`. This module is the door to the parts: dataops_raw loads what the project reads,
dataops_dbt runs it in this process, dataops_read streams what it made, and dataops_base has what they share.
"""

from __future__ import annotations

from pipeline.dataops_base import (
    BadSource,
    BuildFailed,
    BuildReport,
    DataOpsError,
    DataSettings,
    DataTestsFailed,
    NotBuilt,
    RawTables,
    SourceKind,
    SplitRows,
    TestFailure,
)
from pipeline.dataops_dbt import PROJECT, build, run_dbt
from pipeline.dataops_raw import PACKAGE, TABLES, RawTable, load_raw, raw_ddl
from pipeline.dataops_read import BATCH_ROWS, articles, customers, purchases, training_purchases

__all__ = [
    "BATCH_ROWS",
    "PACKAGE",
    "PROJECT",
    "TABLES",
    "BadSource",
    "BuildFailed",
    "BuildReport",
    "DataOpsError",
    "DataSettings",
    "DataTestsFailed",
    "NotBuilt",
    "RawTable",
    "RawTables",
    "SourceKind",
    "SplitRows",
    "TestFailure",
    "articles",
    "build",
    "customers",
    "load_raw",
    "purchases",
    "raw_ddl",
    "run_dbt",
    "training_purchases",
]
