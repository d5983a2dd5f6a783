"""Files that lie below /files/, with the job that put them there."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import links
from jobs.admin import actions
from jobs.admin.base import ReadOnlyAdmin, beginning, job_link
from jobs.models import HostedFile


@admin.register(HostedFile)
class HostedFileAdmin(ReadOnlyAdmin):
    list_display = ("link", "media_type", "size", "job_page")
    list_display_links = None
    list_select_related = ("job",)
    search_fields = ("path",)  # shows the box; `find` searches
    search_help_text = "The path, or its beginning"
    actions = ("delete_files",)

    @admin.action(description="Delete files")
    def delete_files(
        self, request: HttpRequest, queryset: QuerySet[HostedFile]
    ) -> HttpResponse | None:
        return actions.on_many(self, request, actions.DELETE_FILES, queryset)

    def find(self, rows: QuerySet[HostedFile], term: str) -> QuerySet[HostedFile]:
        return rows.filter(beginning("path", term.removeprefix("/").removeprefix("files/")))

    @admin.display(description="Path")
    def link(self, hosted: HostedFile) -> SafeString:
        url = reverse("file", args=[hosted.path]) + (
            links.query(hosted.path) if hosted.private else ""
        )
        return format_html(
            '<a class="px-link px-short" href="{}" title="{}">{}</a>', url, hosted.path, hosted.path
        )

    @admin.display(description="Size")
    def size(self, hosted: HostedFile) -> str:
        return str(filesizeformat(hosted.bytes))

    @admin.display(description="Job")
    def job_page(self, hosted: HostedFile) -> SafeString | str:
        return job_link(hosted.job_id, hosted.job.upload_name) if hosted.job else "record purged"
