"""The API's routes, as docs/api.md lists them."""

from django.urls import path

from jobs.api import accounts, events, files, records, status, upload

urlpatterns = [
    path("upload", upload.UploadView.as_view(), name="upload"),
    path("status", status.StatusView.as_view(), name="status"),
    path("cancel", status.CancelView.as_view(), name="cancel"),
    path("success", status.SuccessView.as_view(), name="success"),
    path("failures", status.FailureView.as_view(), name="failures"),
    path("success/list", records.SuccessListView.as_view(), name="success-list"),
    path("failures/list", records.FailureListView.as_view(), name="failure-list"),
    path("v1/events", events.EventsView.as_view(), name="events"),
    path(
        "v1/callbacks/<uuid:message_id>/replay",
        events.ReplayView.as_view(),
        name="callback-replay",
    ),
    path("files/<path:path>", files.hosted_file, name="file"),
    path("token", accounts.TokenView.as_view(), name="token"),
    path("token/refresh", accounts.RefreshView.as_view(), name="token-refresh"),
    path("register", accounts.RegisterView.as_view(), name="register"),
    path("tokens", accounts.UploadTokensView.as_view(), name="upload-tokens"),
]
