"""Evaluation and its results."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ._counts import count, text_of
from ._progress import parsed, users_bar
from .dataset import Dataset, Split
from .errors import ConfigError

if TYPE_CHECKING:  # A type alone: `model` imports this file.
    from .model import Model


@dataclass(frozen=True)
class Estimate:
    """A mean over users, with its 95 % bootstrap interval if there is one.

    >>> import tercel
    >>> print(tercel.Estimate(0.25, low=0.2, high=0.3125))
    0.2500 (0.2000 to 0.3125)
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """The value, and its interval in brackets."""
        interval = "" if self.low is None or self.high is None else f" ({self.low:.4f} to {self.high:.4f})"
        return f"{self.value:.4f}{interval}"


@dataclass(frozen=True)
class Evaluation:
    """Full-catalogue metrics of a split in one view, those of the baselines, and the other views.

    Attributes:
        view: `discovery`, what users find that is new to them, or `next`, what they interact with next, new or not.
        metrics: By name (`recall@10`, `ndcg@10`, …); empty if there is nothing to find.
        popularity: The values of the popularity baseline, by the same names.
        baselines: Those of the other baselines, by name: `popular_7_days`, `popular_28_days`, `item_knn`.
        users: The number of users evaluated; each counts once, whatever the number of their items.
        nothing: Why there is nothing to find in this view; otherwise None.
        definitions: The definition of each metric, in words.
        details: Everything that `tercel evaluate --json` reports.
        views: Every view that was evaluated, by name, including this one.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
    >>> report = tercel.evaluate(model, data, k=5, progress=False)
    >>> report.view, report.users, report.metrics["recall@5"].value == report["recall@5"]
    ('next', 30, True)
    >>> print(report.views["discovery"])
    test, discovery: nothing to find: all 30 pairs of user and item in the test split are also in the training split
    """

    split: str
    view: str
    metrics: dict[str, Estimate]
    popularity: dict[str, float]
    baselines: dict[str, dict[str, float]]
    users: int
    nothing: str | None
    definitions: dict[str, str]
    details: dict[str, Any]
    views: dict[str, Evaluation] = field(repr=False, compare=False)

    def __getitem__(self, metric: str) -> float:
        """The value of a metric."""
        if self.nothing is not None:
            raise KeyError(f"{metric}: nothing to find in the view {self.view}: {self.nothing}")
        return self.metrics[metric].value

    def __str__(self) -> str:
        """A table for people."""
        if self.nothing is not None:
            return f"{self.split}, {self.view}: nothing to find: {self.nothing}"
        others = {"popularity": self.popularity, **self.baselines}
        head = "".join(f"{HEADS.get(name, name):>12}" for name in others)
        lines = [f"{self.split}, {self.view}: {self.users} users, full catalogue", f"{'':14}{'model':>28}{head}"]
        for name, estimate in self.metrics.items():
            lines.append(f"{name:14}{estimate!s:>28}" + "".join(f"{of[name]:12.4f}" for of in others.values()))
        return "\n".join(lines)


HEADS = {"popular_7_days": "of 7 days", "popular_28_days": "of 28 days", "item_knn": "item-kNN"}
"""What stands above a baseline's column."""

View: TypeAlias = Literal["discovery", "next", "both"]
Baselines: TypeAlias = Literal["none", "recent", "all"]


def evaluate(
    model: Model,
    dataset: Dataset,
    split: Split = "test",
    *,
    k: int | list[int] | tuple[int, ...] = (10, 20),
    view: View | None = None,
    include_seen: bool | None = None,
    baselines: Baselines = "all",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Evaluates a model on a split of the dataset that it was trained on: every user, the full catalogue.

    Returns the first view with anything to find; its `views` has all that were evaluated.

    Args:
        model: The model.
        dataset: Its dataset, or one with the same vocabularies.
        split: `valid` or `test`.
        k: The list lengths.
        view: `discovery` removes the items of a user's training rows from the lists and from the relevant items; `next`
            keeps them in both; `both` evaluates the two views. The default is `both` if at least 1 % of the split's
            rows repeat training rows, else `discovery`.
        include_seen: Short for `view="next"`, or for `view="discovery"` if False.
        baselines: Baselines in addition to popularity: the most popular items of the last 7 and 28 days (`recent`),
            these and item-kNN (`all`), or no others (`none`).
        bootstrap: Resamples for the intervals; 0 for none.
        seed: The seed of the resamples.
        progress: Shows a bar.

    Raises:
        ConfigError: For a setting that cannot be used, or two that contradict each other.
        DataError: If no user has items in the split.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> model = tercel.Model.train(data, dim=16, epochs=20, batch_size=64, early_stop="off", progress=False)
    >>> report = tercel.evaluate(model, data, k=10, progress=False)
    >>> report["recall@10"] > report.popularity["recall@10"]
    True
    """
    for name, given, kind in (("model", model, "Model"), ("dataset", dataset, "Dataset")):
        if not (hasattr(given, "_core") if kind == "Model" else isinstance(given, Dataset)):
            raise ConfigError(f"{name}: a tercel.{kind} is needed, not {type(given).__name__}", field=name)
    ks = [count("k", one) for one in (k if isinstance(k, (list, tuple)) else [k])]
    split_name = text_of(split, "split")
    bootstrap, seed = count("bootstrap", bootstrap), count("seed", seed)
    asked = _view(view, include_seen)
    bar, told = users_bar("evaluate")
    try:
        words = model._core.evaluate(
            dataset.path,
            split_name,
            ks,
            asked,
            text_of(baselines, "baselines"),
            bootstrap,
            seed,
            parsed([told] if progress else []),
        )
    finally:
        bar.close()
    views: dict[str, Evaluation] = {}
    for details in json.loads(words):
        views[details["view"]] = _evaluation(details, views)
    return next((found for found in views.values() if found.nothing is None), next(iter(views.values())))


def _view(view: str | None, include_seen: bool | None) -> str | None:
    """What is to be looked at, whichever way it was said."""
    if include_seen is None:
        return None if view is None else text_of(view, "view")
    short = "next" if include_seen else "discovery"
    if view not in (None, short):
        raise ConfigError(f"view: {view!r} contradicts include_seen={include_seen!r}; pass only one", field="view")
    return short


def _evaluation(details: dict[str, Any], views: dict[str, Evaluation]) -> Evaluation:
    estimate = {name: Estimate(**value) for name, value in details["metrics"].items()}
    return Evaluation(
        split=details["split"],
        view=details["view"],
        metrics=estimate,
        popularity=details["popularity"],
        baselines=details.get("baselines", {}),
        users=details["users"],
        nothing=details.get("nothing"),
        definitions=details["definitions"],
        details=details,
        views=views,
    )


__all__ = ["Estimate", "Evaluation", "evaluate"]
