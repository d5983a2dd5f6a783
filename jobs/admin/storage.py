"""How deliveries to each storage go; the credential's own page tries the connection."""

import time

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery import breaker
from jobs import storages
from jobs.admin.base import ReadOnlyAdmin, badge, moment, short
from jobs.models import Delivery, DeliveryState, StorageHealth

_WORDS = {
    "closed": ("completed", "Well"),
    "half_open": ("pending", "Being tried"),
    "open": ("failed", "Paused"),
}
_FAILING = ("pending", "Failing")


@admin.register(StorageHealth)
class StorageHealthAdmin(ReadOnlyAdmin):
    """Read from real deliveries, so a storage is here once a file went there."""

    list_display = ("health", "storage", "waiting", "in_a_row", "success", "trouble", "reason")
    list_display_links = None
    ordering = ("credential_key",)
    search_fields = ("credential_key",)  # shows the box; `find` searches
    search_help_text = "A credential's key, exactly"

    def find(self, rows: QuerySet[StorageHealth], term: str) -> QuerySet[StorageHealth]:
        return rows.filter(pk=term)

    @admin.display(description="State")
    def health(self, row: StorageHealth) -> SafeString:
        state = breaker.state(storages.breaker_of(row), time.time())
        return badge(*(_FAILING if state == "closed" and row.failures else _WORDS[state]))

    @admin.display(description="Storage")
    def storage(self, row: StorageHealth) -> SafeString:
        return short(row.credential_key)

    @admin.display(description="Waiting")
    def waiting(self, row: StorageHealth) -> int:
        waiting = Delivery.objects.filter(state=DeliveryState.WAITING)
        return waiting.filter(credential_key=row.pk).count()

    @admin.display(description="Failures in a row")
    def in_a_row(self, row: StorageHealth) -> int:
        return row.failures

    @admin.display(description="Last delivery")
    def success(self, row: StorageHealth) -> SafeString | str:
        return moment(row.last_success_at)

    @admin.display(description="Last error")
    def trouble(self, row: StorageHealth) -> SafeString | str:
        return moment(row.last_error_at)

    @admin.display(description="Reason")
    def reason(self, row: StorageHealth) -> SafeString | str:
        if not row.last_error_code:
            return "—"
        return format_html(
            '<code class="px-code">{}</code> {}', row.last_error_code, row.last_error_message
        )
