"""Rows without the ORM's machinery, for the few statements that every job runs.

What the database does for such a row takes less than a tenth of a millisecond, what the ORM does to
build the statement several times as long, and anew for every job. Here the text of a statement is
made once from the model; values go through the model's fields, as with the ORM, so that both
databases get and give what they would there. There are no defaults and no signals.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

from django.db import connection
from django.db.models import Field, Model
from django.db.models.expressions import Col

_PLAIN = frozenset(
    {
        "BigAutoField",
        "BigIntegerField",
        "BooleanField",
        "CharField",
        "FloatField",
        "ForeignKey",
        "PositiveIntegerField",
        "TextField",
    }
)

M = TypeVar("M", bound=Model)
Values = Mapping[str, Any]


def insert(model: type[Model], rows: Sequence[Values], *, replace_by: str | None = None) -> None:
    """Insert `rows`, which all name the same fields; a field that they do not name is NULL.

    Where `replace_by` names a unique field, a row with the same value there is overwritten.
    """
    if rows:
        names = tuple(rows[0])
        values = _prepared(model, ((name, row[name]) for row in rows for name in names))
        with connection.cursor() as cursor:
            cursor.execute(_insert_sql(model, names, len(rows), replace_by), values)


def insert_one(model: type[Model], values: Values) -> int:
    """Insert a row, as `insert` does; returns its id."""
    sql = f"{_insert_sql(model, tuple(values), 1, None)} RETURNING {_columns(model, ['id'])[0]}"
    with connection.cursor() as cursor:
        cursor.execute(sql, _prepared(model, values.items()))
        [[pk]] = cursor.fetchall()
    return int(pk)


def update(model: type[Model], changes: Values, *, where: Values) -> int:
    """Write `changes` to the rows that have all the values of `where`; returns how many.

    A tuple there stands for any of its values; an empty one for none, and then there is no row.
    """
    if () in where.values():
        return 0
    wanted = {
        name: value if isinstance(value, tuple) else (value,) for name, value in where.items()
    }
    counts = tuple((name, len(several)) for name, several in wanted.items())
    sql = _update_sql(model, tuple(changes), counts)
    each = ((name, value) for name, several in wanted.items() for value in several)
    values = [*_prepared(model, changes.items()), *_prepared(model, each)]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def fetch(model: type[M], sql: str, values: Values) -> M | None:
    """The object of the first row that `sql` finds or returns; its columns are `columns(model)`."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        # To the end: SQLite commits a statement that returns rows when its last one was read.
        found = cursor.fetchall()
    if not found:
        return None
    readers = _readers(model)
    read = [reader.read(value) for reader, value in zip(readers, found[0], strict=True)]
    return model.from_db(connection.alias, [reader.name for reader in readers], read)


def columns(model: type[Model]) -> str:
    """All columns of a model as `fetch` reads them, for SQL."""
    return ", ".join(_columns(model, (field.name for field in model._meta.concrete_fields)))


@dataclass(frozen=True)
class _Reader:
    """How the database's value of a column becomes that of an object's attribute."""

    name: str
    column: Col
    converters: tuple[Callable[[Any, Col, Any], Any], ...]

    def read(self, value: Any) -> Any:
        for convert in self.converters:
            value = convert(value, self.column, connection)
        return value


@cache
def _readers(model: type[Model]) -> list[_Reader]:
    columns = [field.get_col(model._meta.db_table) for field in model._meta.concrete_fields]
    return [
        _Reader(
            column.target.attname,
            column,
            (*connection.ops.get_db_converters(column), *column.get_db_converters(connection)),
        )
        for column in columns
    ]


def _prepared(model: type[Model], values: Iterable[tuple[str, Any]]) -> list[Any]:
    return [
        value if _is_plain(model, name) else _field(model, name).get_db_prep_save(value, connection)
        for name, value in values
    ]


@cache
def _field(model: type[Model], name: str) -> "Field[Any, Any]":
    return cast("Field[Any, Any]", model._meta.get_field(name))


@cache
def _is_plain(model: type[Model], name: str) -> bool:
    """Whether the database takes the field's values as they are; asking the field is not free."""
    return _field(model, name).get_internal_type() in _PLAIN


@cache
def _insert_sql(
    model: type[Model], names: tuple[str, ...], count: int, replace_by: str | None
) -> str:
    columns = _columns(model, names)
    row = f"({', '.join(['%s'] * len(columns))})"
    sql = f"""INSERT INTO {_table(model)} ({", ".join(columns)})
              VALUES {", ".join([row] * count)}"""  # noqa: S608 - names of the model
    if replace_by:
        (unique,) = _columns(model, [replace_by])
        changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns)
        sql += f" ON CONFLICT ({unique}) DO UPDATE SET {changes}"
    return sql


@cache
def _update_sql(
    model: type[Model], changes: tuple[str, ...], where: tuple[tuple[str, int], ...]
) -> str:
    """`where` has the names of columns, each with the number of its values."""
    columns = _columns(model, (name for name, _ in where))
    wanted = (
        f"{column} IN ({', '.join(['%s'] * count)})"
        for column, (_, count) in zip(columns, where, strict=True)
    )
    return f"""UPDATE {_table(model)}
                  SET {", ".join(f"{column} = %s" for column in _columns(model, changes))}
                WHERE {" AND ".join(wanted)}
            """  # noqa: S608 - names of the model


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _columns(model: type[Model], names: Iterable[str]) -> list[str]:
    return [connection.ops.quote_name(str(_field(model, name).column)) for name in names]
