"""The form of a credential, made of the fields of its type.

Secrets are written, never shown: an input for one is always empty, and empty means "as it is".
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from credentials import fields, service
from credentials.errors import CredentialError
from credentials.fields import Field
from credentials.models import MAX_OWNER, Credential

PREFIX, FORGET = "data_", "forget_"
# A longer secret is a key file or a document, which a one-line input would break.
LONGEST_LINE = 1024
_OFF = {"autocomplete": "off", "spellcheck": "false"}


class _WriteOnlyText(UnfoldAdminTextareaWidget):  # type: ignore[misc]
    """A text area that never shows what was put into it."""

    def format_value(self, value: object) -> str:
        return ""


class CredentialForm(forms.Form):
    """Of a `kind`, for a new credential or an `existing` one. `save` does what the API does."""

    key = forms.CharField(
        widget=UnfoldAdminTextInputWidget(attrs=_OFF),
        help_text="The name that tokens use: letters, digits, “.”, “_” and “-”.",
    )
    owner = forms.CharField(
        required=False,
        max_length=MAX_OWNER,
        widget=UnfoldAdminTextInputWidget(attrs=_OFF),
        help_text="The only subject whose jobs may use it; empty for everybody's. The addresses of"
        " an owned credential are checked: no private networks.",
    )

    def __init__(
        self,
        kind: str,
        posted: Mapping[str, Any] | None = None,
        *,
        existing: Credential | None = None,
        stored: frozenset[str] = frozenset(),
    ) -> None:
        """`stored` names the secret fields that are set."""
        super().__init__(posted)
        self.kind = kind
        self.existing = existing
        self._known = fields.of(kind)
        if existing is not None:
            del self.fields["key"]
            self.fields["owner"].initial = existing.owner
        for field in sorted(self._known.values(), key=lambda each: not each.required):
            self.fields[PREFIX + field.name] = self._made(field, stored)
            if field.name in stored and not field.required:
                self.fields[FORGET + field.name] = _forget(field)

    def _made(self, field: Field, stored: frozenset[str]) -> forms.Field:
        common: dict[str, Any] = {
            "label": field.title,
            "required": field.required and field.name not in stored,
            "help_text": _help(field, field.name in stored),
        }
        if field.secret:
            return forms.CharField(strip=False, widget=_secret_widget(field), **common)
        if self.existing is not None:
            common["initial"] = self.existing.options.get(field.name)
        return _plain(field, common)

    def _data(self) -> dict[str, Any]:
        """What the form says, as `service.change` takes it."""
        data: dict[str, Any] = {}
        for name, field in self._known.items():
            value = self.cleaned_data.get(PREFIX + name)
            if self.cleaned_data.get(FORGET + name):
                value = value or None
            elif field.secret:
                value = value or ""
            elif value == "":
                value = None
            data[name] = value
        return data

    def save(self, who: str) -> Credential | None:
        """The credential, None where the form now says what is wrong with it."""
        if not self.is_valid():
            return None
        owner = self.cleaned_data["owner"]
        try:
            if self.existing is not None:
                return service.change(self.existing.key, data=self._data(), owner=owner, who=who)
            key = self.cleaned_data["key"]
            return service.create(key=key, kind=self.kind, data=self._data(), owner=owner, who=who)
        except CredentialError as refused:
            self._show(refused)
        return None

    def _show(self, refused: CredentialError) -> None:
        found = refused.errors or [{"field": refused.field or "", "message": refused.message}]
        for each in found:
            name = each["field"].replace("data.", PREFIX, 1)
            if name in self.fields:
                self.add_error(name, each["message"])
            else:
                self.add_error(None, f"{each['field']}: {each['message']}")


def _forget(field: Field) -> forms.Field:
    label = f"Forget the stored {field.title.lower()}"
    return forms.BooleanField(required=False, widget=UnfoldBooleanWidget, label=label)


def _help(field: Field, stored: bool) -> str:
    words = [field.description]
    if field.secret and stored:
        words.append("One is stored; leave this empty to keep it.")
    elif field.default not in (None, "") and field.kind not in {"switch", "choice"}:
        words.append(f"Default: {field.default}.")
    return " ".join(filter(None, words))


def _secret_widget(field: Field) -> forms.Widget:
    if (field.longest or 0) > LONGEST_LINE:
        widget: forms.Widget = _WriteOnlyText(attrs={"rows": 5, **_OFF, "class": "px-hidden-text"})
    else:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    return widget


def _plain(field: Field, common: dict[str, Any]) -> forms.Field:
    match field.kind:
        case "switch":
            if common.get("initial") is None:
                common["initial"] = field.default
            common["required"] = False
            return forms.BooleanField(widget=UnfoldBooleanWidget, **common)
        case "choice":
            default = f"Default: {field.default}" if field.default else "—"
            empty = [] if field.required else [("", default)]
            choices = [*empty, *((each, each) for each in field.choices)]
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
        case "whole":
            return forms.IntegerField(widget=UnfoldAdminDecimalFieldWidget, **common)
        case "number":
            return forms.FloatField(widget=UnfoldAdminDecimalFieldWidget, **common)
    if (field.longest or 0) > LONGEST_LINE:
        return forms.CharField(widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}), **common)
    return forms.CharField(widget=UnfoldAdminTextInputWidget(attrs=_OFF), **common)
