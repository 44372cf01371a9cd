"""Files and folders that a reader sees old or new, and whole: work happens in a draft beside the output, and one rename
puts it in its place.

The names of an output NAME, all beside it, are the core's: `.NAME.tercel-lock` says who writes it and since when,
`.NAME.tercel-tmp` is the draft of a file. Whoever holds the lock owns the draft, and removes what a killed writer left
there. Links are followed, never replaced. `tercel doctor --sweep` knows these names, too.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from .errors import FileError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What a file system without locks answers."""

_LONGEST = 200
"""Bytes of a name to which an ending is still added."""

_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What a folder answers that may not be written to."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path as a message shows it: bytes that are no UTF-8 are written `\\xff`.

    >>> from tercel._files import shown
    >>> shown("caf\\udce9/é")
    'caf\\\\xe9/é'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def beside(path: Path, ending: str) -> Path:
    """The hidden name beside an output that ends so.

    >>> beside(Path("out/model"), "tercel-lock").as_posix()
    'out/.model.tercel-lock'
    """
    name = os.fsencode(path.name)
    if len(name) > _LONGEST:
        name = hashlib.blake2b(name, digest_size=8).hexdigest().encode()
    return path.with_name(os.fsdecode(b"." + name + b"." + ending.encode()))


def followed(path: str | os.PathLike[str]) -> Path:
    """Where an output is really written: links are followed.

    Raises:
        FileError: For a link to nothing.
    """
    given = Path(path)
    if not given.is_symlink():
        return given
    real = Path(os.path.realpath(given))
    if not real.exists():
        where = shown(os.readlink(given))
        raise FileError(f"{shown(given)}: a link to {where}, which does not exist; create it, or name another output")
    return real


@contextmanager
def locked(target: Path, command: str, inside: bool = False) -> Iterator[None]:
    """Keeps other writers of `target` away: the lock file beside it is ours until the block ends, or the process.

    What a kill leaves of it stops nobody. Where the file system has no locks a warning says so.

    Args:
        target: The output, which need not be there.
        command: What the next one is told.
        inside: Takes the lock inside of the folder `target` where its parent may not be written to.

    Raises:
        FileError: When another process writes it: which, and since when.
    """
    made = _folders(target.parent)
    try:
        path = beside(target, "tercel-lock")
        try:
            handle = _taken(path, target, command)
        except OSError as error:
            if not (inside and error.errno in _CLOSED and target.is_dir()):
                raise
            path = target / path.name
            handle = _taken(path, target, command)
        try:
            yield
        finally:
            # Unlinked while it is held: whoever has opened it meanwhile sees that it has lost its name.
            if _same(handle, path):
                path.unlink(missing_ok=True)
            os.close(handle)
    finally:
        for folder in made:
            with suppress(OSError):  # somebody uses it now
                folder.rmdir()


def _folders(folder: Path) -> list[Path]:
    """Makes a folder and those above it; those that were made, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
    return missing


def _taken(path: Path, target: Path, command: str) -> int:
    """The lock file, open and locked, with our name in it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileError(f"{shown(target)}: {_holder(handle)}", path=str(target)) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                warnings.warn(f"{shown(path)}: no file locks here: a second writer is not prevented", stacklevel=2)
            if _same(handle, path):
                if os.fstat(handle).st_size and _claim(handle) is None:
                    words = f"{shown(path)}: is there and no lock of ours; remove it if nobody needs it"
                    raise FileError(words, path=str(path))
                now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps({"pid": os.getpid(), "since": now, "command": command}).encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Its holder was just going: another file has the name by now, or none.
        os.close(handle)


