"""Operations for migrations that run beside an older version: see docs/deploy.md, Upgrade."""

from typing import Any

from django.db.migrations.operations import AddIndex


class AddIndexBeside(AddIndex):
    """AddIndex during which others go on writing. Its migration needs `atomic = False`.

    PostgreSQL builds it concurrently; what is left of one that was cut off is built anew.
    """

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        model = to_state.apps.get_model(app_label, self.model_name)
        schema_editor.add_index(model, self.index, concurrently=True)
