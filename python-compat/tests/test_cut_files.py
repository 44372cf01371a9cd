"""Files that are cut while they are in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tercel

VECTORS = np.arange(16_000, dtype=np.float32).reshape(2000, 8) % 97


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """An index file."""
    path = tmp_path / "items.index"
    tercel.Index.build(VECTORS, recall=None).save(path)
    return path


def test_an_index_is_read_into_memory(saved: Path) -> None:
    """What becomes of its file is no matter."""
    queries = np.ones((3, 8), np.float32)
    index = tercel.Index.open(saved)
    expected = index.search(queries, k=5)
    mapped = tercel.Index.open(saved, mmap=True)
    assert np.array_equal(mapped.search(queries, k=5)[0], expected[0])
    del mapped
    saved.write_bytes(b"")
    found = index.search(queries, k=5)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_lists_are_read_into_memory(tmp_path: Path) -> None:
    """The file of predictions may be written over."""
    data = tercel.Dataset.build(tercel.demo_purchases(), progress=False)
    model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
    out = tmp_path / "top.arrow"
    top = model.recommend(k=3, out=out, progress=False)
    mapped = model.recommend(k=3, out=out, mmap=True, progress=False)
    assert top.equals(mapped)
    rows = top.to_pylist()
    del mapped
    out.write_bytes(b"")
    assert top.to_pylist() == rows


@pytest.mark.skipif(sys.platform != "linux", reason="the signal is handled on Linux alone")
@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.enable()\n"])
def test_a_mapped_index_that_is_cut_ends_in_a_line(saved: Path, before: str) -> None:
    """Not by a signal; whatever handler was there before."""
    code = (
        f"{before}import os, sys, numpy as np, tercel\n"
        "index = tercel.Index.open(sys.argv[1], mmap=True)\n"
        "os.truncate(sys.argv[1], 0)\n"
        "index.search(np.ones((1, 8), np.float32), k=3)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    [line] = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert "items.index: was cut" in line
