"""The API's routes, as docs/api.md lists them."""

from django.urls import path

from jobs.api import accounts, credentials, events, files, jobs, records, status, upload

urlpatterns = [
    path("upload", upload.UploadView.as_view(), name="upload"),
    path("status", status.StatusView.as_view(), name="status"),
    path("cancel", status.CancelView.as_view(), name="cancel"),
    path("success", status.SuccessView.as_view(), name="success"),
    path("failures", status.FailureView.as_view(), name="failures"),
    path("success/list", records.SuccessListView.as_view(), name="success-list"),
    path("failures/list", records.FailureListView.as_view(), name="failure-list"),
    path("v1/jobs", jobs.JobsView.as_view(), name="jobs"),
    path("v1/jobs/replay", jobs.ReplayJobsView.as_view(), name="jobs-replay"),
    path("v1/jobs/<uuid:job_id>", jobs.JobView.as_view(), name="job"),
    path("v1/jobs/<uuid:job_id>/replay", jobs.ReplayJobView.as_view(), name="job-replay"),
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
    path("admin/credentials", credentials.OriginalDoorView.as_view(), name="original-credentials"),
    path("v1/credentials", credentials.CredentialsView.as_view(), name="credentials"),
    path("v1/credentials/<str:key>", credentials.CredentialView.as_view(), name="credential"),
    path(
        "v1/credentials/<str:key>/test",
        credentials.CredentialTestView.as_view(),
        name="credential-test",
    ),
]
