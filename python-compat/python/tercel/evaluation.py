"""What an evaluation says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._counts import count, text_of
from ._progress import parsed, users_bar
from .dataset import Dataset, Split
from .errors import ConfigError

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True)
class Estimate:
    """A mean over users, and its 95 % bootstrap interval where there is one.

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
    """Full-catalogue metrics of a split, the popularity baseline beside them.

    Attributes:
        metrics: By name (`recall@10`, `ndcg@10`, …).
        popularity: The baseline's values of the same names.
        users: Users that were judged: every user is one row, whatever the number of its items.
        definitions: What each figure is, in words.
        details: Everything that `tercel evaluate --json` says.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> model = tercel.Model.train(data, dim=8, epochs=1, progress=False)
    >>> report = tercel.evaluate(model, data, k=5, include_seen=True, progress=False)
    >>> report.users, report.metrics["recall@5"].value == report["recall@5"]
    (30, True)
    """

    split: str
    metrics: dict[str, Estimate]
    popularity: dict[str, float]
    users: int
    definitions: dict[str, str]
    details: dict[str, Any]

    def __getitem__(self, metric: str) -> float:
        """The value of a metric."""
        return self.metrics[metric].value

    def __str__(self) -> str:
        """A table for people."""
        lines = [f"{self.split}: {self.users} users, full catalogue", f"{'':14}{'model':>28}{'popularity':>12}"]
        lines += [f"{name:14}{estimate!s:>28}{self.popularity[name]:12.4f}" for name, estimate in self.metrics.items()]
        return "\n".join(lines)


def evaluate(
    model: Model,
    dataset: Dataset,
    split: Split = "test",
    *,
    k: int | list[int] | tuple[int, ...] = (10, 20),
    include_seen: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Evaluates a model on a split of the dataset that it was trained on: every user, the full catalogue.

    Args:
        model: The model.
        dataset: Its dataset, or one with the same vocabularies.
        split: `valid` or `test`.
        k: The lengths of list that are judged.
        include_seen: Lets the model return what a user has had in training.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Of the resamples.
        progress: Shows a bar.

    Raises:
        DataError: When nobody has items in the split.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> model = tercel.Model.train(data, dim=16, epochs=20, batch_size=64, progress=False)
    >>> report = tercel.evaluate(model, data, k=10, include_seen=True, progress=False)
    >>> report["recall@10"] > report.popularity["recall@10"]
    True
    """
    for name, given, kind in (("model", model, "Model"), ("dataset", dataset, "Dataset")):
        if not (hasattr(given, "_core") if kind == "Model" else isinstance(given, Dataset)):
            raise ConfigError(f"{name}: a tercel.{kind} is needed, not {type(given).__name__}", field=name)
    ks = [count("k", one) for one in (k if isinstance(k, (list, tuple)) else [k])]
    split_name = text_of(split, "split")
    bootstrap, seed = count("bootstrap", bootstrap), count("seed", seed)
    bar, told = users_bar("evaluate")
    try:
        words = model._core.evaluate(
            dataset.path, split_name, ks, include_seen, bootstrap, seed, parsed([told] if progress else [])
        )
    finally:
        bar.close()
    return _evaluation(json.loads(words))


def _evaluation(details: dict[str, Any]) -> Evaluation:
    estimate = {name: Estimate(**value) for name, value in details["metrics"].items()}
    return Evaluation(
        split=details["split"],
        metrics=estimate,
        popularity=details["popularity"],
        users=details["users"],
        definitions=details["definitions"],
        details=details,
    )


__all__ = ["Estimate", "Evaluation", "evaluate"]
