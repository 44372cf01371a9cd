"""Raw ids as strings. Values whose text is ambiguous (`22.0`, `nan`, `None`) are refused; the error names the row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from .errors import KindError, RowError


def raw_ids(ids: object, field: str = "ids") -> list[str]:
    """Converts ids to strings, as the native code reads them.

    Strings and integers are kept as they are, bytes are decoded as UTF-8, a UUID has its usual form, and a decimal
    without a fraction is an integer. Anything else could be written in more than one way, so that it is unknown which
    of them the dataset contains.

    >>> from tercel._ids import raw_ids
    >>> raw_ids(["0022", 22, b"u1"])
    ['0022', '22', 'u1']
    >>> raw_ids([22.0], "users")
    Traceback (most recent call last):
    tercel.errors.RowError: users: row 1: 22.0 is a float and no id: whole numbers are integers (astype("int64"), or \
"Int64" where some are missing), texts are strings

    Args:
        ids: A list, a column of pyarrow, pandas or Polars, an array, a tensor.
        field: What they are, for errors.

    Raises:
        KindError: When this is no list of ids.
        RowError: For the first id that is missing or has no one text.
    """
    values = _listed(ids, field)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and not np.ma.isMaskedArray(values):
        return [str(value) for value in values.tolist()]
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        if pa.types.is_integer(values.type) and not values.null_count:
            return [str(value) for value in values.to_pylist()]
        values = values.to_pylist()
    return [_text(value, field, row) for row, value in enumerate(values, 1)]


def is_column(values: object) -> bool:
    """Whether this is a single column or a list of values, as opposed to a table.

    >>> is_column(pa.array([1])), is_column(pa.table({"user_id": [1]}))
    (True, False)
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return not pa.types.is_struct(values.type)
    if isinstance(values, np.ndarray):
        return values.dtype.names is None
    # Looked up at the class: to name the columns of a lazy frame is work.
    if isinstance(values, (Mapping, str, bytes)) or hasattr(type(values), "columns"):
        return False
    if _method(values, "tolist") or _method(values, "to_list") or _method(values, "numpy"):
        return True
    arrow = hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")
    return isinstance(values, Iterable) and not arrow


def _listed(ids: object, field: str) -> Any:
    if isinstance(ids, (str, bytes, bytearray, memoryview, int, float)):
        raise KindError(f"{field}: {_shown(ids)} is one value: give a list of ids, [{_shown(ids)}]", path=field)
    if not is_column(ids):
        kind = type(ids).__name__
        raise KindError(f"{field}: {kind} is no list of ids: give one of its columns, or a list", path=field)
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        return ids
    tensor = _method(ids, "numpy")
    values: Any = tensor() if tensor is not None else ids
    if not isinstance(values, (np.ndarray, list, tuple)):
        listed = _method(values, "tolist") or _method(values, "to_list")
        values = listed() if listed is not None else list(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        values = list(values)  # as numbers they would be nanoseconds
    shape = np.shape(values) if isinstance(values, np.ndarray) else getattr(ids, "shape", (0,))
    if len(shape) != 1 or not isinstance(values, (np.ndarray, list, tuple)):
        raise KindError(f"{field}: a list of ids is needed, not values of the shape {tuple(shape)}", path=field)
    return values


def _text(value: Any, field: str, row: int) -> str:
    """The one text of an id."""
    if isinstance(value, str):
        return _checked(str.__str__(value), value, field, row)
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64)):
        return str(int(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return _checked(bytes(value).decode("utf-8"), value, field, row)
        except UnicodeDecodeError:
            raise _wrong(value, "is not UTF-8", field, row) from None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, pa.Scalar):
        return _text(value.as_py(), field, row)
    tensor = _method(value, "numpy")
    if tensor is not None:
        return _text(tensor(), field, row)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _text(value.item(), field, row)
    if isinstance(value, Decimal) and value.is_finite():
        if value.as_tuple().exponent == 0:
            return str(int(value))
        raise _wrong(value, "is a decimal with a fraction or an exponent and no id", field, row)
    if value is None or type(value).__name__ in ("NAType", "NaTType") or _is_nan(value):
        raise _wrong(value, "stands for a missing value and is no id", field, row)
    if isinstance(value, (float, np.floating)):
        words = (
            'is a float and no id: whole numbers are integers (astype("int64"), or "Int64" where some are missing), '
            "texts are strings"
        )
        raise _wrong(value, words, field, row)
    kind = type(value).__name__
    raise _wrong(value, f"is a {kind} and no id: give a text or a whole number", field, row)


def _checked(text: str, value: Any, field: str, row: int) -> str:
    if not text:
        raise _wrong(value, "is empty and no id", field, row)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _wrong(value, "cannot be written as UTF-8", field, row) from None
    return text


def _is_nan(value: Any) -> bool:
    try:
        return isinstance(value, (float, np.floating, Decimal)) and math.isnan(value)
    except ValueError:  # a signalling one
        return True


def _wrong(value: Any, words: str, field: str, row: int) -> RowError:
    return RowError(f"{field}: row {row}: {_shown(value)} {words}", path=field, row=row)


def _shown(value: Any) -> str:
    words = repr(value.item()) if isinstance(value, np.generic) else repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."


def _method(value: object, name: str) -> Callable[[], Any] | None:
    found = getattr(value, name, None)
    return found if callable(found) and not isinstance(value, type) else None
