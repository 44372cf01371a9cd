"""Shards between Tercel, pyarrow and Polars, in both directions.

Run with pytest in an environment that has pyarrow and polars; cargo must be on the path.
"""

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = 50_000


def shards(*arguments, check=True):
    """Runs the `shards` example; TERCEL_SHARDS names it where it is built already."""
    built = os.environ.get("TERCEL_SHARDS")
    command = [built] if built else ["cargo", "run", "--quiet", "--features", "cli", "--example", "shards", "--"]
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stderr
    return done


def summary(path):
    return json.loads(shards("summary", path).stdout)


def columns():
    users = [i * 7919 % 2000 for i in range(ROWS)]
    items = [i * 104729 % 300 for i in range(ROWS)]
    timestamps = [i * 60 - 86_400 for i in range(ROWS)]
    weights = [i % 16 / 4 for i in range(ROWS)]
    return users, items, timestamps, weights


def arrow_table(metadata=None):
    users, items, timestamps, weights = columns()
    schema = pa.schema(
        [
            ("channel", pa.string()),
            ("weight", pa.float32()),
            ("item", pa.uint32()),
            ("online", pa.bool_()),
            ("timestamp", pa.int64()),
            pa.field("user", pa.uint32(), nullable=False),
            ("basket", pa.list_(pa.int64())),
        ],
        metadata=metadata,
    )
    return pa.table(
        {
            "channel": [None if i % 5 == 0 else f"channel {i % 3}" for i in range(ROWS)],
            "weight": weights,
            "item": items,
            "online": [i % 2 == 0 for i in range(ROWS)],
            "timestamp": timestamps,
            "user": users,
            "basket": [[i] * (i % 3) for i in range(ROWS)],
        },
        schema=schema,
    )


def polars_frame():
    users, items, timestamps, weights = columns()
    return pl.DataFrame(
        {
            "channel": [f"a channel with a long name {i % 3}" for i in range(ROWS)],
            "user": pl.Series(users, dtype=pl.UInt32),
            "item": pl.Series(items, dtype=pl.UInt32),
            "timestamp": pl.Series(timestamps, dtype=pl.Int64),
            "weight": pl.Series(weights, dtype=pl.Float32),
        }
    )


def write_pyarrow(table, path, max_chunksize=None, **options):
    with ipc.new_file(path, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max_chunksize)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    shards("write", folder)
    return folder


def test_pyarrow_and_polars_files_hold_the_same_values(tmp_path):
    found = []
    for chunk, metadata in [(None, None), (100, {"a": "b"}), (777, None), (20_000, {"a": "b"})]:
        path = tmp_path / f"pyarrow-{chunk}.arrow"
        write_pyarrow(arrow_table(metadata), path, max_chunksize=chunk)
        found.append(summary(path))
    path = tmp_path / "polars.arrow"
    polars_frame().write_ipc(path, compression="uncompressed")
    found.append(summary(path))
    for one in found:
        assert one["rows"] == ROWS
        assert one["columns"] == ["user", "item", "timestamp", "weight"]
        assert one["users"] == [0, 1999] and one["items"] == [0, 299]
        assert one["timestamps"] == [-86_400, (ROWS - 1) * 60 - 86_400]
        assert one["weights"] == [0.0, 3.75]
        assert one["checksums"] is False
        assert one["values_xxh3"] == found[0]["values_xxh3"]


def test_optional_columns_may_be_left_out(tmp_path):
    path = tmp_path / "ids.arrow"
    polars_frame().select("item", "user").write_ipc(path, compression="uncompressed")
    assert summary(path)["columns"] == ["user", "item"]
    write_pyarrow(arrow_table().select(["user", "item", "timestamp"]), path)
    assert summary(path)["columns"] == ["user", "item", "timestamp"]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_file_is_refused_with_advice(tmp_path, codec):
    path = tmp_path / "compressed.arrow"
    write_pyarrow(arrow_table(), path, compression=codec)
    failed = shards("summary", path, check=False)
    assert failed.returncode != 0 and "uncompressed" in failed.stderr and "tercel ingest" in failed.stderr
    polars_frame().write_ipc(path, compression=codec)
    assert "uncompressed" in shards("summary", path, check=False).stderr


