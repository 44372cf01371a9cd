"""Progress bars, shown by tqdm if it is installed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

PASSING = "progress", "evaluating"
"""Events of training that say where it stands, and nothing of what has come of it."""

Event: TypeAlias = "dict[str, Any]"
Observer: TypeAlias = "Callable[[Event], None]"


class Bar:
    """A progress bar on stderr. Without tqdm it shows nothing."""

    def __init__(self, what: str, unit: str) -> None:
        """Shows nothing yet: a bar that is over at once would only flicker."""
        self.what, self.unit = what, unit
        self._from = time.monotonic() + 0.2
        self._bar: Any = None
        self._shown = False

    def to(self, done: int, total: int, words: Mapping[str, object] | None = None) -> None:
        """Moves the bar to `done` of `total`."""
        if self._bar is None and not self._shown and time.monotonic() >= self._from:
            self._shown = True
            self._bar = _tqdm(self.what, self.unit, total)
        if self._bar is not None:
            self._bar.total = total or None
            self._bar.n = done
            self.say(words or {})

    def say(self, words: Mapping[str, object]) -> None:
        """Shows values behind the bar without moving it."""
        if self._bar is not None:
            if words:
                self._bar.set_postfix(words, refresh=False)
            self._bar.refresh()

    def close(self) -> None:
        """Stops updating the bar, which stays on the screen."""
        if self._bar is not None:
            self._bar.close()


def _tqdm(what: str, unit: str, total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(desc=what, unit=unit, total=total or None, unit_scale=True, leave=True, file=sys.stderr)


def parsed(observers: list[Observer]) -> Callable[[str], None] | None:
    """The callback for the native code, which passes each event as JSON; None if there are no observers."""
    if not observers:
        return None

    def told(words: str) -> None:
        event = json.loads(words)
        for observer in observers:
            observer(event)

    return told


def rows_bar() -> tuple[Bar, Observer]:
    """A progress bar for ingest."""
    bar = Bar("ingest", " rows")

    def told(event: Event) -> None:
        if event["stage"] == "read":
            total = int(event["rows"] * event["total_bytes"] / event["bytes"]) if event["bytes"] else 0
            bar.to(event["rows"], max(total, event["rows"]) if event["total_bytes"] else 0)

    return bar, told


def users_bar(what: str) -> tuple[Bar, Observer]:
    """A progress bar for evaluating and recommending."""
    bar = Bar(what, " users")
    return bar, lambda event: bar.to(event["done"], event["users"])


def training_bar() -> tuple[Bar, Observer]:
    """A progress bar for training, with the loss and the validation metrics of each epoch."""
    bar = Bar("train", " steps")
    words: dict[str, object] = {}
    epochs = 0

    def told(event: Event) -> None:
        nonlocal epochs
        if event["event"] == "settings":
            epochs = event["epochs"]
        elif event["event"] == "progress":
            words.update(epoch=event["epoch"], loss=f"{event['loss']:.4f}")
            bar.to(event["step"], event["steps"], words)
        elif event["event"] == "epoch":
            words.update(epoch=event["epoch"], loss=f"{event['loss']:.4f}")
        elif event["event"] == "evaluating":
            bar.say({**words, "evaluated": f"{event['done']}/{event['users']} users"})
        elif event["event"] == "checkpoint" and event["step"]:
            # Epochs of less than a blink tell no progress; the checkpoint behind each does.
            ended = words.get("epoch") == event["epoch"]
            bar.to(event["step"], event["step"] * epochs // event["epoch"] if ended else 0, words)
        elif event["event"] == "validation":
            words.update({name: f"{value:.4f}" for name, value in event["metrics"].items() if name.startswith("ndcg")})

    return bar, told
