"""Callbacks: what was told to whom, and how each attempt went."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from jobs.admin.base import ReadOnlyAdmin, badge, job_link, moment, short
from jobs.admin.job import newest_jobs
from jobs.models import Callback, CallbackState


@admin.register(Callback)
class CallbackAdmin(ReadOnlyAdmin):
    list_display = ("state_label", "address", "event", "picture", "attempts_made", "next", "made")
    list_display_links = ("address",)
    list_filter = ("state",)
    list_select_related = ("job",)
    search_fields = ("url",)  # shows the box; `find` searches
    search_help_text = "A job's hash, reference, id or subject, exactly"

    def find(self, rows: QuerySet[Callback], term: str) -> QuerySet[Callback]:
        return rows.filter(job__in=newest_jobs(term))

    @admin.display(description="State")
    def state_label(self, callback: Callback) -> SafeString:
        return badge(callback.state, callback.get_state_display())

    @admin.display(description="Address")
    def address(self, callback: Callback) -> SafeString:
        return short(callback.url)

    @admin.display(description="Picture")
    def picture(self, callback: Callback) -> SafeString | str:
        return job_link(callback.job_id, callback.job.upload_name or "unnamed")

    @admin.display(description="Next attempt")
    def next(self, callback: Callback) -> SafeString | str:
        return moment(callback.next_at if callback.state == CallbackState.WAITING else None)

    @admin.display(description="Created")
    def made(self, callback: Callback) -> SafeString | str:
        return moment(callback.created_at)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        callback, elsewhere = self.object_or_redirect(request, object_id)
        if elsewhere is not None or callback is None:
            return elsewhere or HttpResponseRedirect(reverse("admin:index"))
        return self.page(
            request,
            "admin/jobs/callback.html",
            title=f"Callback of {callback.job.upload_name}",
            callback=callback,
            attempts=list(callback.attempts.all()),
            payload=json.dumps(callback.payload, indent=2, ensure_ascii=False),
        )