def _same(handle: int, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _claim(handle: int) -> dict[str, object] | None:
    """What stands in a lock file; nothing where that is no claim."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
        return found if isinstance(found, dict) and "pid" in found else None
    except ValueError:
        return None


def _holder(handle: int) -> str:
    """Who holds a lock, in words."""
    claim = _claim(handle) or {}
    pid, when = claim.get("pid", "(unknown)"), f" since {claim['since']}" if claim.get("since") else ""
    command = f" ({claim['command']})" if claim.get("command") else ""
    return f"process {pid} has been writing it{when}{command}; wait for it, or choose another output"


@contextmanager
def whole(path: str | os.PathLike[str], command: str = "write") -> Iterator[Path]:
    """A file that is replaced when the block ends well, and stays what it was otherwise; the block fills the draft that
    it is given. A new file gets the permissions that the umask leaves, a replaced one keeps its own.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tercel._files import whole
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole(Path(folder) / "note.txt") as draft:
    ...         _ = draft.write_text("all of it")
    ...     [path.name for path in Path(folder).iterdir()]
    ['note.txt']

    Raises:
        FileError: For a link to nothing, a folder, or a file that another process writes.
    """
    if Path(path).is_absolute() and Path(path).parts[1] in ("dev", "proc"):
        yield Path(path)  # a terminal, a pipe, or what a shell has opened: nothing to rename
        return
    target = followed(path)
    if target.is_dir():
        raise FileError(f"{shown(target)}: is a folder", path=str(target))
    if target.exists() and not target.is_file():
        yield target  # a pipe
        return
    with locked(target, command):
        draft = new_draft(target)
        try:
            yield draft
            in_place(draft, target)
        finally:
            draft.unlink(missing_ok=True)


def new_draft(target: Path) -> Path:
    """An empty draft of a file, with the permissions that the file is to have. Its lock has to be held."""
    draft = beside(target, "tercel-tmp")
    draft.unlink(missing_ok=True)  # a killed writer's
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if target.exists():
            os.fchmod(handle, stat.S_IMODE(target.stat().st_mode))
    finally:
        os.close(handle)
    return draft


def in_place(draft: Path, target: Path) -> None:
    """Renames a draft that is whole to what it is the draft of; both, and the name, are on disk when this returns."""
    sync(draft)
    os.replace(draft, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, *_NO_LOCKS):  # a file system that cannot
            raise
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")


def folder_in_place(draft: Path, target: Path) -> None:
    """Puts a folder that is whole in the place of `target`, by one rename where the system can. What stood there then
    has the draft's name, and whoever calls removes it. The lock of `target` has to be held.
    """
    for file in draft.iterdir():
        sync(file)
    sync(draft)
    if target.exists():
        os.chmod(draft, stat.S_IMODE(target.stat().st_mode))
        exchange(draft, target)
    else:
        draft.rename(target)
    sync(target.parent)


def exchange(one: Path, other: Path) -> None:
    """Swaps the names of two files or folders, in one step where the system can."""
    done = _renameat2(one, other)
    if done == 0:
        return
    if done not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(done, os.strerror(done), str(other))
    aside = beside(other, "tercel-old")
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def _renameat2(one: Path, other: Path) -> int:
    """Linux's exchange of two names: 0, or the error's number."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    here, swap = -100, 2
    if call(here, os.fsencode(one), here, os.fsencode(other), swap) == 0:
        return 0
    return ctypes.get_errno()


def mend(target: Path) -> Path | None:
    """What an exchange in two steps has left that was killed: the old folder goes back where nothing took its place,
    and is returned, to be removed, where something did. The lock has to be held.
    """
    aside = beside(target, "tercel-old")
    if not aside.is_dir():
        return None
    if target.exists():
        return aside
    aside.rename(target)
    return None


def remove_named(folder: Path, names: Iterable[str]) -> None:
    """Removes these files, and the folder where nothing else is in it.

    Raises:
        FileError: When something else is in it: that stays, and is named.
    """
    for name in names:
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        left = sorted(os.listdir(folder))
        if not left:
            raise
        raise FileError(f"{shown(folder)}: `{left[0]}` was not created by Tercel", path=str(folder)) from error
