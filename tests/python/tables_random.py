"""Random tables of interactions, users and items, and what a plain Polars script makes of them."""

import bisect
import datetime
import math
import random

import polars

# What a file may hold, and what each writer must keep: separators, quotes, line breaks and spaces in values, digits
# that are no number, letters of two to four bytes, and one id that is longer than a reader's buffer.
AWKWARD = [
    'say "hi"',
    '"quoted"',
    '5" pipe',
    "a,b",
    "a;b|c",
    "tab\there",
    "two\nlines",
    "two\r\nlines",
    "it's",
    " leads",
    "trails ",
    "in  between",
    "0012",
    "12",
    "1e5",
    "1.0",
    "-7",
    "+7",
    "true",
    "2024-01-05",
    "ünal",
    "Ж",
    "商品 7",
    "😀",
    "e\u0301",
    "c:\\temp\\new",
    "{json}",
    "#7",
    "=1+1",
    "x" * 70_000,
]
IDS = ["integers", "negative", "long digits", "zeros", "texts", "awkward"]
TIMES = ["none", "dates", "iso", "s", "ms", "us", "ns", "typed dates", "typed s", "typed ms", "typed us", "typed ns"]
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST, LAST = 1_262_304_000, 1_704_067_200  # 2010-01-01, 2024-01-01


def ids(draw, kind, count):
    """Different raw ids."""
    if kind == "integers":
        return draw.sample(range(1, 10**7), count)
    if kind == "negative":
        return draw.sample(range(-(10**12), 10**12), count)
    if kind == "long digits":
        return [str(draw.randrange(10**19, 10**20)) for _ in range(count)]
    if kind == "zeros":
        return [f"{number:08}" for number in draw.sample(range(10**6), count)]
    texts = [f"{draw.choice(['u', 'ü', 'User '])}{number}" for number in draw.sample(range(10**6), count)]
    if kind == "awkward":
        awkward = draw.sample(AWKWARD, min(count, len(AWKWARD)))
        texts[: len(awkward)] = awkward
    return texts


def times(draw, kind, count):
    """A column of times, and its seconds."""
    if kind == "none":
        return None, [None] * count
    seconds = [draw.randrange(FIRST, LAST) for _ in range(count)]
    if "dates" in kind:
        seconds = [second - second % 86_400 for second in seconds]
        dates = [datetime.datetime.fromtimestamp(second, datetime.UTC).date() for second in seconds]
        texts = [str(date) for date in dates]
        return polars.Series(dates if kind == "typed dates" else texts), seconds
    if kind == "iso":
        return polars.Series([draw_iso(draw, second) for second in seconds]), seconds
    unit = UNITS[kind.split()[-1]]
    numbers = [second * unit + draw.randrange(unit) for second in seconds]
    if kind.startswith("typed"):
        if kind == "typed s":
            numbers = [number * 1000 for number in numbers]
        resolution = {"typed s": "ms"}.get(kind, kind.split()[-1])
        return polars.Series(numbers, dtype=polars.Int64).cast(polars.Datetime(resolution)), seconds
    return polars.Series(numbers, dtype=polars.Int64), seconds


def draw_iso(draw, second):
    """One moment as programs write it."""
    hours = draw.choice([0, 0, 2, -5])
    at = datetime.datetime.fromtimestamp(second + 3600 * hours, datetime.UTC)
    text = at.strftime(draw.choice(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])) + draw.choice(["", ".5", ".123456"])
    if hours:
        return text + f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    return text + draw.choice(["", "Z", "+00:00"])


def features(draw, key, entities):
    """One row for most entities, in another order: a number, a category and a list, each missing here and there."""
    entities = [entity for entity in entities if draw.random() < 0.9] or entities
    draw.shuffle(entities)
    count = len(entities)
    words = ["red", "blue", "dark, green", 'so "called"', "ünal", "x;y"]

    def some(value):
        return None if draw.random() < 0.15 else value

    numbers = [some(round(draw.uniform(-1000, 1000), 3)) for _ in range(count)]
    tags = [some(draw.sample(["t1", "t2", "t 3", "ü4"], draw.randrange(1, 4))) for _ in range(count)]
    columns = {
        "price": polars.Series(numbers, dtype=polars.Float64),
        "colour": polars.Series([some(draw.choice(words)) for _ in range(count)], dtype=polars.String),
        key: polars.Series(entities),
        "tags": polars.Series(tags, dtype=polars.List(polars.String)),
    }
    return polars.DataFrame(columns)


class Tables:
    """Interactions and features, as drawn from a seed."""

    def __init__(self, seed, rows=200, id_kinds=None, time_kind=None):
        draw = random.Random(seed)
        self.seed = seed
        user_kind, item_kind = id_kinds or (draw.choice(IDS), draw.choice(IDS))
        self.time_kind = time_kind or draw.choice(TIMES)
        self.name = f"seed {seed}: users {user_kind}, items {item_kind}, time {self.time_kind}"
        users, items = ids(draw, user_kind, 60), ids(draw, item_kind, 60)
        time, self.seconds = times(draw, self.time_kind, rows)
        notes = ["plain", 'a "note"', "with, commas; and\ttabs", "over\ntwo lines", "", "ü", None]
        columns = {
            "note": polars.Series([draw.choice(notes) for _ in range(rows)], dtype=polars.String),
            "user_id": polars.Series([draw.choice(users) for _ in range(rows)]),
            "stars": polars.Series([draw.randrange(0, 11) / 2 for _ in range(rows)], dtype=polars.Float64),
            "item_id": polars.Series([draw.choice(items) for _ in range(rows)]),
        }
        if time is not None:
            columns["timestamp"] = time
        self.rows = polars.DataFrame(columns)
        self.users = features(draw, "user_id", self.rows["user_id"].unique(maintain_order=True).to_list())
        self.items = features(draw, "item_id", self.rows["item_id"].unique(maintain_order=True).to_list())
        self.draw = draw

    def contents(self):
        """What the dataset is to hold: the plain script."""
        rows = self.rows.with_columns(polars.Series("seconds", self.seconds, dtype=polars.Int64))
        rows = rows.select(
            polars.col("user_id").cast(polars.String),
            polars.col("item_id").cast(polars.String),
            "seconds",
            polars.col("stars").cast(polars.Float32),
        )
        return {
            "rows": sorted(rows.rows(), key=repr),
            "users": entities(self.users, "user_id", set(rows["user_id"])),
            "items": entities(self.items, "item_id", set(rows["item_id"])),
        }


def entities(table, key, named):
    """The features of everybody who has interactions, as the dataset has them: a number's bucket, a text, a set."""
    table = table.with_columns(polars.col(key).cast(polars.String))
    known = table.filter(polars.col(key).is_in(list(named)))
    buckets = edges(known["price"].drop_nulls().sort().to_list())
    found = {entity: {"price": 0, "colour": None, "tags": set()} for entity in named}
    for row in known.iter_rows(named=True):
        price = row["price"]
        found[row[key]] = {
            "price": 0 if price is None else 1 + bisect.bisect_right(buckets, price),
            "colour": row["colour"],
            "tags": set(row["tags"] or []),
        }
    return found


def edges(ordered, buckets=32):
    """The quantile edges of ordered numbers, each once, and none that leaves the first bucket empty."""
    found = []
    for n in range(1, buckets):
        at = n * len(ordered) // buckets
        if at < len(ordered) and ordered[at] > (found[-1] if found else ordered[0]):
            found.append(ordered[at])
    assert all(map(math.isfinite, found))
    return found
