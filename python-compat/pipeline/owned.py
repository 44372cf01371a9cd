"""What a night may replace in its folder: the files that a night wrote there, and no others.

`.tercel-night.json` names them with their checksums. A file that is not named there, or that is no longer what was
written, is somebody else's or damaged: it is refused by its name, before anything is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tercel import DataError
from tercel._files import beside, locked, shown, whole

from pipeline.sealed import read_sealed, sha256_of, write_sealed

FORMAT = "tercel-night-1"
MANIFEST = ".tercel-night.json"


class NotOurs(DataError):
    """Something that would be replaced, and that no night wrote; or that is not as a night wrote it."""


class Owned:
    """A night's folder. One process at a time changes it: the flow holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        """Reads which files are ours."""
        self.folder = folder
        self._path = folder / MANIFEST
        found = read_sealed(self._path, FORMAT)["files"] if self._path.exists() else {}
        self._digests: dict[str, list[str]] = {name: list(digests) for name, digests in found.items()}

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """The draft of a file of the folder, which takes the file's place when the block ends well.

        Raises:
            NotOurs: When something is there that no night wrote, or that was changed since.
        """
        name = self._name(path)
        if os.path.lexists(path):
            self.check(path)
        self._note(name, self._digests.get(name, []))
        with whole(path, "night") as draft:
            yield draft
            digest = sha256_of(draft)
            # Both are ours, whichever a kill leaves.
            self._note(name, [*self._digests[name], digest])
        self._note(name, [digest])

    def write_text(self, path: Path, text: str) -> None:
        """Writes a text file."""
        with self.replacing(path) as draft:
            draft.write_text(text, encoding="utf-8")

    def claim(self, path: Path) -> None:
        """Says that a file or folder that others change in place, as DuckDB does, is the night's.

        Raises:
            NotOurs: When it is there already, and no night's.
        """
        name = self._name(path)
        if name not in self._digests and os.path.lexists(path):
            raise self._stranger(path)
        self._note(name, [])

    def check(self, path: Path) -> None:
        """Whether a file is as a night wrote it.

        Raises:
            NotOurs: When it is not.
        """
        name = self._name(path)
        if name not in self._digests:
            raise self._stranger(path)
        if not path.is_file():
            raise NotOurs(f"{shown(path)}: does not exist; run the night from the start", path=str(path))
        if sha256_of(path) not in self._digests[name]:
            words = "is not as the night wrote it: damaged, or changed by somebody; move it, and run the night again"
            raise NotOurs(f"{shown(path)}: {words}", path=str(path))

    def sweep(self) -> None:
        """Removes what a killed night has left beside its files."""
        for name in self._digests:
            path = self.folder / name
            draft = beside(path, "tercel-tmp")
            if draft.is_file() or beside(path, "tercel-lock").exists():
                with locked(path, "night"):
                    draft.unlink(missing_ok=True)

    def _stranger(self, path: Path) -> NotOurs:
        words = "is there, and nothing says that a night wrote it; move it away, or name another --root"
        return NotOurs(f"{shown(path)}: {words}", path=str(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _note(self, name: str, digests: list[str]) -> None:
        if self._digests.get(name) != digests:
            self._digests[name] = digests
            self.folder.mkdir(parents=True, exist_ok=True)
            write_sealed(self._path, {"format": FORMAT, "files": self._digests})
