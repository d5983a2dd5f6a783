"""The form that makes an upload token to try things with."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from jobs import intake, spec, tokens
from jobs.errors import InvalidSpec

EXAMPLE_JOB = """\
{
  "formats": {
    "jpg": {"settings": {"quality": 80}, "sizes": [[800, 600], [400, 300]]},
    "webp": {"settings": {"quality": 80}, "sizes": [[800]]}
  },
  "directHost": true,
  "subDir": "trial"
}"""
_LIFETIMES = {3600: "1 hour", 12 * 3600: "12 hours", 86400: "1 day", 7 * 86400: "7 days"}


def lifetimes() -> list[tuple[int, str]]:
    """Seconds and words, up to the longest that this server accepts."""
    longest = settings.PIXERVE.jwt_max_lifetime
    offered = [(seconds, words) for seconds, words in _LIFETIMES.items() if seconds <= longest]
    return offered or [(longest, f"{longest} seconds")]


class TrialTokenForm(forms.Form):
    """Subject, lifetime and job; what is wrong in the job is said with the name of its field.

    A valid form holds the `token`.
    """

    token: str | None = None

    subject = forms.CharField(
        max_length=tokens.MAX_SUBJECT,
        initial="trial",
        widget=UnfoldAdminTextInputWidget,
        help_text="Who owns the jobs: the token's sub.",
    )
    lifetime = forms.TypedChoiceField(
        coerce=int, choices=lifetimes, widget=UnfoldAdminSelectWidget, label="Valid for"
    )
    job = forms.CharField(
        max_length=tokens.MAX_TOKEN_BYTES,
        initial=EXAMPLE_JOB,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "false"}),
        help_text="What to make of each picture, as JSON.",
    )

    def clean_subject(self) -> str:
        subject: str = self.cleaned_data["subject"]
        if not subject.isprintable():
            raise forms.ValidationError("A subject is printable text.")
        return subject

    def clean_job(self) -> Any:
        try:
            return json.loads(self.cleaned_data["job"])
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from None

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        if not self.errors:
            self._check_job(given["job"], given["subject"])
        if not self.errors:
            self._issue(given)
        return given

    def _check_job(self, job: object, subject: str) -> None:
        try:
            intake.check_destinations(spec.parse(job), subject)
        except InvalidSpec as refused:
            found = refused.errors or [
                {"field": refused.field or "job", "message": refused.message}
            ]
            for each in found:
                self.add_error("job", f"{each['field']}: {each['message']}")

    def _issue(self, given: dict[str, Any]) -> None:
        try:
            self.token = tokens.issue(given["subject"], given["job"], lifetime_s=given["lifetime"])
        except tokens.KeyConfigError as error:
            self.add_error(None, f"No token can be made here: {error}.")
        except InvalidSpec as refused:
            self.add_error("job", refused.message)


def context(posted: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `admin/jobs/trial_token.html` shows: the form, or the token that it made."""
    form = TrialTokenForm(posted)
    token = form.token if form.is_valid() else None
    upload = f"{settings.PIXERVE.base_url}{reverse('upload')}"
    return {
        "title": "Trial token",
        "form": form,
        "token": token,
        "curl": f'curl -H "Authorization: Bearer {token}" -F file=@picture.jpg {upload}',
    }
