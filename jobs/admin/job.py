"""Jobs: the list, its search and its actions; `job_page` makes the page of one."""

import contextlib
import re
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from jobs import names
from jobs.admin import actions, job_page, trial_token
from jobs.admin.actions import ACTIONS
from jobs.admin.base import (
    MOST_ROWS,
    ReadOnlyAdmin,
    badge,
    elapsed,
    first_that_finds,
    moment,
    short,
)
from jobs.admin.filters import CreatedFilter, ErrorFilter, PriorityFilter
from jobs.models import Job
from jobs.states import State

_HEX_PREFIX = re.compile(r"[0-9a-f]{6,64}")


def find_jobs(rows: QuerySet[Job], term: str) -> QuerySet[Job]:
    """Jobs by id, reference, SHA-256 (or the first six digits and more of it), else by subject."""
    readings = []
    if names.REFERENCE.fullmatch(term):
        readings.append(rows.filter(reference=term))
    if _HEX_PREFIX.fullmatch(term):
        # A range, because LIKE with an escape character cannot use SQLite's index.
        readings.append(rows.filter(sha256__gte=term, sha256__lt=term + "g"))
    with contextlib.suppress(ValueError):
        readings.append(rows.filter(uid=uuid.UUID(term)))
    return first_that_finds([*readings, rows.filter(subject=term)])


def newest_jobs(term: str) -> QuerySet[Job, Any]:
    """The ids of the newest jobs that `term` names, for the lists of what belongs to them."""
    return find_jobs(Job.objects.order_by("-id"), term).values("pk")[:MOST_ROWS]


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "state_label",
        "name",
        "owner_subject",
        "progress",
        "created",
        "duration",
        "size",
        "priority",
    )
    list_display_links = ("name",)
    list_filter = ("state", PriorityFilter, CreatedFilter, ErrorFilter)
    search_fields = ("uid",)  # shows the box; `find` searches
    search_help_text = "Hash, reference, job id or subject, exactly"
    actions = ("cancel_jobs", "replay_jobs", "delete_job_outputs")

    def find(self, rows: QuerySet[Job], term: str) -> QuerySet[Job]:
        return find_jobs(rows, term)

    @admin.display(description="State")
    def state_label(self, job: Job) -> SafeString:
        return badge(job.state, job.get_state_display())

    @admin.display(description="Picture")
    def name(self, job: Job) -> SafeString:
        return short(job.upload_name or "unnamed")

    @admin.display(description="Subject")
    def owner_subject(self, job: Job) -> SafeString:
        return short(job.subject)

    @admin.display(description="Outputs")
    def progress(self, job: Job) -> SafeString | str:
        count = f"{job.done} of {job.total}"
        if job.state == State.FAILED:
            return format_html('<code class="px-code">{}</code>', job.error_code)
        if job.state == State.PROCESSING:
            return f"{count} · {job.stage}"
        return count

    @admin.display(description="Size")
    def size(self, job: Job) -> str:
        return str(filesizeformat(job.source_bytes))

    @admin.display(description="Created")
    def created(self, job: Job) -> SafeString | str:
        return moment(job.created_at)

    @admin.display(description="Took")
    def duration(self, job: Job) -> str:
        return elapsed(job.created_at, job.finished_at)

    @admin.action(description="Cancel")
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return actions.on_many(self, request, actions.CANCEL, queryset)

    @admin.action(description="Replay")
    def replay_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return actions.on_many(self, request, actions.REPLAY, queryset)

    @admin.action(description="Delete outputs")
    def delete_job_outputs(
        self, request: HttpRequest, queryset: QuerySet[Job]
    ) -> HttpResponse | None:
        return actions.on_many(self, request, actions.DELETE_OUTPUTS, queryset)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("trial-token/", wrap(self.trial_token_view), name="jobs_trial_token"),
            path("<int:pk>/act/<slug:name>/", wrap(self.act_view), name="jobs_job_act"),
            *super().get_urls(),
        ]

    def trial_token_view(self, request: HttpRequest) -> HttpResponse:
        """The form that makes an upload token."""
        return self.page(
            request,
            "admin/jobs/trial_token.html",
            opts=None,
            **trial_token.context(request.POST or None),
        )

    @method_decorator(require_POST)
    def act_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """A button of the job's page."""
        if name not in ACTIONS:
            raise Http404
        job = get_object_or_404(Job, pk=pk)
        action, back = ACTIONS[name], _page_of(job)
        asked = actions.ask_or_perform(self, request, action, [job], again={}, back=back)
        return asked or HttpResponseRedirect(_page_of(job))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job, elsewhere = self.object_or_redirect(request, object_id)
        if elsewhere is not None or job is None:
            return elsewhere or HttpResponseRedirect(reverse("admin:index"))
        return self.page(
            request, "admin/jobs/job.html", title=job.upload_name, **job_page.context(job)
        )


def _page_of(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])
