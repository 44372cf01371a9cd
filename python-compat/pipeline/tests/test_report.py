"""The page: what is in it, that nothing in it can be markup, and that a person can use it in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipeline.checks import CheckReport, CheckResult, Settings
from pipeline.report import as_script, build_report, figure
from pipeline.report_charts import loss_curve, ticks
from pipeline.report_data import MOST_PURCHASES, collect

EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>&amp;"
SETTINGS = Settings(k=3, threads=1, memory="500MB")
ITEMS = 30
DASH = "\N{EN DASH}"


def tables(users: int = 40) -> dict[str, pa.Table]:
    """Users u000 …; the first is heavy, the last is new; every name has something to escape."""
    names = [f"u{user:03}" for user in range(users)]
    lists = [(name, rank, f"i{(user + rank) % ITEMS}") for user, name in enumerate(names) for rank in (1, 2, 3)]
    bought = [(name, f"i{user % ITEMS}", date(2024, 5, 1), "train") for user, name in enumerate(names[:-1])]
    bought += [("u000", f"i{at % ITEMS}", date(2024, 1, 1 + at % 28), "train") for at in range(150)]
    bought += [("u002", "i3", date(2024, 6, 2), "test"), ("u002", "i3", date(2024, 6, 2), "test")]
    columns = list(zip(*bought, strict=True))
    return {
        "predictions": pa.table(
            {
                "user": [row[0] for row in lists],
                "rank": pa.array([row[1] for row in lists], pa.int32()),
                "item": [row[2] for row in lists],
                "score": [1.0 / row[1] for row in lists],
            }
        ),
        "purchases": pa.table(dict(zip(("user_id", "item_id", "bought_at", "split"), map(list, columns), strict=True))),
        "customers": pa.table({"user_id": names, "club": [(EVIL, "gold", None)[at % 3] for at in range(users)]}),
        "articles": pa.table(
            {"item_id": [f"i{at}" for at in range(ITEMS)], "name": [f"{EVIL} no. {at}" for at in range(ITEMS)]}
        ),
    }


def checks(passed: bool = True) -> CheckReport:
    """A few results, with texts to escape."""
    slices = [{"column": "club", "value": EVIL, "users": 9, "recall": 0.2, "baseline_recall": 0.1, "ratio": 1.0}]
    return CheckReport(
        (
            CheckResult("lists_complete", True, 0, 0, "0 lists are short."),
            CheckResult("one_catalogue", passed, 2, 0, f"The item {EVIL} is unknown.", "Look at the <catalogue>."),
            CheckResult("no_weak_slice", True, 1.0, 0.5, "Fine.", details={"slices": slices}),
            CheckResult("stable_under_reseed", True, None, 0.2, "No second seed.", skipped=True),
        )
    )


METRICS: dict[str, Any] = {
    "epoch_losses": [6.7, 6.1, 5.9],
    "test_discovery": {
        "event": "evaluate", "split": "test", "view": "discovery", "users": 1881, "include_seen": False,
        "metrics": {"recall@3": {"value": 0.02, "low": 0.018, "high": 0.0225}, "coverage@3": {"value": 0.5}},
        "popularity": {"recall@3": 0.0173},
        "baselines": {"popular_7_days": {"recall@3": 0.0312}, "item_knn": {"recall@3": 0.0415}},
    },
    "test_next": {
        "event": "evaluate", "split": "test", "view": "next", "users": 0, "include_seen": True,
        "metrics": {}, "popularity": {}, "nothing": "all <0> pairs are known",
    },
}  # fmt: skip


def build(folder: Path, **changes: Any) -> Path:
    """A page of the tables above."""
    given: dict[str, Any] = {"checks": checks(), "metrics": METRICS, "night": "2024-06-01", "settings": SETTINGS}
    return build_report(folder / "report.html", **tables(), **{**given, **changes})


class Tags(HTMLParser):
    """Counts tags and keeps the addresses that a page would load."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        super().__init__()
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Counts one."""
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]


def parsed(path: Path) -> Tags:
    """The page's tags."""
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    return tags


def test_texts_of_the_data_are_no_markup_and_nothing_is_loaded(tmp_path: Path) -> None:
    """Two scripts of ours, no image, no address but those inside the page."""
    tags = parsed(build(tmp_path))
    assert tags.counts["script"] == 2
    assert "img" not in tags.counts
    assert not set("<>&") & set(as_script({"name": "</script ><!--<script &"}))
    assert all(address.startswith("#") for address in tags.addresses)


