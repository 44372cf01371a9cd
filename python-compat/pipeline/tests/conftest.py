"""Puts the folder above the package on sys.path, so that the tests run from anywhere; and a shop for DataOps."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.tests.shop import plain, quick_builds


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """For files whose tests build."""
    with quick_builds():
        yield


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where warehouses that are built once in a process lie."""
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def warehouse(base: Path) -> Path:
    """The shop, built once and only read."""
    return plain(base)
