"""The night's search for settings: when one is due, what is kept of it, and where a model's settings come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import tercel
from tercel._core import forget_search
from tercel.config import configuration

from pipeline.night_base import Schedule, Trained, Work
from pipeline.owned import Owned
from pipeline.sealed import sha256_of

TUNED = "tuned"
"""The name of the model that has the search's settings."""


@dataclass(frozen=True)
class Search:
    """When the settings are searched for, and for how long."""

    every: int = 7
    minutes: float | None = None
    trials: int | None = None
    space: Mapping[str, Any] | None = None


def tune(work: Work, night: str, search: Search, schedule: Schedule) -> dict[str, Any]:
    """The settings to train with, for `train_one`: of a search where that is due, else of the last one.

    A search is due in the first night, and where the last one is `search.every` nights ago or was asked something else;
    the same night again is no other one. Killed, it goes on when it is called again. Where it fails, or finds nothing
    better than the defaults, the night goes on with the settings that were found before, or with the defaults. What was
    found, when and in which night is kept in `tuned.json`.
    """
    owned = Owned(work.folder)
    kept: dict[str, Any] = {"night": "", "nights": 0, "started": None, "searched": None, "tuned": None}
    if work.tuned.exists():
        owned.check(work.tuned)
        kept = json.loads(work.tuned.read_text(encoding="utf-8"))
    if kept["night"] != night:
        kept |= {"night": night, "nights": kept["nights"] + 1}
        _keep(owned, work, kept)
    question = {name: value for name, value in asdict(search).items() if name != "every"}
    question |= {"metric": schedule.metric, "epochs": schedule.epochs, "seed": schedule.seed}
    if _due(kept, question, search.every):
        started = {"data": sha256_of(work.data / "dataset.json"), "question": question}
        if kept["started"] != started:
            forget_search(work.tuning)  # another night's
            kept["started"] = started
            _keep(owned, work, kept)
        date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        outcome: dict[str, Any] = {"night": night, "number": kept["nights"], "date": date, "question": question}
        try:
            found = _tuned(_search(work, search, schedule), night, date)
            kept["searched"] = outcome | {"outcome": "better" if found["gain"] else "nothing_better"}
            if found["gain"]:
                kept["tuned"] = found
        except (tercel.ConfigError, tercel.DataError, tercel.CheckpointError, tercel.NonFiniteError) as error:
            print(f"the search failed: {error}")
            kept["searched"] = outcome | {"outcome": "failed", "reason": str(error)}
            forget_search(work.tuning)
        kept["started"] = None
        _keep(owned, work, kept)
    return dict(kept["tuned"]["settings"]) if kept["tuned"] else {}


def _keep(owned: Owned, work: Work, kept: Mapping[str, Any]) -> None:
    owned.write_text(work.tuned, json.dumps(kept, indent=2) + "\n")


def _due(kept: Mapping[str, Any], question: Mapping[str, Any], every: int) -> bool:
    last = kept["searched"]
    if last is None or last["question"] != question:
        return True
    ago = kept["nights"] - last["number"]
    return bool(ago > 0 and (ago >= every or last["outcome"] == "failed"))


def _search(work: Work, search: Search, schedule: Schedule) -> tercel.Tuned:
    return tercel.tune(
        tercel.Dataset(work.data),
        work.tuning,
        minutes=search.minutes,
        trials=search.trials,
        space=search.space,
        metric=schedule.metric,
        resume=True,
        progress=False,
        on_trial=_said,
        epochs=schedule.epochs,
        seed=schedule.seed,
        device=schedule.device,
    )


def _said(trial: Mapping[str, Any]) -> None:
    value = "failed" if trial["value"] is None else f"{trial['value']:.4f}"
    print(f"trial {trial['trial']}, rung {trial['rung']}: {value}", flush=True)


def _tuned(found: tercel.Tuned, night: str, date: str) -> dict[str, Any]:
    """What is kept of a search."""
    about = {"metric": found.metric, "value": found.value, "interval": found.interval, "gain": found.gain}
    settings = {"config": configuration(found.settings, {})}
    return {"night": night, "date": date, "trials": found.trials, "chosen": found.chosen, **about, "settings": settings}


def origin(work: Work, chosen: Trained) -> dict[str, Any]:
    """Where a model's settings come from, for the report: a search, and what was left to the data."""
    kept = json.loads(work.tuned.read_text(encoding="utf-8")) if work.tuned.exists() else {}
    tuned = kept.get("tuned") if chosen.name == TUNED else None
    return {"search": kept.get("searched") if chosen.name == TUNED else None, "tuned": tuned,
            "given": chosen.settings, "decisions": chosen.decisions}  # fmt: skip
