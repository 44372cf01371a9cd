"""Exceptions, which say what went wrong, where, and what to do.

Every exception raised by this package is a `TercelError`. The location is in attributes, so that programs need not
parse the text:

>>> import tercel
>>> try:
...     tercel.Dataset.build("no-such-file.csv")
... except tercel.TercelError as error:
...     print(type(error).__name__, error.path)
FileError no-such-file.csv
"""

from __future__ import annotations


class TercelError(Exception):
    """The base class.

    Attributes:
        path: The file, folder or table that it is about, if any.
        row: The line or row in it, counted from 1.
        column: The column's name.
        field: The setting that cannot be used.

    >>> error = TercelError("shop.csv: row 7: no item", path="shop.csv", row=7)
    >>> error.path, error.row, error.column
    ('shop.csv', 7, None)
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

    def __str__(self) -> str:
        """The message as it is: `KeyError` would quote it."""
        return Exception.__str__(self)


class ConfigError(TercelError, ValueError):
    """A setting that cannot be used, alone or with the others; `field` names it.

    >>> import tercel
    >>> try:
    ...     tercel.Dataset.build(tercel.demo_purchases(), split="sometimes", progress=False)
    ... except tercel.ConfigError as error:
    ...     print(error.field)
    split
    """


class FileError(TercelError, OSError):
    """Reading or writing a file failed; `path` names it.

    >>> import tercel
    >>> tercel.Index.open("no-such.index")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.FileError: no-such.index: No such file or directory...
    """


class DataError(TercelError, ValueError):
    """Input data that cannot be used; `path` names the file or table.

    >>> import tercel
    >>> tercel.Dataset("no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.DataError: no-such-folder: no dataset.json here...
    """


class RowError(DataError):
    """One row of an input cannot be read; `path`, `row` and `column` say which.

    >>> import tercel, pyarrow as pa
    >>> purchases = pa.table({"user_id": ["ann", "bob"], "item_id": ["tea", None]})
    >>> try:
    ...     tercel.Dataset.build(purchases, progress=False)
    ... except tercel.RowError as error:
    ...     print(error.path, error.row, error.column)
    interactions 2 item_id
    """


class SchemaError(DataError):
    """A column is missing or has another type; `column` names it.

    >>> import tercel
    >>> try:
    ...     tercel.Dataset.build(tercel.demo_purchases(), user="buyer", progress=False)
    ... except tercel.SchemaError as error:
    ...     print(error.column)
    buyer
    """


class KindError(DataError, TypeError):
    """An argument is not a table, a path or ids; `path` names the argument.

    >>> import tercel
    >>> tercel.Dataset.build(3, progress=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.KindError: interactions: int is no table: give a path, ...
    """


class UnknownNameError(SchemaError, KeyError):
    """There is no column of this name; `column` has the name.

    >>> from tercel.merlin.schema import Schema
    >>> Schema(["user_id", "item_id"])["sku"]
    Traceback (most recent call last):
    tercel.errors.UnknownNameError: schema: no column `sku`; it has user_id, item_id
    """


class NotHereError(TercelError, AttributeError):
    """A name of Merlin, TensorFlow or TensorFlow Recommenders that Tercel does not provide.

    >>> import tercel.tf as tf
    >>> tf.random.set_seed(42)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.NotHereError: tercel.tf has no `random`; ...
    """


class NotWrittenError(TercelError, NotImplementedError):
    """A method that a subclass must implement.

    >>> import tercel.tf as tf
    >>> tf.keras.Model()(1)
    Traceback (most recent call last):
    tercel.errors.NotWrittenError: Model: write call(self, inputs)
    """


class DamagedError(DataError):
    """A file written by Tercel is damaged.

    >>> import tempfile, numpy as np, tercel
    >>> file = tempfile.NamedTemporaryFile(suffix=".index")
    >>> tercel.Index.build(np.eye(4, dtype=np.float32), recall=None).save(file.name)
    >>> with open(file.name, "r+b") as index:
    ...     _ = index.seek(-3, 2), index.write(b"!!!")
    >>> tercel.Index.open(file.name)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.DamagedError: ...
    """


class CheckpointError(TercelError):
    """A model folder cannot be used.

    >>> import tercel
    >>> tercel.Model("no-such-folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.CheckpointError: no-such-folder/config.json: no such file...
    """


class ShapeError(TercelError, ValueError):
    """Arrays that do not fit together.

    >>> import numpy as np, tercel
    >>> index = tercel.Index.build(np.eye(4, dtype=np.float32), recall=None)
    >>> index.search(np.ones((1, 3)))
    Traceback (most recent call last):
    tercel.errors.ShapeError: queries are 3 wide, the index's vectors 4
    """


class NonFiniteError(TercelError, ArithmeticError):
    """Training produced NaN or infinity.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), progress=False)
    >>> settings = dict(optimizer="sgd", lr=1e38, normalize=False, epochs=3, progress=False)
    >>> tercel.Model.train(data, **settings)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.NonFiniteError: the loss (NaN) is not finite at step 1...
    """


class OutOfMemoryError(TercelError, MemoryError):
    """The memory of the host or the device, or a memory limit, is not sufficient.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), progress=False)
    >>> model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
    >>> model.recommend(memory=1, progress=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.OutOfMemoryError: a block of one user needs ...
    """


class DeviceError(TercelError, RuntimeError):
    """A CUDA device was requested but cannot be used.

    >>> import tercel
    >>> tercel.device_for("cuda:99")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tercel.errors.DeviceError: ...
    """


class ResultWarning(UserWarning):
    """Part of a result was left out, or the result may be misleading.

    >>> import tercel
    >>> issubclass(tercel.ResultWarning, UserWarning)
    True
    """
