"""The users that the report shows, with their purchases and lists: a sample of every segment."""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.checks import Settings
from pipeline.checks_accuracy import activity, value_sql
from pipeline.checks_data import Source, columns_of, connect, literal, open_source, quoted

MOST_PURCHASES = 40
"""Lines of purchases of a user in the report: the last so many of the training's, and of the later ones."""

ACTIVITY = "training purchases"


def collect(
    predictions: Source,
    purchases: Source,
    customers: Source,
    articles: Source,
    users: int,
    settings: Settings,
) -> dict[str, Any]:
    """What the page embeds, as plain lists: users, articles by position, and the popular list.

    A purchase is [date, article, how often, split]; a recommendation [article, score].
    """
    sources = {"predictions": predictions, "purchases": purchases, "customers": customers, "articles": articles}
    with connect(settings.memory, settings.threads) as con:
        for name, source in sources.items():
            open_source(con, name, source)
        columns = make_sample(con, users, settings)
        make_shown(con, settings)
        numbers = {row[0]: at for at, row in enumerate(con.execute("SELECT item FROM shown ORDER BY item").fetchall())}
        return {
            "columns": columns,
            "users": sampled_users(con, columns, numbers),
            "articles": con.execute("SELECT item, name FROM shown ORDER BY item").fetchall(),
            "popular": [numbers[row[0]] for row in con.execute("SELECT item FROM popular ORDER BY n DESC").fetchall()],
            "k": settings.k,
            "everybody": con.execute('SELECT count(DISTINCT "user") FROM raw_predictions').fetchall()[0][0],
        }


def make_sample(con: duckdb.DuckDBPyConnection, users: int, settings: Settings) -> list[str]:
    """sample(user, …) with about `users` users with a list, some of every value of every feature; returns its
    features. The choice depends on the ids alone, so that a user is in every night's report or in none."""
    seen = ", ".join(literal(split) for split in settings.seen_splits)
    kinds = [name for name in columns_of(con, "raw_customers") if name != "user_id"]
    if settings.slice_columns is not None:
        kinds = [name for name in kinds if name in settings.slice_columns]
    values = {name: value_sql(con, name, settings.most_slice_values) for name in kinds}
    shown = {name: value for name, value in values.items() if value is not None}
    selected = ", ".join(f"any_value({value}) AS {quoted(name)}" for name, value in shown.items())
    con.execute(
        f"""CREATE TABLE people AS
        WITH listed AS (SELECT DISTINCT CAST("user" AS VARCHAR) AS id FROM raw_predictions),
        counts AS (SELECT CAST(user_id AS VARCHAR) AS id, count(*) AS n FROM raw_purchases
            WHERE split IN ({seen}) GROUP BY id),
        features AS (SELECT CAST(c.user_id AS VARCHAR) AS id, {selected or "1 AS one"} FROM raw_customers c GROUP BY id)
        SELECT listed.id AS "user", coalesce(n, 0) AS n, features.* EXCLUDE (id)
        FROM listed LEFT JOIN counts USING (id) LEFT JOIN features USING (id)"""
    )
    columns = [ACTIVITY, *shown]
    con.execute(
        f"""CREATE TABLE strata AS SELECT "user", {literal(ACTIVITY)} AS feature,
        {activity(settings.activity_edges)} AS value FROM people"""
    )
    for name in shown:
        value = f"coalesce({quoted(name)}, '(missing)')"
        con.execute(f'INSERT INTO strata SELECT "user", {literal(name)}, {value} FROM people')
    groups = con.execute("SELECT count(*) FROM (SELECT DISTINCT feature, value FROM strata)").fetchall()[0][0]
    con.execute(
        f"""CREATE TABLE sample AS
        SELECT "user" FROM (SELECT "user", row_number() OVER (PARTITION BY feature, value ORDER BY md5("user")) AS place
            FROM strata) GROUP BY "user" ORDER BY min(place), md5("user") LIMIT {max(users, int(groups))}"""
    )
    return columns