def test_only_our_style_and_script_are_taken(tmp_path: Path) -> None:
    """The policy names both by their hashes; nothing inline needs more than that."""
    page = build(tmp_path).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and "unsafe" not in policy[1] and policy[1].startswith("default-src 'none';")
    for kind, found in (("style", r"<style>(.*?)</style>"), ("script", r"<script>(.*?)</script>")):
        [text] = re.findall(found, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page.split('id="data"')[0])


def test_the_page_says_whether_to_publish(tmp_path: Path) -> None:
    """The verdict, the reasons and what to do."""
    good = build(tmp_path).read_text()
    assert "All 3 checks passed." in good
    assert "1 skipped" in good
    bad = build(tmp_path, checks=checks(passed=False)).read_text()
    assert "1 of 4 checks failed." in bad
    assert "should not be published" in bad
    assert "Look at the &lt;catalogue&gt;." in bad


def test_figures_and_the_loss_curve_are_there(tmp_path: Path) -> None:
    """The model's metrics with intervals; a page without them is whole too."""
    page = build(tmp_path).read_text()
    assert "0.0180\N{EN DASH}0.0225" in page
    assert all(words in page for words in ("0.0173", "0.0312", "0.0415", "Popularity", "Of 7 days", "Item-kNN"))
    assert "Test split: nothing to find: all &lt;0&gt; pairs are known." in page
    assert 'aria-label="Loss by epoch, from 6.700 to 5.900"' in page
    bare = build(tmp_path, metrics=None, checks=CheckReport(()), created=datetime(2024, 6, 1, tzinfo=timezone.utc))
    assert "Made 2024-06-01 00:00 UTC" in bare.read_text()


def test_settings_say_where_they_come_from(tmp_path: Path) -> None:
    """What a search found, and when; what it did not; what was left to the data. As the command leaves it."""
    tuned = {
        "night": 3, "date": "2024-05-30", "metric": "ndcg@20", "value": 0.0552, "interval": [0.05, 0.06],
        "gain": [0.004, 0.001, 0.007], "trials": 40, "chosen": {"optimizer.lr": 0.02, "model.user.mlp": ["<64>"]},
    }  # fmt: skip
    search = {"night": 10, "date": "2024-06-01", "outcome": "failed", "reason": "every <trial> failed"}
    made = {"key": "train.epochs", "value": "30", "why": "2,000 rows"}
    settings: dict[str, Any] = {"tuned": tuned, "search": search, "decisions": [made]}
    page = build(tmp_path, metrics=METRICS | {"settings": settings}).read_text()
    assert "in night 3 (2024-05-30): ndcg@20 0.0552 (0.0500 to 0.0600)" in page
    assert "the best of 40 trials; 0.0040 (0.0010 to 0.0070) more than the defaults" in page
    assert "in night 10 (2024-06-01), failed: every &lt;trial&gt; failed" in page
    assert all(words in page for words in ("optimizer.lr", "[&#34;&lt;64&gt;&#34;]", "train.epochs", "2,000 rows"))
    settings |= {"tuned": None, "search": search | {"outcome": "nothing_better"}}
    page = build(tmp_path, metrics=METRICS | {"settings": settings}).read_text()
    assert "found nothing better than the defaults" in page and "Found by a search" not in page
    empty: list[Any] = [None, {}, {"tuned": None, "search": None, "decisions": []}]
    for nothing in empty:
        assert 'id="settings"' not in build(tmp_path, metrics=METRICS | {"settings": nothing}).read_text()


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    """And is named below; a run of nothing else draws nothing."""
    nan = float("nan")
    assert loss_curve([3.0, 2.0, nan, 2.0, 1.5]).count("<polyline") == 2
    assert "nan" not in loss_curve([3.0, nan])
    assert loss_curve([nan]) == ""
    assert ticks(5.57, 6.73) == [5.5, 6.0, 6.5, 7.0]
    assert ticks(2.0, 2.0) == [2.0]


@pytest.mark.parametrize(("value", "text"), [(None, DASH), (float("nan"), DASH), (1234.0, "1,234"), (0.02, "0.0200")])
def test_figures(value: float | None, text: str) -> None:
    """No NaN in a table."""
    assert figure(value) == text


