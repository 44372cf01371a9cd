"""Tercel's files and those of pyarrow and Polars: each reads what the other writes, with the same result.

TERCEL names the built command. Needs: pyarrow, polars.
"""

import json
import os
import pathlib
import random
import subprocess

import polars
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

TERCEL = os.environ["TERCEL"]


def tercel(*args):
    done = subprocess.run([TERCEL, *map(str, args), "--json"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def train(folder, data, name):
    """The bytes of a model trained on `data`."""
    model = folder / name
    tercel("train", "--data", data, "--out", model, "--dim", 8, "--epochs", 2, "--batch-size", 64, "--seed", 3)
    return (model / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """2,000 interactions of text users with integer items, as CSV, and the dataset made of it."""
    folder = tmp_path_factory.mktemp("files")
    draw = random.Random(1)
    rows = [
        (f"üser {draw.randrange(90):03}", draw.randrange(-20, 200), 1_600_000_000 + 60 * n, draw.choice([0.5, 1.0, 2.0]))
        for n in range(2000)
    ]
    table = pyarrow.table(dict(zip(["who", "what", "when", "much"], map(list, zip(*rows)))))
    pyarrow.csv.write_csv(table, folder / "in.csv")
    ingest(folder / "in.csv", folder / "data")
    return folder


def ingest(path, data):
    flags = ["--user", "who", "--item", "what", "--time", "when", "--weight", "much", "--split", "last-per-user:1"]
    return tercel("ingest", path, "--out", data, *flags)


def shards(data):
    return sorted(path for path in data.iterdir() if path.suffix == ".arrow")


def test_both_read_a_dataset(folder):
    manifest = json.loads((folder / "data/dataset.json").read_text())
    for name in ["train", "valid", "test"]:
        for file in manifest[name]["files"]:
            path = folder / "data" / file["name"]
            by_arrow = pyarrow.ipc.open_file(pyarrow.memory_map(str(path))).read_all()
            assert by_arrow.column_names == ["user", "item", "timestamp", "weight"]
            assert [str(field.type) for field in by_arrow.schema] == ["uint32", "uint32", "int64", "float"]
            assert by_arrow.num_rows == file["rows"]
            by_polars = polars.read_ipc(path)
            assert by_polars.equals(polars.from_arrow(by_arrow))
    users = pyarrow.ipc.open_file(str(folder / "data/users.arrow")).read_all().to_pydict()
    assert users["id"][0] is None and sorted(users["id"][1:])[0] == "üser 000"
    items = polars.read_ipc(folder / "data/items.arrow")
    assert items["id"].dtype == polars.Int64 and items["count"].sum() == manifest["train"]["rows"]


@pytest.mark.parametrize("by", ["pyarrow", "polars"])
def test_a_dataset_that_others_wrote_gives_the_same_model(folder, by):
    """The shards are written again by another program: no checksums of ours, other record batches, the same model."""
    data = folder / f"data-{by}"
    data.mkdir()
    manifest = json.loads((folder / "data/dataset.json").read_text())
    listed = [manifest[split]["files"] for split in ["train", "valid", "test"]]
    for file in [file for files in listed for file in files]:
        table = pyarrow.ipc.open_file(str(folder / "data" / file["name"])).read_all()
        path = data / file["name"]
        if by == "pyarrow":
            with pyarrow.ipc.new_file(str(path), table.replace_schema_metadata().schema) as out:
                out.write_table(table.replace_schema_metadata(), max_chunksize=700)
        else:
            polars.from_arrow(table).write_ipc(path, compression="uncompressed")
        file["bytes"] = path.stat().st_size
        del file["xxh3"]
    for name in ["users", "items"]:
        for file in [manifest[name]["file"], manifest[name].get("unseen_file")]:
            if file:
                (data / file["name"]).write_bytes((folder / "data" / file["name"]).read_bytes())
    history = manifest["history"]["name"]
    (data / history).write_bytes((folder / "data" / history).read_bytes())
    (data / "dataset.json").write_text(json.dumps(manifest))
    # What was edited by hand is taken once somebody says so.
    assert tercel("inspect", "--accept", data)[0]["train"]["rows"] == manifest["train"]["rows"]
    assert train(folder, data, f"model-{by}") == train(folder, folder / "data", f"model-own-{by}")


def write_polars_ipc(table, path):
    polars.from_arrow(table).write_ipc(path, compression="zstd")


def write_dictionary(table, path):
    table = table.set_column(0, "who", table["who"].dictionary_encode())
    pyarrow.feather.write_feather(table, path, compression="lz4")


INPUTS = {
    "pyarrow.parquet": lambda table, path: pyarrow.parquet.write_table(table, path, compression="zstd"),
    "polars.parquet": lambda table, path: polars.from_arrow(table).write_parquet(path),
    "polars.arrow": write_polars_ipc,
    "dictionary.arrow": write_dictionary,
}


@pytest.mark.parametrize("name", INPUTS)
def test_ingest_of_other_formats_is_ingest_of_the_csv(folder, name):
    table = pyarrow.csv.read_csv(folder / "in.csv")
    path = folder / name
    INPUTS[name](table, path)
    data = folder / f"data-of-{name}"
    found = ingest(path, data)[0]
    assert (found["rows"], found["rejected"]) == (2000, 0)
    assert [path.name for path in shards(data)] == [path.name for path in shards(folder / "data")]
    for ours, theirs in zip(shards(folder / "data"), shards(data)):
        assert ours.read_bytes() == theirs.read_bytes(), ours.name


def test_predictions_say_the_same_in_every_format(folder):
    train(folder, folder / "data", "model")
    for ending in ["csv", "jsonl", "arrow", "parquet"]:
        tercel("recommend", "--model", folder / "model", "--out", folder / f"p.{ending}", "--k", 4)
    frames = {
        "parquet": polars.read_parquet(folder / "p.parquet"),
        "arrow": polars.read_ipc(folder / "p.arrow"),
        "csv": polars.read_csv(folder / "p.csv"),
        "jsonl": polars.read_ndjson(folder / "p.jsonl"),
    }
    first = frames["parquet"]
    assert first.columns == ["user", "rank", "item", "score"]
    assert [first[name].dtype for name in first.columns] == [polars.String, polars.UInt32, polars.Int64, polars.Float32]
    for ending, frame in frames.items():
        assert frame.cast(first.schema).equals(first), ending
    assert pyarrow.parquet.read_table(folder / "p.parquet").num_rows == first.height
    source = polars.read_csv(folder / "in.csv")
    assert set(first["user"]) <= set(source["who"]) and set(first["item"]) <= set(source["what"])
    seen = polars.read_ipc(folder / "data/train-00000.arrow")
    users = polars.read_ipc(folder / "data/users.arrow")["id"]
    items = polars.read_ipc(folder / "data/items.arrow")["id"]
    had = {(users[user], items[item]) for user, item in seen.select("user", "item").rows()}
    assert not had & set(first.select("user", "item").rows()), "seen items are left out"
