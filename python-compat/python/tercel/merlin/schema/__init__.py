"""`merlin.schema`: the schema of a dataset: its columns and their tags.

>>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
>>> colour = ColumnSchema("colour", tags=["item", "categorical"])
>>> schema = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), colour])
>>> schema.select_by_tag(Tags.ITEM).column_names
['colour']
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from ..._absent import absent
from ..._counts import several, text_of
from ...errors import ConfigError, UnknownNameError
from .. import unused


class Tags(Enum):
    """The role of a column.

    >>> from tercel.merlin.schema import ColumnSchema, Tags
    >>> str(Tags.ITEM_ID), Tags.ITEM in ColumnSchema("sku", tags=[Tags.ITEM_ID]).tags
    ('item_id', True)
    """

    USER = "user"
    ITEM = "item"
    USER_ID = "user_id"
    ITEM_ID = "item_id"
    CATEGORICAL = "categorical"
    CONTINUOUS = "continuous"
    ID = "id"
    TIME = "time"
    TARGET = "target"
    SESSION = "session"
    CONTEXT = "context"
    LIST = "list"
    TEXT = "text"
    EMBEDDING = "embedding"

    def __str__(self) -> str:
        """The name of the tag."""
        return str(self.value)


_IMPLIED = {Tags.USER_ID: (Tags.USER, Tags.ID), Tags.ITEM_ID: (Tags.ITEM, Tags.ID)}


def _tag(tag: Tags | str) -> Tags:
    if isinstance(tag, Tags):
        return tag
    try:
        return Tags(str(tag).lower())
    except ValueError:
        known = ", ".join(map(str, Tags))
        raise ConfigError(f"tags: `{tag}` is not one of {known}", field="tags") from None


def _tags(tags: Iterable[Tags | str] | Tags | str) -> frozenset[Tags]:
    known = {_tag(tag) for tag in ([tags] if isinstance(tags, (Tags, str)) else several(tags, "tags"))}
    return frozenset(known.union(*(_IMPLIED.get(tag, ()) for tag in known)))


@dataclass(frozen=True)
class ColumnSchema:
    """A column: its name, its tags and further properties.

    >>> from tercel.merlin.schema import ColumnSchema
    >>> sorted(map(str, ColumnSchema("sku", tags=["item_id"]).tags))
    ['id', 'item', 'item_id']
    """

    name: str
    tags: frozenset[Tags] = frozenset()
    properties: dict[str, Any] = field(default_factory=dict)
    dtype: Any = None
    is_list: bool = False

    def __init__(
        self,
        name: str,
        tags: Iterable[Tags | str] | Tags | str = (),
        properties: dict[str, Any] | None = None,
        dtype: Any = None,
        is_list: bool = False,
        **others: Any,
    ) -> None:
        """Tags may be given by name. `USER_ID` implies `USER` and `ID`; `ITEM_ID` implies `ITEM` and `ID`."""
        unused("ColumnSchema", others, ("dims", "is_ragged"))
        for key, value in (
            ("name", text_of(name, "name")),
            ("tags", _tags(tags)),
            ("properties", dict(properties or {})),
            ("dtype", dtype),
            ("is_list", is_list),
        ):
            object.__setattr__(self, key, value)

    def with_tags(self, tags: Iterable[Tags | str] | Tags | str) -> ColumnSchema:
        """A copy with additional tags."""
        return replace(self, tags=self.tags | _tags(tags))

    def with_name(self, name: str) -> ColumnSchema:
        """A copy with another name."""
        return replace(self, name=name)

    def __hash__(self) -> int:
        """Hashes the name and the tags."""
        return hash((self.name, self.tags))


class Schema:
    """An ordered collection of columns.

    >>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
    >>> Schema([ColumnSchema("age", tags=["user", "continuous"]), "sku"]).excluding_by_tag(Tags.USER)
    Schema(sku: no tags)
    """

    def __init__(self, columns: Iterable[ColumnSchema | str] = ()) -> None:
        """Takes columns, or names of columns without tags."""
        self.column_schemas: dict[str, ColumnSchema] = {}
        for one in several(columns, "columns"):
            column = one if isinstance(one, ColumnSchema) else ColumnSchema(text_of(one, "columns"))
            self.column_schemas[column.name] = column

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.column_schemas)

    @property
    def first(self) -> ColumnSchema:
        """The first column."""
        for column in self:
            return column
        raise UnknownNameError("schema: no columns: none has the requested tag or name")

    def select_by_tag(self, tags: Iterable[Tags | str] | Tags | str) -> Schema:
        """The columns that have at least one of the tags."""
        exact = {_tag(tag) for tag in ([tags] if isinstance(tags, (Tags, str)) else several(tags, "tags"))}
        return Schema(column for column in self if column.tags & exact)

    def excluding_by_tag(self, tags: Iterable[Tags | str] | Tags | str) -> Schema:
        """The columns that have none of the tags."""
        kept = self.select_by_tag(tags)
        return Schema(column for column in self if column.name not in kept.column_schemas)

    def select_by_name(self, names: Iterable[str] | str) -> Schema:
        """The columns with these names."""
        wanted = [names] if isinstance(names, str) else several(names, "names")
        return Schema(self[name] for name in wanted)

    select = select_by_name

    def excluding_by_name(self, names: Iterable[str]) -> Schema:
        """The columns except those with these names."""
        left_out = {text_of(name, "names") for name in several(names, "names")}
        return Schema(column for column in self if column.name not in left_out)

    without = excluding_by_name
    remove_by_tag = excluding_by_tag

    def __add__(self, other: Schema) -> Schema:
        """The columns of both schemas."""
        return Schema([*self, *other])

    def __iter__(self) -> Iterator[ColumnSchema]:
        """Iterates over the columns."""
        return iter(self.column_schemas.values())

    def __len__(self) -> int:
        """The number of columns."""
        return len(self.column_schemas)

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of this name."""
        return name in self.column_schemas

    def __getitem__(self, name: str) -> ColumnSchema:
        """The column of this name."""
        if not isinstance(name, str) or name not in self.column_schemas:
            words = ", ".join(self.column_schemas) or "no columns"
            raise UnknownNameError(f"schema: no column `{name}`; it has {words}", path="schema", column=str(name))
        return self.column_schemas[name]

    def __eq__(self, other: object) -> bool:
        """Whether the columns are the same."""
        return isinstance(other, Schema) and self.column_schemas == other.column_schemas

    def __hash__(self) -> int:
        """Hashes the names."""
        return hash(tuple(self.column_schemas))

    def __repr__(self) -> str:
        """The names and tags of the columns."""
        words = (f"{c.name}: {', '.join(sorted(map(str, c.tags))) or 'no tags'}" for c in self)
        return f"Schema({'; '.join(words)})"


__all__ = ["ColumnSchema", "Schema", "Tags"]
__getattr__ = absent("tercel.merlin.schema", __all__)
