"""The same table as pandas, Polars, DuckDB and pyarrow write it, and the ways in which files reach a command."""

import gzip
import os
import threading
import urllib.parse
import warnings

import duckdb
import polars
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import zstandard

DUCKDB = duckdb.connect(config={"threads": 1})
TEXT = ["csv", "tsv"]
# What a value that is missing may look like in a text file.
MISSING = ["", "NULL", "NaN", "nan", "NA", "None", "\\N", "<NA>"]


def sep_of(ending):
    return "\t" if ending == "tsv" else ","


def by_pandas(table, path, ending, missing, draw):
    frame = table.to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the default of `date_format` is about to change
        match ending:
            case "csv" | "tsv":
                frame.to_csv(path, sep=sep_of(ending), index=False, na_rep=missing)
            case "jsonl":
                frame.to_json(path, orient="records", lines=True)
            case "parquet":
                frame.to_parquet(path, compression=draw.choice(["snappy", "gzip", "zstd", None]))
            case "arrow":
                frame.to_feather(path)


def by_polars(table, path, ending, missing, draw):
    match ending:
        case "csv" | "tsv":
            style = draw.choice(["necessary", "always", "non_numeric"])
            # What is quoted is a text: a missing value is not.
            table.write_csv(
                path, separator=sep_of(ending), null_value=missing if style == "necessary" else "", quote_style=style
            )
        case "jsonl":
            table.write_ndjson(path)
        case "parquet":
            table.write_parquet(path, compression=draw.choice(["zstd", "lz4", "snappy"]), row_group_size=23)
        case "arrow":
            table.write_ipc(path, compression=draw.choice(["uncompressed", "zstd", "lz4"]))


def by_duckdb(table, path, ending, missing, draw):
    DUCKDB.register("source", table.to_arrow())
    match ending:
        case "csv" | "tsv":
            options = f"(FORMAT csv, HEADER, DELIMITER '{sep_of(ending)}', NULLSTR '{missing}')"
        case "jsonl":
            options = "(FORMAT json)"
        case "parquet":
            options = f"(FORMAT parquet, COMPRESSION {draw.choice(['zstd', 'snappy', 'gzip'])})"
        case "arrow":
            read = DUCKDB.sql("SELECT * FROM source").to_arrow_table()
            with pyarrow.ipc.new_stream(str(path), read.schema) as out:
                out.write_table(read, max_chunksize=17)
            return
    DUCKDB.execute(f"COPY source TO '{path}' {options}")


def by_pyarrow(table, path, ending, missing, draw):
    table = table.to_arrow(compat_level=polars.CompatLevel.oldest())
    for column, name in enumerate(table.column_names):
        if table.schema.field(name).type == pyarrow.timestamp("ms"):
            table = table.set_column(column, name, table[name].cast(pyarrow.timestamp("s"), safe=False))
    match ending:
        case "csv" | "tsv":
            pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(delimiter=sep_of(ending), batch_size=19))
        case "parquet":
            options = {"compression": draw.choice(["zstd", "snappy", "gzip", "lz4", "none"]), "row_group_size": 31}
            if "timestamp" in table.column_names and pyarrow.types.is_timestamp(table.schema.field("timestamp").type):
                options["use_deprecated_int96_timestamps"] = draw.random() < 0.5
            pyarrow.parquet.write_table(table, path, data_page_version=draw.choice(["1.0", "2.0"]), **options)
        case "arrow":
            for column, name in enumerate(table.column_names):
                if pyarrow.types.is_large_string(table.schema.field(name).type) and draw.random() < 0.5:
                    table = table.set_column(column, name, table[name].dictionary_encode())
            pyarrow.feather.write_feather(table, str(path), compression=draw.choice(["lz4", "zstd", "uncompressed"]))


WRITERS = {"pandas": by_pandas, "polars": by_polars, "duckdb": by_duckdb, "pyarrow": by_pyarrow}
ALL = [
    (writer, ending)
    for writer in WRITERS
    for ending in ["csv", "tsv", "jsonl", "parquet", "arrow"]
    if (writer, ending) != ("pyarrow", "jsonl")  # it reads JSON and writes none
]


def write(table, path, writer, ending, draw, packed=None):
    """Writes `table`. Text has no lists: their values stand between bars. Returns the path, `.gz` or `.zst` behind."""
    if ending in TEXT:
        lists = [name for name, kind in table.schema.items() if kind == polars.List(polars.String)]
        table = table.with_columns(polars.col(name).list.join("|") for name in lists)
    missing = draw.choice(MISSING) if writer != "pyarrow" else ""
    if any(table[name].dtype == polars.String and (table[name] == missing).any() for name in table.columns):
        missing = ""
    WRITERS[writer](table, path, ending, missing, draw)
    if packed:
        content = path.read_bytes()
        path.unlink()
        path = path.with_name(f"{path.name}.{packed}")
        pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}[packed]
        # Compressed parts behind one another are one file.
        half = len(content) // 2 if draw.random() < 0.5 else 0
        path.write_bytes(pack(content[:half]) + pack(content[half:]))
    return path


def parts(table, draw):
    """The table in two to four slices, none of them empty."""
    cuts = sorted(draw.sample(range(1, table.height), draw.randrange(1, 4)))
    return [table[start:end] for start, end in zip([0, *cuts], [*cuts, table.height])]


def hive(table, root, column, write_one):
    """One folder per value of `column`, which its files do not have."""
    for (value,), part in table.group_by(column, maintain_order=True):
        name = "__HIVE_DEFAULT_PARTITION__" if value is None else urllib.parse.quote(str(value), safe="")
        folder = root / f"{column}={name}"
        folder.mkdir(parents=True)
        write_one(part.drop(column), folder)


def rubbish(folder):
    """What other programs leave in a folder of data."""
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.csv.crc").write_bytes(b"crc\0\0\0\2")
    (folder / "._part-0.csv").write_bytes(b"\0\5\26\7")
    (folder / "empty.csv").touch()
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-9.csv").write_text("user_id,item_id\nnobody,nothing\n")


class Fifo:
    """A file's bytes in a named pipe, in pieces that end anywhere."""

    def __init__(self, path, source, draw):
        os.mkfifo(path)
        self.path = path
        content = source.read_bytes()
        piece = draw.choice([1 << 16, 4099, 811])
        self.thread = threading.Thread(target=self.feed, args=(content, piece), daemon=True)
        self.thread.start()

    def feed(self, content, piece):
        try:
            with open(self.path, "wb", buffering=0) as out:
                for at in range(0, len(content), piece):
                    out.write(content[at : at + piece])
        except BrokenPipeError:
            pass
