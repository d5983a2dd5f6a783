"""What django-unfold reads of the settings: name, colours and side bar of the admin."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _link(title: str, icon: str, view: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(view), **more}


def _needs(permission: str) -> Any:
    return lambda request: request.user.has_perm(permission)


def _at(*names: str) -> Any:
    """Marks a link on the pages whose route has one of these names, not by its path."""
    return lambda request: request.resolver_match.url_name in names


_JOB_PAGES = ("jobs_job_changelist", "jobs_job_change", "jobs_job_act")
_JOBS = [
    _link("Dashboard", "monitoring", "admin:index"),
    _link("Jobs", "photo_library", "admin:jobs_job_changelist", active=_at(*_JOB_PAGES)),
    _link("Successes", "check_circle", "admin:jobs_success_changelist"),
    _link("Failures", "error", "admin:jobs_failure_changelist"),
    _link("Callbacks", "call_made", "admin:jobs_callback_changelist"),
    _link("Hosted files", "folder_open", "admin:jobs_hostedfile_changelist"),
]
_CREDENTIAL_PAGES = tuple(
    f"credentials_credential_{each}" for each in ("changelist", "add", "change", "delete")
)
_STORAGE = [
    _link(
        "Credentials",
        "cloud_upload",
        "admin:credentials_credential_changelist",
        active=_at(*_CREDENTIAL_PAGES),
    ),
    _link("Health", "monitor_heart", "admin:jobs_storagehealth_changelist"),
]
_TRY = [
    _link("Trial token", "key", "admin:jobs_trial_token"),
    _link("Start page", "upload", "home", active=_at("home")),
    _link("API", "menu_book", "docs"),
]
_PEOPLE = [
    _link("Users", "person", "admin:auth_user_changelist", permission=_needs("auth.view_user")),
    _link("Groups", "group", "admin:auth_group_changelist", permission=_needs("auth.view_group")),
]

UNFOLD = {
    "SITE_TITLE": "Pixerve",
    "SITE_HEADER": "Pixerve",
    "SITE_SYMBOL": "photo_library",
    "SITE_URL": reverse_lazy("home"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("pixerve/icon.svg"),
        }
    ],
    "STYLES": [lambda request: static("pixerve/admin.css")],
    "SCRIPTS": [lambda request: static("pixerve/times.js")],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "pixerve_site.dashboard.add_figures",
    "COLORS": {
        "primary": {
            "50": "#eef4ff",
            "100": "#dbe6fe",
            "200": "#bfd3fe",
            "300": "#93b4fd",
            "400": "#6090fa",
            "500": "#3b6cf6",
            "600": "#254eeb",
            "700": "#1d3bd8",
            "800": "#1e33af",
            "900": "#1e308a",
            "950": "#171f54",
        }
    },
    "SIDEBAR": {
        "navigation": [
            {"items": _JOBS},
            {"title": "Storage", "separator": True, "items": _STORAGE},
            {"title": "Try", "separator": True, "items": _TRY},
            {"title": "People", "separator": True, "items": _PEOPLE},
        ],
    },
}
