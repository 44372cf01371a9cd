"""JSON that the pipeline writes for itself: whole or not at all, with a checksum of what it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tercel import DamagedError
from tercel._files import shown, whole


def write_sealed(path: Path, body: dict[str, Any]) -> None:
    """Writes a JSON object, its checksum last."""
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=2, ensure_ascii=True)
    with whole(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """The object of this format that `write_sealed` wrote.

    Raises:
        DamagedError: When it is not what was written.
    """
    try:
        body = json.loads(path.read_bytes())
        told = body.pop("checksum")
        if body["format"] != kind or told != _checksum(body):
            raise ValueError("its checksum is not that of the text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"{shown(path)}: damaged, or no {kind} ({error}); what it stands for is no longer known: remove both"
        raise DamagedError(words, path=str(path)) from error
    found: dict[str, Any] = body
    return found


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _checksum(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