def test_the_sample_has_users_of_every_segment() -> None:
    """New and heavy users, every value of a feature and those without one; never more than asked for but for that."""
    data = collect(**tables(300), users=12, settings=replace(SETTINGS, activity_edges=(1, 100)))
    assert len(data["users"]) == 12
    assert data["everybody"] == 300
    assert {user["values"][0] for user in data["users"]} == {"0", "1 to 99", "100 or more"}
    assert {user["values"][1] for user in data["users"]} == {EVIL, "gold", "(missing)"}
    again = collect(**tables(300), users=12, settings=replace(SETTINGS, activity_edges=(1, 100)))
    assert json.dumps(data) == json.dumps(again)


def test_lists_and_purchases_of_a_user() -> None:
    """In order, with the purchases counted and cut, and hits marked."""
    data = collect(**tables(), users=40, settings=SETTINGS)
    by_id = {user["id"]: user for user in data["users"]}
    names = [item for item, _ in data["articles"]]
    assert [names[at] for at, _ in by_id["u002"]["recs"]] == ["i3", "i4", "i5"]
    assert [names[at] for at in by_id["u002"]["hits"]] == ["i3"]
    assert by_id["u002"]["bought"][0] == ["2024-06-02", names.index("i3"), 2, "test"]
    assert len(by_id["u000"]["bought"]) == MOST_PURCHASES < by_id["u000"]["lines"]
    assert by_id["u039"]["bought"] == []
    assert by_id["u000"] == data["users"][0]


needs_chromium = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromedriver"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Chromium without a window and with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1180,1000",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def panel(browser: webdriver.Chrome) -> str:
    """The text of the user or article that is shown."""
    return browser.find_element(By.ID, "panel").text


@needs_chromium
def test_search_click_and_links_in_a_browser(tmp_path: Path, browser: webdriver.Chrome) -> None:
    """Type a user, click it, see the names; from an article to its users and back."""
    browser.get(build(tmp_path).as_uri())
    search = browser.find_element(By.ID, "search")
    search.send_keys("u01")
    links = browser.find_elements(By.CSS_SELECTOR, "#results a")
    assert len(links) == 10
    search.send_keys("7")
    (link,) = browser.find_elements(By.CSS_SELECTOR, "#results a")
    link.click()
    assert panel(browser).startswith("User u017")
    assert f"{EVIL} no. 18" in panel(browser)
    assert "2024-05-01" in panel(browser)
    assert link.get_attribute("aria-current") == "true"
    browser.find_element(By.CSS_SELECTOR, "#panel tbody a").click()
    assert panel(browser).startswith(f"{EVIL} no. 18")
    recommended, bought = browser.find_elements(By.CSS_SELECTOR, "#panel .people")
    assert sorted(recommended.text.split()) == ["u015", "u016", "u017"]
    assert sorted(bought.text.split()) == ["u000", "u018"]
    recommended.find_element(By.LINK_TEXT, "u016").click()
    assert panel(browser).startswith("User u016")
    browser.back()
    assert panel(browser).startswith(f"{EVIL} no. 18")
    assert browser.title == "Recommendations, night 2024-06-01"
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


@needs_chromium
def test_segments_articles_and_hits_in_a_browser(tmp_path: Path, browser: webdriver.Chrome) -> None:
    """The filter, the search by an article's name, and the mark on what was bought later."""
    browser.get(build(tmp_path).as_uri() + "#user=%")
    assert panel(browser).startswith("User u002")
    browser.get(build(tmp_path).as_uri() + "#user=u002")
    hit = browser.find_element(By.CSS_SELECTOR, "#panel tbody tr").text
    assert "no. 3" in hit
    assert "bought later" in hit
    segment = browser.find_element(By.ID, "segment")
    next(option for option in segment.find_elements(By.TAG_NAME, "option") if option.text == "0 (1)").click()
    (new,) = browser.find_elements(By.CSS_SELECTOR, "#results a")
    assert new.text.split() == ["u039", "new"]
    browser.find_element(By.ID, "search").send_keys("no. 29")
    (article,) = browser.find_elements(By.CSS_SELECTOR, "#results a")
    article.click()
    assert panel(browser).startswith(f"{EVIL} no. 29")


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_both_colours(tmp_path: Path, browser: webdriver.Chrome, dark: bool) -> None:
    """No sideways scrolling at 360 pixels, and the colours follow the system."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(build(tmp_path, checks=checks(passed=False)).as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour))
    assert (red + green + blue < 200) == dark
