"""The end of a test that commits: its rows go.

Django's own flush empties every table and makes all permissions and content types anew, which
takes longer than most tests.
"""

from functools import cache

from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def empty_tables(case: TransactionTestCase) -> None:
    """Delete the rows of all tables that have any; the schema and what describes it stay."""
    for alias in case._databases_names(include_mirrors=False):
        connection = connections[alias]
        with connection.cursor() as cursor:
            cursor.execute(_which_have_rows(alias))
            filled = [name for (name,) in cursor.fetchall()]
        flush = connection.ops.sql_flush(no_style(), filled, allow_cascade=True)
        if filled:
            connection.ops.execute_sql_flush(flush)


@cache
def _which_have_rows(alias: str) -> str:
    names = connections[alias].introspection.django_table_names(only_existing=True)
    return " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})"  # noqa: S608 - names of our models
        for name in sorted({*names} - KEPT)
    )
