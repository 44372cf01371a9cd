"""Two-tower retrieval: from purchases to the top items of every user, in ten lines.

>>> import tercel
>>> purchases = tercel.demo_purchases()  # a pyarrow, Polars or pandas table, or the path of a file
>>> data = tercel.Dataset.build(purchases, split="last-per-user:1", progress=False)
>>> model = tercel.Model.train(data, dim=16, epochs=5, progress=False)
>>> report = tercel.evaluate(model, data, k=5, progress=False)
>>> sorted(report.metrics)[:2]
['coverage@5', 'hit_rate@5']
>>> top = model.recommend(k=3, include_seen=True, progress=False)
>>> top.num_rows == 3 * data.users
True

For scripts written for Merlin or TensorFlow Recommenders, see `tercel.merlin` and `tercel.tfrs`.
"""

from __future__ import annotations

from . import errors
from ._core import version as _version
from ._device import device_for
from ._tables import read_table
from .dataset import Dataset, demo_purchases, read_interactions
from .errors import (
    CheckpointError,
    ConfigError,
    DamagedError,
    DataError,
    DeviceError,
    FileError,
    KindError,
    NonFiniteError,
    NotHereError,
    NotWrittenError,
    OutOfMemoryError,
    ResultWarning,
    RowError,
    SchemaError,
    ShapeError,
    TercelError,
    UnknownNameError,
)
from .evaluation import Estimate, Evaluation, evaluate
from .index import NO_ITEM, Index
from .model import Model, recommend
from .tuning import Tuned, tune

__version__ = _version()

__all__ = [
    "NO_ITEM",
    "CheckpointError",
    "ConfigError",
    "DamagedError",
    "DataError",
    "Dataset",
    "DeviceError",
    "Estimate",
    "Evaluation",
    "FileError",
    "Index",
    "KindError",
    "Model",
    "NonFiniteError",
    "NotHereError",
    "NotWrittenError",
    "OutOfMemoryError",
    "ResultWarning",
    "RowError",
    "SchemaError",
    "ShapeError",
    "TercelError",
    "Tuned",
    "UnknownNameError",
    "demo_purchases",
    "device_for",
    "errors",
    "evaluate",
    "read_interactions",
    "read_table",
    "recommend",
    "tune",
]
