"""DataOps on real groceries: all of them are there, streamed in the order of the days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipeline import dataops
from pipeline.dataops import DataSettings
from pipeline.tests.shop import rows

COMPLETE_JOURNEY = Path(__file__).parents[3] / "tests" / "data" / "complete-journey"
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def groceries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("groceries") / "groceries.duckdb"
    raw = dataops.load_raw(COMPLETE_JOURNEY, warehouse)
    assert raw.rows == {"cj_transactions": 482_803, "cj_households": 801, "cj_products": 42_181}
    report = dataops.build(warehouse, DataSettings(train_until=date(2017, 12, 4), valid_until=date(2017, 12, 11)))
    assert report.rows["purchases"] == 481_527 and report.warnings == []
    assert report.splits["train"].last == date(2017, 12, 3) and report.splits["test"].first == date(2017, 12, 11)
    return warehouse


def test_real_groceries_are_all_there(groceries: Path) -> None:
    people = dataops.customers(groceries).read_all()
    assert people.num_rows == 2_361 and people["age"].null_count >= 2_361 - 801
    assert dataops.articles(groceries).read_all().num_rows == 42_181
    [(pieces, amount)] = rows(groceries, "select sum(quantity), sum(sales_value) from raw.cj_transactions")
    bought = dataops.purchases(groceries).read_all()
    assert sum(bought["quantity"].to_pylist()) == pieces
    assert sum(bought["amount"].to_pylist()) == pytest.approx(float(amount))


def test_marts_are_streamed_in_the_order_of_the_days(groceries: Path) -> None:
    seen, last = 0, date.min
    for batch in dataops.purchases(groceries):
        assert batch.num_rows <= dataops.BATCH_ROWS
        days = batch.column("bought_at").to_pylist()
        assert last <= days[0] and ordered(days)
        seen, last = seen + batch.num_rows, days[-1]
    assert seen == 481_527
    # The reader has let go of the file: it can be written again.
    with duckdb.connect(str(groceries)) as connection:
        connection.execute("select 1")


def ordered(values: Iterable[date]) -> bool:
    values = list(values)
    return values == sorted(values)
