"""What can go wrong, as exceptions that say what, where and what to do.

Everything that this package raises by itself is a `TercelError`. The place is in attributes, so that a program need not
read the text:

>>> import tercel
>>> try:
...     tercel.Dataset.build("no-such-file.csv")
... except tercel.TercelError as error:
...     print(type(error).__name__, error.path)
FileError no-such-file.csv
"""

from __future__ import annotations


class TercelError(Exception):
    """The base of all.

    Attributes:
        path: The file, folder or table that it is about, if any.
        row: The line or row in it, counted from 1.
        column: The column's name.
        field: The setting that cannot be used.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        row: int | None = None,
        column: str | None = None,
        field: str | None = None,
    ) -> None:
        """Keeps the message and the place."""
        super().__init__(message)
        self.path = path
        self.row = row
        self.column = column
        self.field = field


class ConfigError(TercelError, ValueError):
    """A setting that cannot be used, alone or with the others; `field` names it."""


class FileError(TercelError, OSError):
    """Reading or writing a file failed; `path` names it."""


class DataError(TercelError, ValueError):
    """Input data that cannot be used; `path` names the file or table."""


class RowError(DataError):
    """One row of an input cannot be read; `path`, `row` and `column` say which."""


class SchemaError(DataError):
    """A column is missing or has another type; `column` names it."""


class DamagedError(DataError):
    """A file of Tercel's own is damaged."""


class CheckpointError(TercelError):
    """A model folder cannot be used."""


class ShapeError(TercelError, ValueError):
    """Arrays that do not fit together."""


class NonFiniteError(TercelError, ArithmeticError):
    """Training produced NaN or infinity."""


class OutOfMemoryError(TercelError, MemoryError):
    """A memory limit cannot be kept, of the host or of the device."""


class DeviceError(TercelError, RuntimeError):
    """A CUDA device was asked for and cannot be used."""
