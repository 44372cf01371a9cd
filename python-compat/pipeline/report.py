"""One HTML page per night: the figures, the checks, and users with their purchases and recommendations.

The page needs nothing but itself: no network, no server. Send it, keep it with the night, open it on a phone.

    python -m pipeline.report --predictions predictions.parquet --purchases purchases.parquet \
        --customers customers.parquet --articles articles.parquet --metrics model/metrics.json \
        --night 2020-09-22 --out report.html
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tercel import DamagedError, TercelError
from tercel._core import read_json
from tercel._files import shown, write_text

from pipeline.checks import Settings, run_checks
from pipeline.checks_data import BadInput, Source
from pipeline.checks_result import CheckReport, CheckResult, finite
from pipeline.report_charts import bars, loss_curve
from pipeline.report_data import collect

TEMPLATES = Path(__file__).parent / "templates"

BASELINES = {
    "popularity": "Popularity",
    "popular_7_days": "Of 7 days",
    "popular_28_days": "Of 28 days",
    "item_knn": "Item-kNN",
}
SHOWN_METRICS = ("recall", "ndcg", "hit_rate", "mrr", "precision", "map", "coverage")


def build_report(out: str | Path, **given: Any) -> Path:
    """Writes the page that `render_report` makes of the same."""
    write_text(out, render_report(**given))
    return Path(out)


def render_report(
    *,
    predictions: Source,
    purchases: Source,
    customers: Source,
    articles: Source,
    checks: CheckReport,
    metrics: Mapping[str, Any] | None = None,
    night: str = "",
    model_checksum: str = "",
    users: int = 300,
    settings: Settings | None = None,
    created: datetime | None = None,
) -> str:
    """The page as HTML. `metrics` is what stands in the model's metrics.json; `users` how many are embedded."""
    settings = settings or Settings()
    data = collect(predictions, purchases, customers, articles, users, settings)
    when = created or datetime.now(timezone.utc)
    return (
        environment()
        .get_template("report.html")
        .render(
            night=night,
            created=when.strftime("%Y-%m-%d %H:%M UTC"),
            model_checksum=model_checksum,
            checks=checks,
            tiles=tiles(checks, data, settings.k),
            evaluations=evaluations(metrics or {}),
            losses=losses_of(metrics or {}),
            origin=origin_of(metrics or {}),
            slices=slice_rows(checks),
            data=as_script(data),
            sample=len(data["users"]),
            everybody=data["everybody"],
        )
    )


def environment() -> Environment:
    """Templates in which everything is escaped but what this module marks."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals.update(loss_curve=loss_curve, bars=bars, inline=inline, source_of=source_of)
    made.filters.update(number=number, figure=figure)
    return made


def inline(name: str) -> Markup:
    """A style sheet or script of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def source_of(name: str) -> Markup:
    """What the page's content security policy calls it: by its hash it and nothing else is taken."""
    digest = hashlib.sha256(inline(name).encode()).digest()
    return Markup(f"'sha256-{base64.b64encode(digest).decode()}'")


