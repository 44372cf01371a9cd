"""Exported vectors and predictions by user, in the programs that they are for.

TERCEL names the built command, TERCEL_VECTORS the built example `vectors`. Needs: numpy, pyarrow, polars, safetensors,
faiss-cpu, usearch.
"""

import json
import os
import random
import sqlite3
import subprocess

import faiss
import numpy
import polars
import pyarrow.ipc
import pytest
import safetensors
import safetensors.numpy
import usearch.index

TERCEL = os.environ["TERCEL"]
VECTORS = os.environ["TERCEL_VECTORS"]
K = 10
# Sums of 17 products in another order.
ROUNDING = 1e-5


def tercel(*args):
    done = subprocess.run([TERCEL, *map(str, args), "--json"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Vectors and predictions of a model of 300 text users and 1,500 integer items, with histories and popularity."""
    folder = tmp_path_factory.mktemp("vectors")
    draw = random.Random(1)
    lines = ["who,what,when"]
    for n in range(9000):
        user = draw.randrange(300)
        item = (user % 7 + 7 * int(215 * draw.random() ** 2)) - 20
        lines.append(f'"üser ""{user:03}""",{item},{1_600_000_000 + 60 * n}')
    (folder / "in.csv").write_text("\n".join(lines))
    columns = ["--user", "who", "--item", "what", "--time", "when", "--split", "last-per-user:1"]
    tercel("ingest", folder / "in.csv", "--out", folder / "data", *columns)
    size = ["--dim", 16, "--epochs", 4, "--batch-size", 128, "--history", 5, "--seed", 3]
    tercel("train", "--data", folder / "data", "--out", folder / "model", *size)
    files = []
    for ending in ["npy", "arrow", "safetensors", "faiss", "usearch"]:
        files += ["--items", folder / f"items.{ending}", "--users", folder / f"users.{ending}"]
    found = tercel("export", "--model", folder / "model", *files)
    assert [event["event"] for event in found].count("export") == 10
    seen = ["--k", K, "--include-seen"]
    tercel("recommend", "--model", folder / "model", "--out", folder / "top.jsonl", *seen, "--by-user")
    tercel("recommend", "--model", folder / "model", "--out", folder / "top.csv", *seen)
    return folder


def ids_of(path):
    lines = [json.loads(line) for line in path.with_name(path.name + ".ids.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(len(lines)))
    return [line["id"] for line in lines]


@pytest.fixture(scope="module")
def vectors(folder):
    """(ids, vectors) of items and users, as NumPy reads them."""

    def load(side):
        values = numpy.load(folder / f"{side}.npy")
        assert values.dtype == numpy.float32 and values.flags.c_contiguous
        return ids_of(folder / f"{side}.npy"), values

    return {side: load(side) for side in ["items", "users"]}


@pytest.fixture(scope="module")
def lists(folder):
    """The predictions, by user."""
    lines = [json.loads(line) for line in (folder / "top.jsonl").read_text().splitlines()]
    return {line["user"]: line for line in lines}


def test_numpy_and_the_ids_beside(vectors, folder):
    source = polars.read_csv(folder / "in.csv")
    for side, column in [("items", "what"), ("users", "who")]:
        ids, values = vectors[side]
        assert values.shape == (len(ids), 17), "popularity is a column more than the model's 16"
        assert set(ids) <= set(source[column]) and len(set(ids)) == len(ids)
    assert (vectors["users"][1][:, 16] == 1).all()


@pytest.mark.parametrize("side", ["items", "users"])
def test_every_file_has_the_same_vectors(side, vectors, folder):
    ids, values = vectors[side]
    by_arrow = pyarrow.ipc.open_file(pyarrow.memory_map(str(folder / f"{side}.arrow"))).read_all()
    assert by_arrow.column_names == ["id", "vector"]
    assert by_arrow["id"].to_pylist() == ids
    assert (numpy.stack(by_arrow["vector"].to_numpy()) == values).all()
    by_polars = polars.read_ipc(folder / f"{side}.arrow")
    assert by_polars.schema["vector"] == polars.Array(polars.Float32, 17)
    assert by_polars["id"].to_list() == ids and (by_polars["vector"].to_numpy() == values).all()

    tensors = safetensors.numpy.load_file(folder / f"{side}.safetensors")
    assert tensors["vectors"].dtype == numpy.float32 and (tensors["vectors"] == values).all()
    with safetensors.safe_open(folder / f"{side}.safetensors", "numpy") as file:
        kind = file.metadata()["ids"]
    if kind == "integer":
        found = tensors["ids"].tolist()
    else:
        data, ends = tensors["id_bytes"].tobytes(), tensors["id_offsets"].tolist()
        found = [data[start:end].decode() for start, end in zip(ends, ends[1:])]
    assert (kind, found) == ("integer" if side == "items" else "text", ids)

    index = faiss.read_index(str(folder / f"{side}.faiss"))
    assert ids_of(folder / f"{side}.faiss") == ids
    assert (index.reconstruct_n(0, index.ntotal) == values).all()
    index = usearch.index.Index.restore(folder / f"{side}.usearch")
    assert ids_of(folder / f"{side}.usearch") == ids
    assert (index.get(numpy.arange(len(ids))) == values).all()


def same_lists(found, scores, vectors, lists):
    """Whether rows found for every user are its list; equal scores may change places where sums were rounded."""
    items, users = vectors["items"][0], vectors["users"][0]
    assert len(lists) == len(users)
    for user, rows, products in zip(users, found, scores):
        expected = lists[user]
        assert numpy.allclose(products, expected["scores"], atol=ROUNDING)
        named = [items[row] for row in rows]
        for place in (place for place in range(K) if named[place] != expected["items"][place]):
            near = [products[other] for other in (place - 1, place + 1) if 0 <= other < K]
            assert min(abs(products[place] - other) for other in near) < ROUNDING or place == K - 1, (user, place)


def test_a_faiss_search_gives_the_lists(vectors, lists, folder):
    index = faiss.read_index(str(folder / "items.faiss"))
    assert isinstance(index, faiss.IndexFlatIP) and index.is_trained and index.metric_type == faiss.METRIC_INNER_PRODUCT
    scores, rows = index.search(vectors["users"][1], K)
    same_lists(rows, scores, vectors, lists)


def test_a_usearch_search_gives_the_lists(vectors, lists, folder):
    index = usearch.index.Index.restore(folder / "items.usearch")
    assert (index.ndim, index.dtype, index.metric_kind) == (
        17,
        usearch.index.ScalarKind.F32,
        usearch.index.MetricKind.IP,
    )
    queries = vectors["users"][1]
    exact = index.search(queries, K, exact=True)
    same_lists(exact.keys, 1 - exact.distances, vectors, lists)
    found = index.search(queries, K)
    recall = numpy.mean([len(set(a) & set(b)) / K for a, b in zip(found.keys.tolist(), exact.keys.tolist())])
    assert recall >= 0.95, recall
    mapped = usearch.index.Index.restore(folder / "items.usearch", view=True)
    assert (mapped.search(queries, K).keys == found.keys).all()


def test_a_usearch_index_goes_on(vectors, folder):
    """The graph is one that usearch can add to, take from, save and load."""
    index = usearch.index.Index.restore(folder / "items.usearch")
    rows = len(index)
    new = 3 * vectors["items"][1][:1]
    index.add(rows, new)
    index.remove(1)
    index.save(folder / "more.usearch")
    again = usearch.index.Index.restore(folder / "more.usearch")
    assert len(again) == rows and 1 not in again
    assert again.search(new[0], 3).keys[0] == rows


def test_predictions_by_user_are_a_key_value_store(lists, folder):
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE top (user TEXT PRIMARY KEY, list TEXT)")
    lines = (folder / "top.jsonl").read_text().splitlines()
    store.executemany("INSERT INTO top VALUES (?, ?)", [(json.loads(line)["user"], line) for line in lines])
    rows = polars.read_csv(folder / "top.csv")
    assert rows.height == K * len(lines)
    for (user,), group in rows.group_by(["user"], maintain_order=True):
        (line,) = store.execute("SELECT list FROM top WHERE user = ?", [user]).fetchone()
        found = json.loads(line)
        assert found["items"] == group["item"].to_list(), "integers stay integers, in the order of ranks"
        assert numpy.allclose(found["scores"], group["score"].to_list(), rtol=1e-6)
    frame = polars.read_ndjson(folder / "top.jsonl")
    numbers = {"items": polars.List(polars.Int64), "scores": polars.List(polars.Float64)}
    assert frame.schema == {"user": polars.String, **numbers}


def clustered(rows, draw):
    """Rows around 200 centres that every caller shares, of length 1."""
    centres = numpy.random.default_rng(0).normal(size=(200, 64))
    values = centres[draw.integers(200, size=rows)] + 0.6 * draw.normal(size=(rows, 64))
    return (values / numpy.linalg.norm(values, axis=1, keepdims=True)).astype(numpy.float32)


SHAPES = {
    "of one length": lambda values, draw: values,
    "of many lengths": lambda values, draw: values * numpy.exp(draw.normal(size=(len(values), 1))),
    "with a fifth repeated": lambda values, draw: values[numpy.arange(len(values)) // 5 * 5],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_usearch_graph_leads_to_the_best_rows(shape, tmp_path):
    """By score: of equal vectors any will do."""
    draw = numpy.random.default_rng(1)
    values = numpy.ascontiguousarray(SHAPES[shape](clustered(5000, draw), draw), numpy.float32)
    queries = clustered(500, draw)
    write = [VECTORS, "64", tmp_path / "v.usearch"]
    subprocess.run(write, input=values.tobytes(), check=True, stdout=subprocess.DEVNULL)
    found = usearch.index.Index.restore(tmp_path / "v.usearch").search(queries, K).keys
    index = faiss.IndexFlatIP(64)
    index.add(values)
    exact, _ = index.search(queries, K)
    products = numpy.einsum("qkd,qd->qk", values[found.astype(int)], queries)
    recall = (products >= exact[:, -1:] - ROUNDING).mean()
    assert recall >= 0.97, recall


def test_no_rows_are_files_too(tmp_path):
    files = [tmp_path / f"v.{ending}" for ending in ["npy", "arrow", "safetensors", "faiss", "usearch"]]
    subprocess.run([VECTORS, "7", *files], input=b"", check=True, stdout=subprocess.DEVNULL)
    assert numpy.load(files[0]).shape == (0, 7)
    assert pyarrow.ipc.open_file(str(files[1])).read_all().num_rows == 0
    assert safetensors.numpy.load_file(files[2])["vectors"].shape == (0, 7)
    assert faiss.read_index(str(files[3])).ntotal == 0
    assert len(usearch.index.Index.restore(files[4])) == 0
