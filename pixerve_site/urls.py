"""Every route of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from jobs.api.throttling import limited
from pixerve_site import health

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("", include("jobs.api.urls")),
    path("health", health.HealthView.as_view(), name="health"),
    path("healthz", health.HealthzView.as_view(), name="healthz"),
    path("livez", health.LivezView.as_view(), name="livez"),
    path("readyz", health.ReadyzView.as_view(), name="readyz"),
    path("version", health.VersionView.as_view(), name="version"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("admin/login/", limited(admin.site.login)),
    path("admin/", admin.site.urls),
]

handler400 = "jobs.api.problems.bad_request"
handler404 = "jobs.api.problems.page_not_found"
handler500 = "jobs.api.problems.server_error"
