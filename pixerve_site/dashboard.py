"""The admin's first page: the jobs' figures beside the health of what makes them."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.defaultfilters import filesizeformat

from jobs import cluster, dashboard, leases
from pixerve_site import health, version


def _workers() -> dict[str, Any]:
    """Whether this host's cluster runs; a host may have none, its workers being elsewhere."""
    owner = cluster.main_process()
    if owner is None:
        return {"ok": True, "detail": "none on this host"}
    # It is of this data folder, so one of another boot ended with that.
    if not leases.is_here(owner) and not leases.is_of_another_boot(owner):
        return {"ok": True, "detail": "in another container or on another host"}
    if not leases.lives_here(owner):
        return {"ok": False, "detail": "not running on this host"}
    return {"ok": True, "detail": f"{settings.PIXERVE.max_workers} running"}


def _queue(check: dict[str, Any]) -> str:
    if "oldest_s" not in check:
        return str(check["detail"])
    if not check["oldest_s"]:
        return "nothing waits"
    return f"oldest waits {check['oldest_s']:.0f} s (limit {check['limit_s']} s)"


def _staging(check: dict[str, Any]) -> str:
    if "free_bytes" not in check:
        return str(check["detail"])
    return f"{filesizeformat(check['free_bytes'])} free"


def checks() -> list[dict[str, Any]]:
    """What must be well, each as {name, ok, detail} with the detail in words."""
    ready = health.readiness()
    details = {
        "database": str(ready["database"].get("detail", "answers")),
        "queue": _queue(ready["queue"]),
        "staging": _staging(ready["staging"]),
    }
    found = [{"name": name, "ok": ready[name]["ok"], "detail": details[name]} for name in details]
    return [*found, {"name": "workers", **_workers()}]


def snapshot() -> dict[str, Any]:
    """All that the page shows."""
    return {
        "checks": checks(),
        "version": version.VERSION,
        "uptime": health.uptime(health.uptime_s()),
        **dashboard.figures(),
    }


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For UNFOLD's DASHBOARD_CALLBACK: the page starts with the figures it then polls for."""
    return {**context, "figures": snapshot()}


def figures_view(request: HttpRequest) -> HttpResponse:
    """GET /admin/figures: the same as JSON, for staff."""
    return JsonResponse(snapshot())