def make_shown(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """The sample's lists and purchases, the popular list, and shown(item, name): every article among them."""
    seen = ", ".join(literal(split) for split in settings.seen_splits)
    con.execute(
        f"""CREATE TABLE recs AS SELECT CAST(p."user" AS VARCHAR) AS "user", CAST(item AS VARCHAR) AS item,
        rank, CAST(score AS DOUBLE) AS score FROM raw_predictions p
        WHERE CAST(p."user" AS VARCHAR) IN (SELECT "user" FROM sample) AND rank <= {settings.k}"""
    )
    con.execute(
        f"""CREATE TABLE bought AS
        WITH sums AS (SELECT CAST(user_id AS VARCHAR) AS id, CAST(item_id AS VARCHAR) AS item,
            CAST(bought_at AS DATE) AS day, p.split AS split, count(*) AS n FROM raw_purchases p
            WHERE CAST(user_id AS VARCHAR) IN (SELECT "user" FROM sample) GROUP BY 1, 2, 3, 4)
        SELECT id AS "user", item, day, split, n, count(*) OVER (PARTITION BY id) AS lines FROM sums
        QUALIFY row_number() OVER (PARTITION BY id, split IN ({seen}) ORDER BY day DESC, item) <= {MOST_PURCHASES}"""
    )
    con.execute(
        f"""CREATE TABLE popular AS SELECT CAST(item_id AS VARCHAR) AS item, count(*) AS n FROM raw_purchases
        WHERE split IN ({seen}) GROUP BY item ORDER BY n DESC, item LIMIT {settings.k}"""
    )
    # A purchase in the test split that the list named is a hit, however long ago it was.
    con.execute(
        """CREATE TABLE hits AS SELECT DISTINCT recs."user", recs.item FROM recs JOIN raw_purchases p
        ON CAST(p.user_id AS VARCHAR) = recs."user" AND CAST(p.item_id AS VARCHAR) = recs.item WHERE p.split = 'test'"""
    )
    name = "any_value(CAST(name AS VARCHAR))" if "name" in columns_of(con, "raw_articles") else "NULL"
    con.execute(
        f"""CREATE TABLE shown AS
        WITH wanted AS (SELECT item FROM recs UNION SELECT item FROM bought UNION SELECT item FROM popular),
        named AS (SELECT CAST(item_id AS VARCHAR) AS item, {name} AS name FROM raw_articles GROUP BY ALL)
        SELECT item, coalesce(any_value(name), '') AS name FROM wanted LEFT JOIN named USING (item) GROUP BY item"""
    )


def sampled_users(con: duckdb.DuckDBPyConnection, columns: list[str], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """The users, those with the most purchases first."""
    rows = con.execute(
        'SELECT "user", n FROM people SEMI JOIN sample USING ("user") ORDER BY n DESC, "user"'
    ).fetchall()
    found: dict[str, dict[str, Any]] = {
        user: {"id": user, "n": n, "values": [""] * len(columns), "recs": [], "hits": [], "bought": [], "lines": 0}
        for user, n in rows
    }
    places = {name: at for at, name in enumerate(columns)}
    for user, feature, value in con.execute('FROM strata SEMI JOIN sample USING ("user")').fetchall():
        found[user]["values"][places[feature]] = value
    for user, item, score in con.execute('SELECT "user", item, score FROM recs ORDER BY "user", rank').fetchall():
        found[user]["recs"].append([numbers[item], score])
    for user, item in con.execute("FROM hits").fetchall():
        found[user]["hits"].append(numbers[item])
    query = 'SELECT "user", day, item, n, split, lines FROM bought ORDER BY "user", day DESC, item'
    for user, day, item, n, split, lines in con.execute(query).fetchall():
        found[user]["bought"].append([day.isoformat() if day else "", numbers[item], n, split])
        found[user]["lines"] = lines
    return list(found.values())
