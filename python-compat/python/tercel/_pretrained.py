"""Model folders on disk: which files belong to a model, and how to copy it atomically."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ._files import beside, folder_in_place, followed, locked, mend, remove_named, shown
from .errors import CheckpointError, FileError

_TRAINING = "trainer.safetensors", "best.safetensors"
"""Files of a model folder that training alone needs."""

_USUAL = {"config.json", "model.safetensors", "trainer.json", "metrics.json", "README.md", "items.index", *_TRAINING}
"""Files of a model folder, beside those that its `config.json` names."""

_MARK = ".tercel-draft"
"""In a draft until it is whole: by it a folder is known to be one."""

_AGAIN = 3
"""How often a model is copied that is replaced meanwhile."""


def save(source: Path, target: Path, trainer: bool) -> None:
    """Copies the model in `source` to `target` atomically.

    Raises:
        CheckpointError: If `target` contains anything that is not part of a model, or a file of `source` is a link that
            leads out of it.
        FileError: If another process is writing `target`.
    """
    target = followed(target)
    refuse_strange(target)
    refuse_links(source)
    with locked(target, "save_pretrained"):
        left = mend(target)
        draft = beside(target, "saving")
        for old in (left, draft):
            if old is not None:
                _discard(old)
        refuse_strange(target)
        try:
            _filled(draft, source, target, trainer)
            (draft / _MARK).unlink()
            folder_in_place(draft, target)
        finally:
            _discard(draft)


def _filled(draft: Path, source: Path, target: Path, trainer: bool) -> None:
    """The draft with all files of one model, even where another takes its place in `source` meanwhile."""
    for attempt in range(1, _AGAIN + 1):
        _discard(draft)
        draft.mkdir()
        (draft / _MARK).touch()
        before = _manifest(source)
        try:
            for file in sorted(source.iterdir()):
                if file.name in parts(source) and (trainer or file.name not in _TRAINING) and file.is_file():
                    _copied(file, draft, target)
        except FileNotFoundError:
            if attempt == _AGAIN or _manifest(source) == before:
                raise
            continue
        if _manifest(source) == before:
            return
    raise CheckpointError(f"{shown(source)}: keeps being replaced; wait for its writer", path=str(source))


def _copied(file: Path, draft: Path, target: Path) -> None:
    """One file, with the permissions of the one that it replaces, or else those that the umask leaves."""
    copy, replaced = draft / file.name, target / file.name
    shutil.copy2(file, copy)
    like = replaced if replaced.is_file() else draft / _MARK
    copy.chmod(stat.S_IMODE(like.stat().st_mode))


def _manifest(folder: Path) -> bytes:
    try:
        return (folder / "config.json").read_bytes()
    except OSError:
        return b""


def _discard(folder: Path) -> None:
    """Removes a draft, or a model that was replaced.

    Raises:
        FileError: When something in it is neither's: it stays.
    """
    if not folder.exists():
        return
    names = sorted(os.listdir(folder))
    if names and _MARK not in names and strange(folder) is not None:
        words = f"{shown(folder)}: is in the way, and nothing in it says that it is ours; move it elsewhere"
        raise FileError(words, path=str(folder))
    # Last of all what says whose it is: a kill leaves a folder that is still known.
    remove_named(folder, sorted(names, key=lambda name: (name == _MARK, name == "config.json")))


def parts(folder: Path) -> set[str]:
    """The names of a model's files; empty if `config.json` is not that of a model."""
    try:
        info = json.loads(_manifest(folder))
        names = {info["history"]["name"]} if info.get("history") else set()
        names |= {info["parameters"]["name"]} if info.get("parameters") else set()
        for side in ("users", "items"):
            names |= {info[side][key]["name"] for key in ("file", "unseen_file") if info[side].get(key)}
        return names | _USUAL if info["format"] == "tercel-model" else set()
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _belongs(name: str, of_model: set[str]) -> bool:
    """Whether a name is a model's, or is beside one of its files while that is written."""
    base, _, ending = name.removeprefix(".").rpartition(".")
    return name in of_model or (base in of_model and ending in ("tercel-lock", "tercel-tmp") and name.startswith("."))


def strange(folder: Path) -> str | None:
    """The first entry of a folder that is not part of a model, or None."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        return "the file"
    of_model = parts(folder)
    return next((f"`{shown(name)}`" for name in sorted(os.listdir(folder)) if not _belongs(name, of_model)), None)


def refuse_strange(folder: Path) -> None:
    """Checks that a folder may be replaced by a model.

    Raises:
        CheckpointError: If it contains anything that is not part of a model.
    """
    found = strange(folder)
    if found is not None:
        words = f"{shown(folder)}: {found} is none of a model's; name another folder"
        raise CheckpointError(words, path=str(folder))


def refuse_links(folder: Path) -> None:
    """Checks that no link in a folder leads out of it: copying would include files from anywhere.

    Raises:
        CheckpointError: For the first such link.
    """
    for link, aim in _links(folder):
        if not aim.is_relative_to(os.path.realpath(folder)):
            words = f"{shown(folder)}: `{shown(link.name)}` is a link that leads out of the model, to {shown(aim)}"
            raise CheckpointError(f"{words}; put the file itself there", path=str(folder))


def _links(folder: Path) -> Iterator[tuple[Path, Path]]:
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.is_symlink():
            yield file, Path(os.path.realpath(file))
