"""Searching for the best settings for a dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import _core
from ._counts import as_json, count, number, shown, text_of
from ._progress import Bar, Event, Observer, parsed
from ._scratch import Scratch
from ._tables import PathLike, path_of
from .config import Config, configuration, settings_of
from .dataset import Dataset, opened
from .errors import ConfigError
from .model import Model


class Tuned:
    """The result of a search.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> found = tercel.tune(data, trials=2, dim=8, epochs=1, progress=False)
    >>> sorted(found.chosen)[0], found.settings.name
    ('loss.negatives', 'tuned.toml')

    Attributes:
        path: The folder: `tuned.toml`, `trials.parquet`, `report.html` and `model`.
        metric: The metric that was maximized, on the validation split.
        value: The winner's metric value.
        interval: The ends of its 95 % interval.
        default_value: The metric value of the defaults; None if they failed.
        gain: The paired difference between the winner and the defaults over users, and the ends of its 95 % interval;
            None if the defaults win.
        chosen: The winner's settings, by their keys in a configuration file.
        trials: The number of trials.
    """

    def __init__(self, path: Path, summary: Mapping[str, Any], folder: Scratch | None = None) -> None:
        """Use `tune`."""
        self.path = path
        self.metric: str = summary["metric"]
        self.value: float = summary["value"]
        low, high = summary["interval"]
        self.interval: tuple[float, float] = (low, high)
        self.default_value: float | None = summary["default_value"]
        gain = summary["gain"]
        self.gain: tuple[float, float, float] | None = None if gain is None else (gain[0], gain[1], gain[2])
        self.chosen: dict[str, Any] = dict(summary["chosen"])
        self.trials: int = summary["trials"]
        self._folder = folder

    @property
    def settings(self) -> Path:
        """The file for `Model.train(config=…)`."""
        return self.path / "tuned.toml"

    @property
    def report(self) -> Path:
        """The page: curves, parallel coordinates, what each setting was worth."""
        return self.path / "report.html"

    def model(self, *, device: str = "auto", threads: int = 0) -> Model:
        """The winner, trained on training and validation rows."""
        model = Model(self.path / "model", device=device, threads=threads)
        model._folder = self._folder
        return model

    def __repr__(self) -> str:
        """The figure and the folder."""
        return f"Tuned({self.metric} {self.value:.4f}, {self.trials} trials, {str(self.path)!r})"


def tune(
    dataset: Dataset | PathLike,
    out: PathLike | None = None,
    *,
    minutes: float | None = None,
    trials: int | None = None,
    metric: str = "ndcg@20",
    space: Mapping[str, Any] | None = None,
    parallel: int = 0,
    config: Config | PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
    on_trial: Callable[[Event], None] | None = None,
    **settings: Any,
) -> Tuned:
    """Searches for the best settings for a dataset, on its validation split.

    The search starts many short trials, and the best quarter repeatedly continues from its checkpoints. Settings that
    are passed are not searched. Without a validation split, part of the training rows is held out. The test split is
    never read.

    >>> import tercel
    >>> data = tercel.Dataset.build(tercel.demo_purchases(), split="last-per-user:1", progress=False)
    >>> found = tercel.tune(data, trials=4, dim=8, epochs=3, progress=False)
    >>> found.trials
    4
    >>> top = found.model().recommend(k=2, seen=data, progress=False)

    Args:
        dataset: The dataset to train on.
        out: The folder to write; by default a temporary one, which is removed with the result.
        minutes: Time limit; 10 if `trials` is not given.
        trials: Number of trials.
        metric: `ndcg@10`, `recall@20`, …; optionally with the prefix `discovery.` or `next.` for repeat purchases.
        space: The search space, as in a space file: `{"model": {"temperature": {"from": 0.05, "to": 0.4, "scale":
            "log"}, "user": {"history": [0, 2]}}}`; by default derived from the data.
        parallel: Number of parallel trials; 0 runs one per core, or two on a GPU.
        config: Settings that are not searched: a TOML or JSON file, or a dictionary.
        resume: Continues an interrupted search; if one with the same arguments is finished, its result is returned.
        progress: Shows a bar.
        on_trial: Called with every trial's result: `trial`, `rung`, `epochs`, `chosen`, `value`, `failed`; an exception
            that it raises stops the search.
        settings: Training settings by short name, which are not searched.

    Raises:
        ConfigError: For settings that cannot be used.
        CheckpointError: If the folder contains an unfinished search and `resume` is false, or one with other arguments.
    """
    dataset = opened(dataset)
    folder = Scratch() if out is None else None
    path = folder.path / "tuned" if folder is not None else path_of(out or "", "out")
    words = json.dumps(configuration(config, settings))
    told: Config = {"metric": text_of(metric, "metric"), "parallel": count("parallel", parallel)}
    if minutes is not None:
        told["minutes"] = number("minutes", minutes)
    if trials is not None:
        told["trials"] = count("trials", trials)
    if space is not None and not isinstance(space, Mapping):
        raise ConfigError(f"space: {shown(space)} is no dictionary of settings", field="space")
    bar = Bar("tune", " trials") if progress else None
    observers: list[Observer] = []
    if bar is not None:
        observers.append(_shown(bar))
    if on_trial is not None:
        observers.append(_trials(on_trial))
    try:
        with settings_of(words):
            asked = None if space is None else as_json(dict(space))
            found = _core.tune(dataset.path, path, words, json.dumps(told), asked, resume, parsed(observers))
    finally:
        if bar is not None:
            bar.close()
    return Tuned(Path(path), json.loads(found), folder)


def _shown(bar: Bar) -> Observer:
    def told(event: Event) -> None:
        if event["event"] == "progress" and "rung" in event:
            best = event["best"]
            bar.to(event["done"], event["trials"], {"rung": event["rung"], "best": f"{best:.4f}" if best else "-"})

    return told


def _trials(on_trial: Callable[[Event], None]) -> Observer:
    def told(event: Event) -> None:
        if event["event"] == "trial":
            on_trial(event)

    return told
