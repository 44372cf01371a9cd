"""Errors: which class, where it says the fault is, and that nothing is lost on the way to another process."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tercel

Error = tercel.TercelError
QUIET: Any = {"progress": False}
WRONG: Any = "tset"
PLACES = ("path", "row", "column", "field")


def where(error: Error) -> dict[str, Any]:
    """The place, without what is not known."""
    return {name: getattr(error, name) for name in PLACES if getattr(error, name) is not None}


def spoilt(purchases: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    """Texts, one of them another."""
    values: list[Any] = list(map(str, purchases[column].to_pylist()))
    values[row] = value
    return purchases.set_column(purchases.column_names.index(column), column, pa.array(values))


def build(rows: Any, **settings: Any) -> tercel.Dataset:
    return tercel.Dataset.build(rows, progress=False, **settings)


# ------------------------------------------------------------------------------------------------------------ the tree


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (tercel.ConfigError, (ValueError,)),
        (tercel.FileError, (OSError,)),
        (tercel.DataError, (ValueError,)),
        (tercel.RowError, (tercel.DataError, ValueError)),
        (tercel.SchemaError, (tercel.DataError, ValueError)),
        (tercel.DamagedError, (tercel.DataError, ValueError)),
        (tercel.KindError, (tercel.DataError, TypeError, ValueError)),
        (tercel.UnknownNameError, (tercel.SchemaError, KeyError, ValueError)),
        (tercel.NotHereError, (AttributeError,)),
        (tercel.NotWrittenError, (NotImplementedError,)),
        (tercel.CheckpointError, ()),
        (tercel.ShapeError, (ValueError,)),
        (tercel.NonFiniteError, (ArithmeticError,)),
        (tercel.OutOfMemoryError, (MemoryError,)),
        (tercel.DeviceError, (RuntimeError,)),
    ],
)
def test_the_tree(kind: type[Error], bases: tuple[type, ...]) -> None:
    assert issubclass(kind, Error)
    assert all(issubclass(kind, base) for base in bases)
    assert getattr(tercel, kind.__name__) is kind is getattr(tercel.errors, kind.__name__)
    assert where(kind("words")) == {}
    told = kind("words", path="a.csv", row=3, column="item", field="train.lr")
    assert where(told) == {"path": "a.csv", "row": 3, "column": "item", "field": "train.lr"} and str(told) == "words"
    for twin in (pickle.loads(pickle.dumps(told)), copy.copy(told), copy.deepcopy(told)):
        assert type(twin) is kind and str(twin) == "words" and where(twin) == where(told)


def test_every_class_is_in_the_test_above() -> None:
    tested = {mark.args[1][i][0] for mark in test_the_tree.pytestmark for i in range(len(mark.args[1]))}  # type: ignore[attr-defined]
    classes = {kind for kind in vars(tercel.errors).values() if isinstance(kind, type)}
    assert tested == {kind for kind in classes if not issubclass(kind, Warning)} - {Error}


# --------------------------------------------------------------------------------------------------------- input data


def test_a_bad_row_of_a_table(purchases: pa.Table) -> None:
    with pytest.raises(tercel.RowError, match="`noon` is not a time") as error:
        build(spoilt(purchases, "timestamp", 41, "noon"))
    assert where(error.value) == {"path": "interactions", "row": 42, "column": "timestamp"}
    assert str(error.value).startswith("interactions: row 42, column timestamp: ")


def test_a_bad_row_of_one_of_several_tables(purchases: pa.Table) -> None:
    with pytest.raises(tercel.RowError) as error:
        build([purchases, spoilt(purchases, "item_id", 0, None)])
    assert where(error.value) == {"path": "interactions[1]", "row": 1, "column": "item_id"}


def test_a_bad_row_of_held_out_rows(purchases: pa.Table) -> None:
    with pytest.raises(tercel.RowError) as error:
        build(purchases, test=spoilt(purchases, "timestamp", 2, "later"))
    assert where(error.value) == {"path": "test", "row": 3, "column": "timestamp"}


def test_a_bad_row_of_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user_id,item_id,timestamp\nann,tea,1600000000\nbob,tea,yesterday\n")
    with pytest.raises(tercel.RowError) as error:
        build(file)
    # Counted as an editor counts: the header is line 1.
    assert where(error.value) == {"path": str(file), "row": 3, "column": "timestamp"}


def test_bad_rows_can_be_skipped_and_are_kept(purchases: pa.Table, tmp_path: Path) -> None:
    made = build(spoilt(purchases, "timestamp", 41, "noon"), out=tmp_path / "out", on_error="skip")
    assert made.rows() == purchases.num_rows - 1 and made.summary["rejected"] == 1
    lines = (tmp_path / "out" / "rejected.csv").read_text().splitlines()
    assert len(lines) == 2 and "interactions,42,timestamp" in lines[1]


def test_a_column_that_is_not_there(purchases: pa.Table) -> None:
    with pytest.raises(tercel.SchemaError, match="found the columns user_id, item_id, timestamp") as error:
        build(purchases, user="buyer")
    assert where(error.value) == {"path": "interactions", "column": "buyer"}


def test_a_column_of_another_type(purchases: pa.Table) -> None:
    lists = purchases.set_column(1, "item_id", pa.array([[1]] * purchases.num_rows))
    with pytest.raises(tercel.SchemaError, match="expected texts or integers") as error:
        build(lists)
    assert where(error.value) == {"path": "interactions", "column": "item_id"}


def test_no_rows(purchases: pa.Table) -> None:
    with pytest.raises(tercel.DataError, match="no rows") as error:
        build(purchases.slice(0, 0))
    assert where(error.value) == {"path": "interactions"}


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for call in (
        lambda: build(tmp_path / "no.csv"),
        lambda: tercel.Index.open(tmp_path / "no.csv"),
        lambda: build(str(tmp_path / "no.csv")),
    ):
        with pytest.raises(tercel.FileError, match="No such file") as error:
            call()
        assert where(error.value) == {"path": str(tmp_path / "no.csv")}
    with pytest.raises(OSError):
        build(tmp_path / "no.csv")


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"split": "sometimes"}, "split", "last-per-user:N"),
        ({"format": "xls"}, "format", "parquet"),
        ({"on_error": "ask"}, "on_error", "stop"),
        ({"min_user_count": -1}, "min_count.user", "-1"),
    ],
)
def test_settings_of_ingest_are_named(settings: dict[str, Any], field: str, says: str, purchases: pa.Table) -> None:
    with pytest.raises(tercel.ConfigError, match=says) as error:
        build(purchases, **settings)
    assert where(error.value) == {"field": field} and str(error.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"dim": 0}, "model.dim", "multiple of 4"),
        ({"dimension": 8}, "dimension", "there are dim, normalize"),
        ({"device": "tpu"}, "train.device", "auto, cpu, cuda:N"),
        ({"epochs": "many"}, "train.epochs", "u64"),
        ({"negatives": "hard"}, "loss.negatives", "in-batch"),
        ({"config": {"model": {"user": {"mpl": [8]}}}}, "model.user.mpl", "`mlp`"),
        ({"config": {"towers": {}}}, "towers", "`model`"),
    ],
)
def test_settings_of_training_are_named(settings: dict[str, Any], field: str, says: str, data: tercel.Dataset) -> None:
    with pytest.raises(tercel.ConfigError, match=says) as error:
        tercel.Model.train(data, progress=False, **settings)
    assert where(error.value) == {"field": field} and str(error.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda model, data: tercel.evaluate(model, data, k=0, progress=False), "k"),
        (lambda model, data: tercel.evaluate(model, data, WRONG, **QUIET), "split"),
        (lambda model, data: data.to_arrow("all"), "split"),
        (lambda model, data: model.recommend(users=["nobody"], progress=False), "users"),
        (lambda model, data: model.recommend(items=[], progress=False), "items"),
        (lambda model, data: model.recommend(tags=["colour=red"], progress=False), "tag"),
        (lambda model, data: model.build_index(recall=2.0), "recall"),
        (lambda model, data: tercel.Model(model.path, device="gpu"), "device"),
        (lambda model, data: tercel.Model(model.path, threads=-1), "threads"),
        (lambda model, data: model.recommend(-1, progress=False), "k"),
        (lambda model, data: model.recommend(2.5, progress=False), "k"),
        (lambda model, data: model.recommend(memory=-1, progress=False), "memory"),
        (lambda model, data: model.build_index(k=-1), "k"),
        (lambda model, data: tercel.evaluate(model, data, k=[5, -1], progress=False), "k"),
        (lambda model, data: tercel.evaluate(model, data, seed=2**64, progress=False), "seed"),
    ],
)
def test_other_settings_are_named(
    call: Callable[[tercel.Model, tercel.Dataset], Any], field: str, model: tercel.Model, data: tercel.Dataset
) -> None:
    with pytest.raises(tercel.ConfigError) as error:
        call(model, data)
    assert where(error.value) == {"field": field}


# ------------------------------------------------------------------------------------------------------ our own files


def flip(file: Path, at: int) -> None:
    """Changes one bit of the byte at this place (from the end where it is negative)."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["train-00000.arrow", "test-00000.arrow", "history.arrow", "users.arrow", "items.arrow"]
)
def test_a_flipped_bit_of_a_dataset_is_found(name: str, data: tercel.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for part in (0.2, 0.5, 0.9):
        shutil.copytree(data.path, folder, dirs_exist_ok=True)
        flip(folder / name, int((folder / name).stat().st_size * part))

        def used() -> None:
            twin = tercel.Dataset(folder)
            model = tercel.Model.train(twin, dim=8, epochs=1, progress=False, device="cpu")
            tercel.evaluate(model, twin, k=5, progress=False)

        with pytest.raises(tercel.DamagedError) as error:
            used()
        assert error.value.path == str(folder / name)


def test_a_dataset_without_its_manifest(data: tercel.Dataset, tmp_path: Path) -> None:
    shutil.copytree(data.path, tmp_path / "data")
    (tmp_path / "data" / "dataset.json").write_text("{")
    with pytest.raises(tercel.DamagedError) as error:
        tercel.Dataset(tmp_path / "data")
    assert error.value.path == str(tmp_path / "data" / "dataset.json")
    (tmp_path / "data" / "dataset.json").unlink()
    with pytest.raises(tercel.DataError, match=r"no dataset\.json here") as missing:
        tercel.Dataset(tmp_path / "data")
    assert missing.value.path == str(tmp_path / "data")


def test_a_flipped_bit_of_an_index_is_found(model: tercel.Model, tmp_path: Path) -> None:
    file = tmp_path / "items.index"
    model.build_index(recall=None).save(file)
    size = file.stat().st_size
    for at in (40, size // 3, size // 2, size - 2):
        flip(file, at)
        with pytest.raises(tercel.DamagedError) as error:
            tercel.Index.open(file)
        assert error.value.path == str(file)
        flip(file, at)
    assert len(tercel.Index.open(file)) == 120


def test_a_folder_that_is_no_model(model: tercel.Model, tmp_path: Path) -> None:
    with pytest.raises(tercel.CheckpointError, match="not a model folder") as error:
        tercel.Model(tmp_path)
    assert error.value.path == str(tmp_path / "config.json")
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(Error) as broken:
        tercel.Model(tmp_path / "model")
    assert broken.value.path == str(tmp_path / "model" / "model.safetensors")


def test_a_flipped_bit_of_a_model_is_found(model: tercel.Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    for name in ("model.safetensors", "items.arrow", "users.arrow"):
        flip(tmp_path / "model" / name, -9)
        with pytest.raises(Error) as error:
            tercel.Model(tmp_path / "model").recommend(k=3, progress=False)
        assert isinstance(error.value, (tercel.CheckpointError, tercel.DamagedError)), name
        assert error.value.path == str(tmp_path / "model" / name)
        flip(tmp_path / "model" / name, -9)
    tercel.Model(tmp_path / "model").recommend(k=3, progress=False)


# ----------------------------------------------------------------------------------------------- arithmetic and devices


def test_training_that_overflows_says_why(data: tercel.Dataset) -> None:
    with pytest.raises(tercel.NonFiniteError, match=r"lower optimizer\.lr"):
        tercel.Model.train(data, optimizer="sgd", lr=1e38, normalize=False, epochs=2, progress=False, device="cpu")


def test_a_memory_limit_that_cannot_be_kept(model: tercel.Model) -> None:
    with pytest.raises(tercel.OutOfMemoryError, match="the limit is 1"):
        model.recommend(memory=1, progress=False)
    with pytest.raises(MemoryError):
        model.recommend(memory=1, progress=False)


def test_a_device_that_is_not_there(data: tercel.Dataset, model: tercel.Model) -> None:
    # No host has so many; the text says what is to be done.
    device = "cuda:0" if tercel.device_for("auto")[0] == "cpu" else "cuda:99"
    vectors = np.eye(4, dtype=np.float32)
    for call in (
        lambda: tercel.device_for(device),
        lambda: tercel.Model.train(data, epochs=1, progress=False, device=device),
        lambda: tercel.Model(model.path, device=device),
        lambda: tercel.Index.build(vectors, device=device),
    ):
        with pytest.raises(tercel.DeviceError, match=r"CUDA|cuda"):
            call()
    assert tercel.device_for("cpu")[0] == "cpu"


def test_real_errors_survive_pickling(purchases: pa.Table) -> None:
    with pytest.raises(tercel.RowError) as error:
        build(spoilt(purchases, "timestamp", 41, "noon"))
    twin = pickle.loads(pickle.dumps(error.value))
    assert type(twin) is tercel.RowError and str(twin) == str(error.value) and where(twin) == where(error.value)
