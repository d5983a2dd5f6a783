"""Successes and failures: the append-only records of how jobs ended."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.admin.base import ReadOnlyAdmin, badge, job_link, moment, short
from jobs.admin.job import newest_jobs
from jobs.models import Failure, Success


class RecordAdmin(ReadOnlyAdmin):
    """Rows link to their job, which shows all that a record holds."""

    list_display_links = None
    list_select_related = ("job",)
    search_fields = ("subject",)  # shows the box; `find` searches
    search_help_text = "Hash, reference, job id or subject, exactly"

    def find(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        return rows.filter(job__in=newest_jobs(term))

    @admin.display(description="Picture")
    def picture(self, record: Success | Failure) -> SafeString | str:
        return job_link(record.job_id, record.job.upload_name or "unnamed")

    @admin.display(description="Reference")
    def name(self, record: Success | Failure) -> SafeString:
        return format_html('<code class="px-code">{}…</code>', record.reference_id[:16])

    @admin.display(description="Subject")
    def owner_subject(self, record: Success | Failure) -> SafeString:
        return short(record.subject)

    @admin.display(description="When")
    def when(self, record: Success | Failure) -> SafeString | str:
        return moment(record.timestamp)


@admin.register(Success)
class SuccessAdmin(RecordAdmin):
    list_display = ("picture", "name", "owner_subject", "file_count", "output_size", "when")

    @admin.display(description="Output")
    def output_size(self, record: Success) -> str:
        return str(filesizeformat(record.output_bytes))


@admin.register(Failure)
class FailureAdmin(RecordAdmin):
    list_display = ("picture", "error", "reason", "owner_subject", "when")
    list_filter = ("code",)

    @admin.display(description="Error")
    def error(self, record: Failure) -> SafeString:
        return badge("failed", record.code)

    @admin.display(description="Reason")
    def reason(self, record: Failure) -> SafeString:
        return short(record.message)
