"""What every list of the admin shares."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

MOST_ROWS = 10_000
PER_PAGE = 50


class Window(Paginator):  # type: ignore[type-arg]
    """The newest 10 000 rows of a list: counting stops there, and so does paging."""

    template_name = "admin/jobs/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows[:MOST_ROWS].count()

    @property
    def cut(self) -> bool:
        """Whether there may be older rows than those that can be paged to."""
        return self.count >= MOST_ROWS


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """A list that staff may read, as in the API, and that nobody edits.

    Newest first and in no other order, because only the id has an index for every filter.
    """

    paginator = Window
    list_per_page = PER_PAGE
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # facets would count every row
    ordering = ("-id",)
    sortable_by: Sequence[str] = ()
    list_disable_select_all = True
    actions: Any = None

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Exact matches by an index only: see `find`."""
        term = search_term.strip()
        return (self.find(queryset, term) if term else queryset), False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        # Equal counts keep the frame from offering "show all".
        changes.full_result_count = changes.result_count
        return changes

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """Those of `rows` that `term` names: none, where a page does not say how to search it."""
        return rows.none()

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """A page of our own in the admin's frame."""
        request.current_app = self.admin_site.name
        frame = self.admin_site.each_context(request)
        return TemplateResponse(request, template, {**frame, "opts": self.opts, **context})

    def object_or_redirect(
        self, request: HttpRequest, object_id: str
    ) -> tuple[Any | None, HttpResponse | None]:
        """The row, or where to go without it. Raises PermissionDenied for what is no read."""
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            return None, self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return found, None


def beginning(field: str, text: str) -> Q:
    """Rows whose `field` begins with `text`, by an index.

    For SQLite that is a range, as its LIKE does not use one; where text is sorted as people do it,
    as PostgreSQL may, a range is something else.
    """
    if connection.vendor == "sqlite":
        return Q((f"{field}__gte", text), (f"{field}__lt", text + "\U0010ffff"))
    return Q((f"{field}__startswith", text))


def first_that_finds(readings: Sequence[QuerySet[Any]]) -> QuerySet[Any]:
    """A search term can be read in several ways: the first reading that finds something."""
    return next((rows for rows in readings[:-1] if rows.exists()), readings[-1])


def job_link(pk: int | None, text: object) -> SafeString | str:
    """A link to a job's page; bare text where the job's record is gone."""
    if pk is None:
        return str(text)
    url = reverse("admin:jobs_job_change", args=[pk])
    return format_html('<a class="px-link" href="{}"><bdi>{}</bdi></a>', url, text)


def short(text: str, title: str | None = None) -> SafeString:
    """Text that is cut with an ellipsis where it is too long; all of it on hover."""
    return format_html('<bdi class="px-short" title="{}">{}</bdi>', title or text, text)


def badge(kind: str, text: str) -> SafeString:
    """A small coloured label; `kind` is a state's value."""
    return format_html('<span class="px-state px-{}">{}</span>', kind, text)


def moment(at: datetime | None) -> SafeString | str:
    """A point in time in UTC, which a script turns into the reader's own zone."""
    if at is None:
        return "—"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        at.strftime("%b %d, %H:%M:%S"),
    )


def span(length: timedelta | None) -> str:
    """A duration in the unit that suits it: `420 ms`, `3.1 s`, `2 m 5 s`, `3 h 10 m`."""
    if length is None:
        return "—"
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} m {rest} s"
    return f"{minutes // 60} h {minutes % 60} m"


def elapsed(start: datetime, end: datetime | None) -> str:
    """From `start` to `end`, or until now."""
    return span((end or timezone.now()) - start)