def test_a_wrong_type_is_named(tmp_path):
    path = tmp_path / "int64.arrow"
    polars_frame().with_columns(pl.col("user").cast(pl.Int64)).write_ipc(path, compression="uncompressed")
    stderr = shards("summary", path, check=False).stderr
    assert "user" in stderr and "uint32" in stderr and "int64" in stderr


def test_pyarrow_and_polars_read_our_shards(ours):
    path = ours / "train-00000.arrow"
    expected = {
        "user": [1 + i % 20 for i in range(1000)],
        "item": [1 + i * 7 % 10 for i in range(1000)],
        "timestamp": [i * 60 - 3600 for i in range(1000)],
        "weight": [i / 8 for i in range(1000)],
    }
    with pa.memory_map(str(path)) as source:
        reader = ipc.open_file(source)
        assert reader.num_record_batches == 4
        table = reader.read_all()
        table.validate(full=True)
        assert table.to_pydict() == expected
        assert [str(t) for t in table.schema.types] == ["uint32", "uint32", "int64", "float"]
        assert reader.metadata[b"tercel.rows"] == b"1000"
        assert not reader.schema.metadata, "programs that rewrite a shard would carry its checksums along"
    assert pl.read_ipc(path).to_dict(as_series=False) == expected
    assert pl.scan_ipc(path).filter(pl.col("user") == 3).collect().height == 50
    assert summary(path)["checksums"] is True


def test_pyarrow_and_polars_read_our_vocabularies(ours):
    path = ours / "users.arrow"
    expected = {
        "id": [None] + [f"u{row}" for row in range(1, 21)],
        "count": [0] + [50] * 20,
        "color": [row % 3 for row in range(21)],
        "tags": [[row % 3] for row in range(21)],
    }
    table = ipc.open_file(path).read_all()
    table.validate(full=True)
    assert table.to_pydict() == expected
    assert pl.read_ipc(path).to_dict(as_series=False) == expected


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_a_dataset_of_another_program_is_as_good_as_ours(ours, tmp_path, library):
    names = ["train-00000.arrow", "users.arrow", "items.arrow"]
    manifest = json.loads((ours / "dataset.json").read_text())
    for name in names:
        if library == "pyarrow":
            write_pyarrow(ipc.open_file(ours / name).read_all(), tmp_path / name, max_chunksize=130)
        else:
            pl.read_ipc(ours / name).write_ipc(tmp_path / name, compression="uncompressed")
    for info in [*manifest["train"]["files"], manifest["users"]["file"], manifest["items"]["file"]]:
        info["bytes"] = (tmp_path / info["name"]).stat().st_size
        del info["xxh3"]
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    # What was edited by hand is taken once somebody says so.
    subprocess.run([os.environ["TERCEL"], "inspect", "--accept", tmp_path], check=True, capture_output=True)
    expected = json.loads(shards("epoch", ours).stdout)
    assert expected["rows"] == 1000 and expected["last_user"] == "u20"
    assert json.loads(shards("epoch", tmp_path).stdout) == expected


def test_a_single_user_and_a_single_row(tmp_path):
    path = tmp_path / "one.arrow"
    pl.DataFrame(
        {"user": pl.Series([4_294_967_295], dtype=pl.UInt32), "item": pl.Series([0], dtype=pl.UInt32)}
    ).write_ipc(path, compression="uncompressed")
    assert summary(path)["users"] == [4_294_967_295, 4_294_967_295]
    pl.DataFrame(schema={"user": pl.UInt32, "item": pl.UInt32}).write_ipc(path, compression="uncompressed")
    assert summary(path)["rows"] == 0
