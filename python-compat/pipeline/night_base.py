"""What the steps of a night share: the folder with its paths, how long to train, and a model that was trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """The paths of a night's folder."""

    folder: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    @property
    def data(self) -> Path:
        """Tercel's dataset."""
        return self.folder / "data"

    def mart(self, name: str) -> Path:
        """A mart as Parquet."""
        return self.folder / f"{name}.parquet"

    @property
    def tuning(self) -> Path:
        """The last search for settings: its page, its trials, its model."""
        return self.folder / "tuning"

    @property
    def tuned(self) -> Path:
        """What the nights keep of searches."""
        return self.folder / "tuned.json"

    def model(self, name: str) -> Path:
        """The model of some settings: those of the search, or a grid point's."""
        return self.folder / "models" / name

    @property
    def predictions(self) -> Path:
        """Everybody's lists."""
        return self.folder / "predictions.parquet"

    @property
    def checked(self) -> Path:
        """Everybody's lists as they are measured: what is in the held-out splits stays in."""
        return self.folder / "predictions-checked.parquet"

    @property
    def store(self) -> Path:
        """The store that the API reads."""
        return self.folder / "recommendations.sqlite"

    def report(self, night: str) -> Path:
        """A night's page."""
        return self.folder / "reports" / f"{night}.html"


@dataclass(frozen=True)
class Schedule:
    """How long to train, and what chooses among models."""

    metric: str = "ndcg@12"
    epochs: int | None = None
    patience: int = 2
    seed: int = 1
    threads: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Trained:
    """A model of the search's settings, or of one point of a grid."""

    name: str
    path: Path
    settings: dict[str, Any]
    metric: str
    value: float
    popularity: float
    decisions: list[dict[str, str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    seconds: float = 0.0
