"""Credentials: the one thing besides users that staff edit here, by the functions of the API."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from credentials import secret, service, trial, usage
from credentials.errors import CredentialError
from credentials.models import Credential
from credentials.sealing import Unreadable
from delivery import backends
from jobs.admin.base import ReadOnlyAdmin, badge, moment, short
from jobs.admin.credential_form import CredentialForm

_LIST = "admin:credentials_credential_changelist"


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    """Who is staff may do here what staff may do in the API."""

    list_display = ("key", "type", "belongs_to", "readable", "fingerprint", "used", "updated")
    list_filter = ("type",)
    ordering = ("key",)
    search_fields = ("key",)  # shows the box; `find` searches
    search_help_text = "A key or an owner, exactly"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_view_permission(request)

    def find(self, rows: QuerySet[Credential], term: str) -> QuerySet[Credential]:
        return rows.filter(key=term) | rows.filter(owner=term)

    @admin.display(description="Owner")
    def belongs_to(self, credential: Credential) -> SafeString | str:
        return short(credential.owner) if credential.owner else "shared"

    @admin.display(description="State")
    def readable(self, credential: Credential) -> SafeString:
        return _state(secret.is_readable(credential))

    @admin.display(description="Last used")
    def used(self, credential: Credential) -> SafeString | str:
        return moment(credential.last_used_at)

    @admin.display(description="Changed")
    def updated(self, credential: Credential) -> SafeString | str:
        return moment(credential.updated_at)

    def get_urls(self) -> list[Any]:
        test = self.admin_site.admin_view(self.test_view)
        return [
            path("<uuid:pk>/test/", test, name="credentials_credential_test"),
            *super().get_urls(),
        ]

    def _staff(self, request: HttpRequest) -> str:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return request.user.get_username()

    def _gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        back: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return back

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """First the type is chosen, then its form is filled in."""
        who = self._staff(request)
        kind = request.GET.get("type", "")
        if kind not in backends.names():
            context = {"title": "Which kind of storage?", "kinds": backends.names()}
            return self.page(request, "admin/credentials/choose.html", **context)
        form = CredentialForm(kind, _posted(request))
        if request.method == "POST" and (made := form.save(who)):
            messages.success(request, f"{made.key} is registered. Test the connection now.")
            return HttpResponseRedirect(_page_of(made))
        return self.page(
            request, "admin/credentials/credential.html", title=f"New {kind} credential", form=form
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        who = self._staff(request)
        found = self.get_object(request, object_id)
        if found is None:
            return self._gone(request, object_id)
        stored, readable = _stored(found)
        form = CredentialForm(found.type, _posted(request), existing=found, stored=stored)
        if request.method == "POST" and (changed := form.save(who)):
            messages.success(request, f"{changed.key} is as you wrote it.")
            return HttpResponseRedirect(_page_of(changed))
        return self.page(
            request,
            "admin/credentials/credential.html",
            title=found.key,
            credential=found,
            form=form,
            state=_state(readable),
            readable=readable,
            history=service.history(found.key),
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        who = self._staff(request)
        found = self.get_object(request, object_id)
        if found is None:
            return self._gone(request, object_id)
        if request.method == "POST":
            try:
                service.delete(found.key, who=who)
            except CredentialError as refused:
                messages.error(request, f"{found.key} stays: {refused.message}.")
                return HttpResponseRedirect(_page_of(found))
            messages.success(request, f"{found.key} is deleted.")
            return HttpResponseRedirect(reverse(_LIST))
        users, more = usage.users(found)
        return self.page(
            request,
            "admin/credentials/delete.html",
            title=f"Delete {found.key}?",
            credential=found,
            users=users,
            more=more,
        )

    @method_decorator(require_POST)
    def test_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        """The button "Test connection"."""
        self._staff(request)
        found = self.get_object(request, str(pk))
        if found is None:
            return self._gone(request, str(pk))
        try:
            _tell(request, trial.run(found))
        except CredentialError as refused:
            messages.warning(request, refused.message)
        return HttpResponseRedirect(_page_of(found))


def _tell(request: HttpRequest, verdict: trial.Verdict) -> None:
    if verdict.ok:
        messages.success(
            request, f"It works: a probe was written, read and deleted in {verdict.duration_s} s."
        )
    else:
        messages.error(request, f"It does not work: {verdict.code}: {verdict.message}")


def _posted(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _stored(credential: Credential) -> tuple[frozenset[str], bool]:
    """The names of the secret fields that are set, and whether they can be read."""
    try:
        return frozenset(secret.take(credential)), True
    except Unreadable:
        return frozenset(), False


def _state(readable: bool) -> SafeString:
    return badge("completed", "Ready") if readable else badge("failed", "Unreadable")


def _page_of(credential: Credential) -> str:
    return reverse("admin:credentials_credential_change", args=[credential.pk])
