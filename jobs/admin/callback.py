"""Callbacks: what was told to whom, and how each attempt went."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from jobs import callbacks
from jobs.admin.base import ReadOnlyAdmin, badge, job_link, moment, short
from jobs.admin.job import newest_jobs
from jobs.models import Callback, CallbackState

MOST_CALLBACKS = 200


@admin.register(Callback)
class CallbackAdmin(ReadOnlyAdmin):
    list_display = ("state_label", "address", "event", "picture", "attempts_made", "next", "made")
    list_display_links = ("address",)
    list_filter = ("state",)
    list_select_related = ("job", "event")
    search_fields = ("url",)  # shows the box; `find` searches
    actions = ("send_again",)
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

    @admin.action(description="Send again")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Callback]) -> None:
        chosen = list(queryset.values_list("pk", flat=True)[:MOST_CALLBACKS])
        self._replay(request, Callback.objects.filter(pk__in=chosen), len(chosen))

    def _replay(self, request: HttpRequest, rows: QuerySet[Callback], asked: int) -> None:
        """Do it, and say what happened."""
        if count := callbacks.replay(rows):
            messages.success(request, f"{count} callback{'s' if count > 1 else ''} will be sent.")
        if busy := asked - count:
            messages.warning(request, f"{busy} being sent at this moment already.")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.send_again_view)
        return [path("<int:pk>/send/", view, name="jobs_callback_send"), *super().get_urls()]

    @method_decorator(require_POST)
    def send_again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The button of the callback's page."""
        callback = get_object_or_404(Callback, pk=pk)
        self._replay(request, Callback.objects.filter(pk=callback.pk), 1)
        return HttpResponseRedirect(reverse("admin:jobs_callback_change", args=[pk]))

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
            payload=json.dumps(callback.event.payload, indent=2, ensure_ascii=False),
        )
