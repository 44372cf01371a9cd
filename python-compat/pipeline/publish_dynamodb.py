"""A night as DynamoDB's batch writes: JSON lines, every line a whole `BatchWriteItem` request.

    aws dynamodb batch-write-item --cli-input-json "$(head -1 night/requests-00000.jsonl)"

or all of it with `send`. The table's key is `userId` (a text).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from tercel._files import beside, folder_in_place, followed, locked, remove_named, shown

from pipeline.publish_rows import PublishError, UserList
from pipeline.sealed import read_sealed, sha256_of, write_sealed

FORMAT = "tercel-requests-1"
REQUESTS_FILE = re.compile(r"requests-[0-9]{5,}\.jsonl")

MOST_ITEMS = 25
MOST_BYTES = 16 * 1024 * 1024
MOST_ITEM_BYTES = 400 * 1024
REQUESTS_PER_FILE = 4_000
"""100,000 users a file."""

Request = dict[str, Any]


class Client(Protocol):
    """What is needed of `boto3.client("dynamodb")`."""

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        """Writes a batch and returns what was not written as `UnprocessedItems`."""
        ...


def put(one: UserList, night: str) -> Request:
    """The request that writes one user."""
    item = {"userId": {"S": one.user}, "recs": {"S": one.as_json()}, "night": {"S": night}}
    size = sum(len(name.encode()) + len(value["S"].encode()) for name, value in item.items())
    if not one.user or len(one.user.encode()) > 2048:
        raise PublishError(f"the user id {one.user[:40]!r} must be 1 to 2,048 bytes long for DynamoDB")
    if size > MOST_ITEM_BYTES:
        raise PublishError(f"the list of user {one.user} is {size:,} bytes, more than the 400 KB that DynamoDB takes")
    return {"PutRequest": {"Item": item}}


def request_lines(
    lists: Iterable[UserList], table: str, night: str, most_bytes: int = MOST_BYTES
) -> Iterator[tuple[str, int]]:
    """Requests as JSON texts and their numbers of users, each within DynamoDB's limits for one call."""
    frame = len(json.dumps({"RequestItems": {table: []}}).encode())
    parts: list[str] = []
    size = frame
    for one in lists:
        part = json.dumps(put(one, night), ensure_ascii=False, separators=(",", ":"))
        length = len(part.encode()) + 1
        if parts and (len(parts) == MOST_ITEMS or size + length > most_bytes):
            yield joined(table, parts), len(parts)
            parts, size = [], frame
        parts.append(part)
        size += length
    if parts:
        yield joined(table, parts), len(parts)


def joined(table: str, parts: list[str]) -> str:
    """A request from the texts of its parts."""
    return f'{{"RequestItems":{{{json.dumps(table)}:[{",".join(parts)}]}}}}'


