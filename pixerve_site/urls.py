"""Every route of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerView

from jobs.api.throttling import limited
from pixerve_site import dashboard, health
from pixerve_site.home import home
from pixerve_site.schema import SchemaView

urlpatterns = [
    path("", home, name="home"),
    path("", include("jobs.api.urls")),
    path("health", health.HealthView.as_view(), name="health"),
    path("healthz", health.HealthzView.as_view(), name="healthz"),
    path("livez", health.LivezView.as_view(), name="livez"),
    path("readyz", health.ReadyzView.as_view(), name="readyz"),
    path("version", health.VersionView.as_view(), name="version"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/figures", admin.site.admin_view(dashboard.figures_view), name="admin-figures"),
    path("admin/login/", limited(admin.site.login)),
    path("admin/", admin.site.urls),
]

handler400 = "jobs.api.problems.bad_request"
handler404 = "jobs.api.problems.page_not_found"
handler500 = "jobs.api.problems.server_error"
