"""Sealing anew, under the newest key, everything that is sealed.

Each app registers its columns of sealed texts. A row is changed by one UPDATE that names the old
text: what a running server wrote meanwhile is never lost, and a run that was killed at any point is
simply begun again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from credentials.sealing import Unreadable, is_newest, newest_key_id, seal, unseal

_BATCH = 200
_MOST_PASSES = 10


@dataclass(frozen=True)
class Column:
    """A text column of `model`. `purpose` is what a row's text is bound to; `key_id_field` names
    the column that says which key sealed it, if there is one."""

    model: type[Model]
    field: str
    purpose: Callable[[Any], str]
    key_id_field: str = ""
    related: tuple[str, ...] = ()


@dataclass
class Rotated:
    """How many texts were sealed anew, and which rows no known key opens."""

    resealed: int = 0
    unreadable: list[str] = field(default_factory=list)


_columns: dict[str, Column] = {}


def register(column: Column) -> None:
    """`rotate` looks at this column too."""
    _columns[f"{column.model._meta.label}.{column.field}"] = column


def rotate() -> Rotated:
    """Seal all anew. A server that still had the older keys may have written since we looked: so
    it is looked again until nothing is left to do."""
    done = Rotated()
    for _ in range(_MOST_PASSES):
        one = _pass()
        done.resealed += one.resealed
        done.unreadable = one.unreadable
        if not one.resealed:
            break
    return done


def _pass() -> Rotated:
    done = Rotated()
    for column in _columns.values():
        for row in _rows(column):
            _reseal(column, row, done)
    return done


def _rows(column: Column) -> Iterator[Any]:
    """All rows that hold something, a few at a time, so that no lock and no memory is held."""
    rows: Any = column.model._default_manager.select_related(*column.related)
    rows = rows.exclude(**{column.field: ""}).order_by("pk")
    batch = list(rows[:_BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:_BATCH])


def _reseal(column: Column, row: Any, done: Rotated) -> None:
    old, purpose = getattr(row, column.field), column.purpose(row)
    if is_newest(old, purpose=purpose):
        return
    try:
        value = unseal(old, purpose=purpose)
    except Unreadable:
        done.unreadable.append(f"{column.model._meta.verbose_name} {row.pk}")
        return
    new = {column.field: seal(value, purpose=purpose)}
    if column.key_id_field:
        new[column.key_id_field] = newest_key_id()
    same = column.model._default_manager.filter(pk=row.pk, **{column.field: old})
    done.resealed += same.update(**new)