def as_script(data: Mapping[str, Any]) -> Markup:
    """JSON that no text in it can leave: `<` is written as an escape, so that there is no `</script>`."""
    text = json.dumps(finite(dict(data)), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def number(value: float) -> str:
    """A count with its thousands."""
    return f"{value:,.0f}"


def figure(value: float | None) -> str:
    """A measure with the digits that it deserves."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:,.2f}"


def found(checks: CheckReport, name: str) -> CheckResult | None:
    """The check of this name, where it was measured."""
    wanted = [result for result in checks.results if result.name == name and result.value is not None]
    return wanted[0] if wanted else None


def tiles(checks: CheckReport, data: Mapping[str, Any], k: int) -> list[dict[str, str]]:
    """The few figures at the top of the page."""
    shown = []
    for metric in ("recall", "ndcg"):
        result = found(checks, f"beats_popularity_{metric}")
        if result is not None and result.details:
            ours, theirs = result.details["model"], result.details["popularity"]
            gain = (
                f"{ours / theirs - 1:+.0%} against popularity ({theirs:.4f})" if theirs > 0 else "popularity has none"
            )
            shown.append({"label": f"{metric}@{k}", "value": f"{ours:.4f}", "note": gain})
    coverage = found(checks, "catalogue_coverage")
    if coverage is not None and coverage.value is not None:
        shown.append(
            {"label": "coverage", "value": f"{coverage.value:.1%}", "note": "of the articles are in some list"}
        )
    stable = found(checks, "stable_under_reseed")
    if stable is not None and stable.details:
        shown.append({"label": "stability", "value": f"{stable.details['overlap']:.0%}", "note": "shared by two seeds"})
    shown.append({"label": "users", "value": number(data["everybody"]), "note": f"have a list of {k}"})
    return shown


def evaluations(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The evaluations in a model's metrics.json as tables: metric, value, interval, popularity and other baselines."""
    tables = []
    for body in metrics.values():
        if not isinstance(body, dict) or body.get("event") != "evaluate":
            continue
        baselines = {"popularity": body.get("popularity", {}), **body.get("baselines", {})}
        rows = [
            {"name": name, **estimate, "baselines": [figures.get(name) for figures in baselines.values()]}
            for name, estimate in body["metrics"].items()
            if name.split("@")[0] in SHOWN_METRICS
        ]
        kind = "what they buy next" if body.get("include_seen") else "discovery: bought items left out"
        head = [BASELINES.get(name, name) for name in baselines]
        table = {"title": kind, "users": body["users"], "split": body["split"], "rows": rows, "baselines": head}
        tables.append({**table, "nothing": body.get("nothing")})
    return tables


def losses_of(metrics: Mapping[str, Any]) -> list[float]:
    """The loss of every epoch; an empty one is NaN."""
    return [float("nan") if loss is None else float(loss) for loss in metrics.get("epoch_losses", [])]


def origin_of(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the settings come from, as a night leaves it in the metrics: what a search found, and when; what was left
    to the data, and why. None where nobody says.
    """
    found = metrics.get("settings")
    if not isinstance(found, dict) or not (found.get("tuned") or found.get("search") or found.get("decisions")):
        return None
    tuned = found.get("tuned")
    chosen = [{"name": name, "value": json.dumps(value)} for name, value in (tuned or {}).get("chosen", {}).items()]
    return {"tuned": tuned, "chosen": chosen, "search": found.get("search"), "decisions": found.get("decisions") or []}


def slice_rows(checks: CheckReport) -> list[dict[str, Any]]:
    """The slices of the check on slices, by feature."""
    result = next((result for result in checks.results if result.name == "no_weak_slice"), None)
    parts: list[dict[str, Any]] = result.details.get("slices", []) if result is not None else []
    most = max((max(part["recall"], part["baseline_recall"]) for part in parts), default=0.0)
    tables: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        tables.setdefault(part["column"], []).append({**part, "most": most})
    return [{"column": column, "rows": rows} for column, rows in tables.items()]


def read_metrics(path: Path) -> dict[str, Any]:
    """A model's metrics.json, or the night's; a checksum that it has is compared.

    Raises:
        DamagedError: When it is not what was written.
    """
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise DamagedError(f"{shown(path)}: cannot be understood: {error}", path=str(path)) from error
    return json.loads(read_json(path)) if "checksum" in found else found


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipeline.report`: runs the checks too; 1 when one failed, 3 when nothing is written."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=(__doc__ or "").splitlines()[0])
    for name in ("predictions", "purchases", "customers", "articles"):
        parser.add_argument(f"--{name}", required=True, metavar="PARQUET")
    parser.add_argument("--second-seed", metavar="PARQUET", help="another seed's predictions")
    parser.add_argument("--metrics", type=Path, metavar="JSON", help="the model's metrics.json")
    parser.add_argument("--night", default="", help="the night's id")
    parser.add_argument("--k", type=int, default=Settings.k)
    parser.add_argument("--users", type=int, default=300, help="users to embed (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="HTML")
    given = parser.parse_args(arguments)
    settings = Settings(k=given.k)
    inputs = {name: getattr(given, name) for name in ("predictions", "purchases", "customers", "articles")}
    try:
        metrics = read_metrics(given.metrics) if given.metrics else None
        checks = run_checks(**inputs, second_seed=given.second_seed, settings=settings)
        path = build_report(
            given.out, **inputs, checks=checks, metrics=metrics, night=given.night, users=given.users, settings=settings
        )
    except (BadInput, TercelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(f"{shown(path)}: {path.stat().st_size / 1e6:.1f} MB, {len(checks.failed)} checks failed")
    return 0 if checks.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
