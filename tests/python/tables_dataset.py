"""A DATASET folder read by pyarrow alone."""

import json

import pyarrow.ipc


def read(path):
    """The rows of all splits (sorted) and both sides' features, in plain types."""
    manifest = json.loads((path / "dataset.json").read_text())
    sides = {side: side_of(path, manifest[side]) for side in ["users", "items"]}
    rows = []
    for split in ["train", "valid", "test"]:
        for file in manifest[split]["files"]:
            shard = pyarrow.ipc.open_file(str(path / file["name"])).read_all().to_pydict()
            count = len(shard["user"])
            columns = [
                [sides["users"][0][user] for user in shard["user"]],
                [sides["items"][0][item] for item in shard["item"]],
                shard.get("timestamp", [None] * count),
                shard.get("weight", [None] * count),
            ]
            rows.extend(zip(*columns))
    return {"rows": sorted(rows, key=repr), **{name: features for name, (_, features) in sides.items()}}


def side_of(path, info):
    """Raw ids by row, and decoded features by raw id."""
    tables = [pyarrow.ipc.open_file(str(path / info["file"]["name"])).read_all().to_pylist()]
    if info.get("unseen_file"):
        tables.append(pyarrow.ipc.open_file(str(path / info["unseen_file"]["name"])).read_all().to_pylist())
    rows = [row for table in tables for row in table]
    ids = [None if row["id"] is None else str(row["id"]) for row in rows]
    found = {}
    for entity, row in zip(ids[1:], rows[1:]):
        found[entity] = {feature["name"]: decoded(feature, row[feature["name"]]) for feature in info["features"]}
    return ids, found


def decoded(feature, code):
    """A category's text, a list's set of texts, a number's bucket; None, the empty set and 0 where it is missing."""
    match feature["kind"]:
        case "categorical":
            return None if code == 0 else feature["values"][code - 1]
        case "multi_hot":
            return {feature["values"][one - 1] for one in code}
        case "numeric":
            return code
