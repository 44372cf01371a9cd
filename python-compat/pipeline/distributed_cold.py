"""Cold users of a model, told to `Model.recommend` in words.

`Model.recommend()` scores those users too that only held-out rows name: by the features that the model's folder keeps.
By id alone they are not found (`users=[…]` refuses them, and a table with nothing but their ids makes them somebody
without features), so a table gives each the features again: values that the model reads as the codes it has.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class ColdUsers:
    """How many cold users a model has, what its user column is called, and their features in words."""

    users: int
    column: str
    features: pa.Table

    @classmethod
    def of(cls, model: Path) -> ColdUsers:
        """Those of a model folder.

        Raises:
            ValueError: For a feature whose column or values a table of users cannot carry.
        """
        info: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
        column, file = info["columns"]["user"], info["users"].get("unseen_file")
        if not file:
            return cls(0, column, pa.table({}))
        with pa.ipc.open_file(str(model / file["name"])) as reader:
            codes = reader.read_all()
        taken = {"user", "item", "time", *info["columns"].values()}
        features = {kind["name"]: _words(codes.column(kind["name"]), kind, taken) for kind in info["users"]["features"]}
        return cls(codes.num_rows, column, pa.table(features))

    def described(self, ids: pa.Array, at: pa.Array) -> pa.Table:
        """A table that `Model.recommend` takes for these users.

        Args:
            ids: Their ids.
            at: Their rows among the cold ones; null for somebody new.
        """
        columns = {name: self.features.column(name).take(at) for name in self.features.column_names}
        return pa.table({self.column: ids, **columns})


def _words(codes: pa.ChunkedArray, feature: dict[str, Any], taken: set[str]) -> pa.ChunkedArray:
    """A column of codes as values that have these codes; null for code 0, which is what an empty cell has."""
    values = _values(feature)
    texts = [value for value in values if value is not None]
    if feature["name"] in taken or any(text != text.strip() for text in texts):
        raise ValueError(f"user feature `{feature['name']}`: rename it, or trim its values, to score cold users")
    if feature["kind"] != "multi_hot":
        return pa.chunked_array([pa.array(values, pa.string()).take(chunk) for chunk in codes.chunks], pa.string())
    lists = [[values[code] or "" for code in row or ()] for row in codes.to_pylist()]
    return pa.chunked_array([pa.array([feature["separator"].join(row) or None for row in lists], pa.string())])


def _values(feature: dict[str, Any]) -> list[str | None]:
    """A value for each code of a feature: of a number's bucket its lower edge, or a number below the first edge."""
    if feature["kind"] != "numeric":
        return [None, *feature["values"]]
    edges = [float(edge) for edge in feature["edges"]]
    below = math.nextafter(edges[0], -math.inf) if edges else 0.0
    return [None, *(repr(number) for number in (below, *edges))]
