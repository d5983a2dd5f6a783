"""The filters of the job list; each narrows by an index or by the newest ids."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from jobs.models import Failure, Job
from jobs.states import State

_AGES = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
}


class PriorityFilter(SimpleListFilter):
    """Realtime or queued."""

    title = "priority"
    parameter_name = "priority"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [("realtime", "Realtime (0)"), ("queued", "Queued (1 and above)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        match self.value():
            case "realtime":
                return queryset.filter(priority=0)
            case "queued":
                return queryset.filter(priority__gte=1)
        return queryset


class CreatedFilter(SimpleListFilter):
    """How long ago the upload was accepted."""

    title = "created"
    parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(key, label) for key, (label, _) in _AGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        age = _AGES.get(self.value() or "")
        return queryset.filter(created_at__gte=timezone.now() - age[1]) if age else queryset


class ErrorFilter(SimpleListFilter):
    """Failed jobs with one error code; offers the codes that there are."""

    title = "error"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        codes = Failure.objects.order_by("code").values_list("code", flat=True).distinct()
        return [(code, code) for code in codes[:50]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        code = self.value()
        return queryset.filter(state=State.FAILED, error_code=code) if code else queryset
