"""Small tables and files that tests of several files read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from tercel.merlin.schema import ColumnSchema, Schema, Tags

IDS = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
ODD = ["0000000022", "123456789012345678901", "1.0", "1e5", "-0", "+7", "0x1F", "7", "true", "2024-01-05", "00"]
"""Ids that something else would read as numbers, times or truths."""


def write(file: Path, *lines: str) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


PURCHASES = frame(user_id=["a", "b", "a"], item_id=["x", "y", "y"], timestamp=[1_600_000_000] * 3)
