"""What a check of a night's predictions says, and the report that holds all of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any


class ChecksFailed(Exception):
    """Raised when a night must not be published."""


@dataclass(frozen=True)
class CheckResult:
    """One check: what was measured, what was asked for, and what it means."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    meaning: str
    action: str = ""
    skipped: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """A dictionary that is valid JSON: values that are not finite become null."""
        return {
            "name": self.name,
            "passed": self.passed,
            "skipped": self.skipped,
            "value": self.value,
            "threshold": self.threshold,
            "meaning": self.meaning,
            "action": self.action,
            "details": self.details,
        }

    def line(self) -> str:
        """The check on one line, for a log."""
        word = "skipped" if self.skipped else "passed" if self.passed else "FAILED"
        return f"{word:<7} {self.name}: {self.meaning}" + (f" {self.action}" if not self.passed else "")


@dataclass(frozen=True)
class CheckReport:
    """All checks of one night."""

    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed, in their order."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """True when something was checked and nothing failed."""
        return bool(self.results) and not self.failed

    def result(self, name: str) -> CheckResult:
        """The check of this name."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON."""
        body = {"passed": self.passed, "checks": [result.as_dict() for result in self.results]}
        return json.dumps(finite(body), indent=indent, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """The report for a log, a line per check."""
        return "\n".join(result.line() for result in self.results)

    def raise_if_failed(self) -> None:
        """Raises ChecksFailed, with every failed check in its message."""
        if not self.passed:
            lines = [result.line() for result in self.failed] or ["nothing was checked"]
            raise ChecksFailed("the night's predictions did not pass:\n" + "\n".join(lines))


def finite(value: Any) -> Any:
    """The same value with NaN and infinities replaced by None, all the way down."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value
