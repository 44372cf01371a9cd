"""One table, however it is written and however it comes, is one dataset.

Random tables are written by pandas, Polars, DuckDB and pyarrow as CSV, TSV, JSON lines, Parquet and Arrow, in one file,
in parts, in folders and through pipes. What `tercel ingest` makes of each is read by pyarrow and compared with what a
plain Polars script computes. TERCEL names the built command. Needs: duckdb, pandas, polars, pyarrow, zstandard.
"""

import os
import random
import subprocess
import zlib

import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest

import tables_dataset
from tables_random import IDS, TIMES, Tables
from tables_write import ALL, TEXT, Fifo, hive, parts, rubbish, write

TERCEL = os.environ["TERCEL"]
ENDINGS = [*TEXT, "jsonl", "parquet", "arrow"]
LAYOUTS = ["file", "parts", "folder", "nested", "hive"]
NAMED = [f"{writer}.{ending}" for writer, ending in ALL]


def ingest(inputs, out, flags, stdin=None):
    command = [TERCEL, "ingest", *map(str, inputs), "--out", str(out), "--weight", "stars", *flags]
    return subprocess.run(command, stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def check(tables, done, out, words):
    assert done.returncode == 0, f"{tables.name}, {words}: {done.stderr}"
    found, expected = tables_dataset.read(out), tables.contents()
    for part in ["rows", "users", "items"]:
        assert found[part] == expected[part], f"{tables.name}, {words}: {part}"


def side_files(tables, folder, writer, ending, draw):
    """Both feature files, and the flags that name them."""
    flags = []
    for side in ["user", "item"]:
        path = folder / f"{side}-features.{ending}"
        packed = draw.choice([None, None, "gz", "zst"]) if ending in [*TEXT, "jsonl"] else None
        path = write(getattr(tables, f"{side}s"), path, writer, ending, draw, packed)
        flags += [f"--{side}-features", path]
        if ending in TEXT:
            flags += [f"--{side}-feature", "tags=multi-hot:|"]
    return flags


def laid_out(tables, folder, layout, writer, ending, draw):
    """Writes the interactions; what is to be named on the command line."""

    def one(table, path, by=writer):
        packed = draw.choice([None, None, "gz", "zst"]) if ending in [*TEXT, "jsonl"] else None
        return write(table, path, by, ending, draw, packed)

    root = folder / "in"
    root.mkdir()
    if layout == "file":
        return [one(tables.rows, root / f"rows.{ending}")]
    if layout == "hive":
        hive(tables.rows, root, "stars", lambda part, at: one(part, at / f"part-0.{ending}"))
        rubbish(root)
        return [root]
    paths = []
    for number, part in enumerate(parts(tables.rows, draw)):
        at = root / f"year-{number // 2}" / f"{number}" if layout == "nested" else root
        at.mkdir(parents=True, exist_ok=True)
        # The columns of another part may stand in another order.
        columns = draw.sample(part.columns, len(part.columns))
        # Another writer may have made it; in JSON lines two writers give a moment two types.
        by = draw.choice([other for other, its in ALL if its == ending]) if number and ending != "jsonl" else writer
        paths.append(one(part.select(columns), at / f"part-{number}.{ending}", by))
    if layout == "parts":
        return paths
    rubbish(root)
    if layout == "nested":
        rubbish(root / "year-0")
    return [root]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("named", NAMED)
def test_every_writer_and_layout(tmp_path, named, layout):
    writer, ending = named.split(".")
    for seed in range(2):
        seed += zlib.crc32(f"{named} {layout}".encode())
        tables, draw = Tables(seed), random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        inputs = laid_out(tables, folder, layout, writer, ending, draw)
        flags = side_files(tables, folder, *draw.choice(ALL), draw)
        check(tables, ingest(inputs, folder / "data", flags), folder / "data", f"{named}, {layout}")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", IDS)
def test_every_kind_of_id_on_both_sides(tmp_path, kind, ending):
    tables, draw = Tables(7, id_kinds=(kind, kind)), random.Random(kind + ending)
    for writer in [writer for writer, other in ALL if other == ending]:
        folder = tmp_path / writer
        folder.mkdir()
        path = write(tables.rows, folder / f"rows.{ending}", writer, ending, draw)
        flags = side_files(tables, folder, writer, ending, draw)
        check(tables, ingest([path], folder / "data", flags), folder / "data", f"{writer}.{ending}")


@pytest.mark.parametrize("named", NAMED)
def test_every_kind_of_time(tmp_path, named):
    writer, ending = named.split(".")
    for seed, kind in enumerate(TIMES):
        tables, draw = Tables(seed, time_kind=kind), random.Random(seed)
        path = write(tables.rows, tmp_path / f"{kind}.{ending}", writer, ending, draw)
        flags = side_files(tables, tmp_path, "polars", "parquet", draw)
        check(tables, ingest([path], tmp_path / "data", flags), tmp_path / "data", named)


@pytest.mark.parametrize("way", ["-", "/dev/stdin", "fifo"])
@pytest.mark.parametrize("named", NAMED)
def test_pipes_give_what_files_give(tmp_path, named, way):
    """A pipe is read as the file is; a format that is read from its end may be refused, in one line."""
    writer, ending = named.split(".")
    seed = zlib.crc32(f"{named} {way}".encode())
    tables, draw = Tables(seed, rows=3000), random.Random(seed)
    packed = draw.choice([None, "gz", "zst"]) if ending in [*TEXT, "jsonl"] else None
    path = write(tables.rows, tmp_path / f"rows.{ending}", writer, ending, draw, packed)
    flags = side_files(tables, tmp_path, writer, ending, draw)
    # Features come through pipes too.
    for at in [1, flags.index("--item-features") + 1]:
        fifo = tmp_path / f"piped-{flags[at].name}"
        flags[at] = Fifo(fifo, flags[at], draw).path
    if draw.random() < 0.5 and ending != "jsonl":
        flags += ["--format", "csv" if ending in TEXT else ending]
    out = tmp_path / "data"
    if way == "fifo":
        done = ingest([Fifo(tmp_path / "piped", path, draw).path], out, flags)
    else:
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
            done = ingest([way], out, flags, cat.stdout)
    if done.returncode and ending == "parquet":
        assert len(done.stderr.splitlines()) == 1 and "pipe" in done.stderr and not out.exists(), done.stderr
    else:
        check(tables, done, out, f"{named} by {way}")


def partitioned_by_pandas(table, root):
    table.to_pandas().to_parquet(root, partition_cols=["stars"])


def partitioned_by_polars(table, root):
    table.write_parquet(polars.PartitionBy(root, key="stars"), mkdir=True)


def partitioned_by_duckdb(table, root):
    with duckdb.connect() as connection:
        connection.register("source", table.to_arrow())
        connection.execute(f"COPY source TO '{root}' (FORMAT csv, HEADER, PARTITION_BY (stars))")


def partitioned_by_pyarrow(table, root):
    table = table.to_arrow(compat_level=polars.CompatLevel.oldest())
    pyarrow.dataset.write_dataset(
        table, root, format="feather", partitioning=["user_id", "stars"], partitioning_flavor="hive"
    )


@pytest.mark.parametrize(
    "partitioned",
    [partitioned_by_pandas, partitioned_by_polars, partitioned_by_duckdb, partitioned_by_pyarrow],
)
@pytest.mark.parametrize("kind", ["integers", "zeros", "texts"])
def test_partitions_as_these_write_them(tmp_path, partitioned, kind):
    tables = Tables(11, id_kinds=(kind, "awkward"), time_kind="us")
    partitioned(tables.rows, tmp_path / "in")
    flags = side_files(tables, tmp_path, "polars", "parquet", random.Random(1))
    check(tables, ingest([tmp_path / "in"], tmp_path / "data", flags), tmp_path / "data", partitioned.__name__)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_a_codec_is_read_or_called_what_it_is(tmp_path, codec):
    tables = Tables(5, time_kind="typed us")
    path = tmp_path / "rows.parquet"
    table = tables.rows.to_arrow(compat_level=polars.CompatLevel.oldest())
    pyarrow.parquet.write_table(table, path, compression=codec)
    flags = side_files(tables, tmp_path, "polars", "parquet", random.Random(1))
    done = ingest([path], tmp_path / "data", flags)
    if done.returncode:
        assert codec in done.stderr.lower() and "damaged" not in done.stderr and len(done.stderr.splitlines()) == 1
    else:
        check(tables, done, tmp_path / "data", codec)