def write_requests(
    folder: Path,
    table: str,
    night: str,
    lists: Iterable[UserList],
    fallback: UserList,
    requests_per_file: int = REQUESTS_PER_FILE,
) -> int:
    """Writes the night's requests into a new folder, which appears when all of it is there. Returns the users' number.

    The fallback list is in the first request. A manifest beside the folder has the checksums of its files.

    Raises:
        PublishError: When the folder is there and not empty.
        FileError: While another process writes it.
    """
    folder = followed(folder)
    with locked(folder, "publish --dynamodb"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PublishError(f"{shown(folder)} already exists; remove it or name another folder")
        draft = beside(folder, "tercel-tmp")
        discard_draft(draft)
        draft.mkdir()
        try:
            lines = request_lines(chain([fallback], unique(lists, fallback.user)), table, night)
            count = write_files(draft, lines, requests_per_file)
            files = {path.name: sha256_of(path) for path in sorted(draft.iterdir())}
            # Before the folder is there: a manifest without its folder is in nobody's way.
            write_sealed(manifest_of(folder), {"format": FORMAT, "night": night, "table": table, "files": files})
            folder_in_place(draft, folder)
        finally:
            discard_draft(draft)
    return count - 1


def manifest_of(folder: Path) -> Path:
    """Where the manifest of a folder of requests lies: beside it, as everything in it is for DynamoDB."""
    return beside(folder, "requests.json")


def discard_draft(draft: Path) -> None:
    """Removes what a killed publisher left of a folder, or the empty one that was replaced."""
    if draft.exists():
        remove_named(draft, [name for name in os.listdir(draft) if REQUESTS_FILE.fullmatch(name)])


def remove_requests(folder: Path) -> None:
    """Removes a folder of requests that was written here and is as it was written, whole or in part.

    Raises:
        PublishError: When anything else is in it.
        FileError: While another process writes it.
    """
    if not os.path.lexists(folder):
        return
    folder = followed(folder)
    with locked(folder, "publish --dynamodb"):
        if not folder.is_dir():
            raise PublishError(f"{shown(folder)} is not a folder and is kept: move it, or name another")
        names = sorted(os.listdir(folder))
        files = checksums_of(folder) if names else {}
        for name in names:
            if name not in files or sha256_of(folder / name) != files[name]:
                raise PublishError(
                    f"{shown(folder)}: `{shown(name)}` is not as it was written here, and stays: move it"
                )
        remove_named(folder, names)
        manifest_of(folder).unlink(missing_ok=True)


def checksums_of(folder: Path) -> dict[str, str]:
    """The files of a folder of requests with their checksums, by its manifest.

    Raises:
        PublishError: When there is none.
        DamagedError: When it is damaged.
    """
    manifest = manifest_of(folder)
    if not manifest.is_file():
        raise PublishError(
            f"{shown(folder)}: {shown(manifest.name)} beside it is missing, which says what belongs to it"
        )
    files: dict[str, str] = read_sealed(manifest, FORMAT)["files"]
    return files


def unique(lists: Iterable[UserList], taken: str) -> Iterator[UserList]:
    """The lists, each user once: a second list of a user would replace the first without a word.

    It keeps 8 bytes or so of each user, not the id.
    """
    seen = {hash(taken)}
    for one in lists:
        if (key := hash(one.user)) in seen:
            raise PublishError(f"user {one.user} stands twice, apart in the file, or is the fallback's key")
        seen.add(key)
        yield one


def write_files(folder: Path, lines: Iterator[tuple[str, int]], requests_per_file: int) -> int:
    """Writes requests-00000.jsonl and so on."""
    count = 0
    for number, first in enumerate(lines):
        rest = chain([first], (line for _, line in zip(range(requests_per_file - 1), lines, strict=False)))
        with (folder / f"requests-{number:05}.jsonl").open("w", encoding="utf-8") as file:
            for text, users in rest:
                file.write(text + "\n")
                count += users
    return count


def send(client: Client, folder: Path, tries: int = 8, wait: Callable[[float], None] = time.sleep) -> int:
    """Sends a folder's requests and what DynamoDB hands back, with growing pauses. Returns the requests' number.

    Raises:
        PublishError: When a file is not as it was written, before anything is sent; or the table takes no more.
    """
    sent = 0
    files = checksums_of(folder)
    for name, checksum in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != checksum:
            raise PublishError(f"{shown(folder / name)} is damaged, or missing: publish the night again")
    for path in (folder / name for name in sorted(files)):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                send_one(client, json.loads(line)["RequestItems"], tries, wait)
                sent += 1
    return sent


def send_one(client: Client, left: dict[str, Any], tries: int, wait: Callable[[float], None]) -> None:
    """Sends one request until nothing of it is left."""
    for attempt in range(tries):
        left = client.batch_write_item(RequestItems=left).get("UnprocessedItems") or {}
        if not left:
            return
        wait(min(20.0, 0.1 * 2**attempt))
    raise PublishError(f"DynamoDB did not take all of a request in {tries} tries: raise the table's write capacity")
