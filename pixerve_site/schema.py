"""The OpenAPI document, made once."""

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class SchemaView(SpectacularAPIView):
    """Kept as it was written, by media type: to make it takes the time of many uploads, anybody may
    ask for it, and it is the same for all."""

    content_negotiation_class = DefaultContentNegotiation
    _written: ClassVar[dict[str, tuple[str | bytes, str]]] = {}

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        kind = str(renderer.media_type)
        if kind not in self._written:
            made = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            content = renderer.render(made.data, kind, {})
            self._written[kind] = content, made.headers["Content-Disposition"]
        content, disposition = self._written[kind]
        return HttpResponse(
            content, content_type=kind, headers={"Content-Disposition": disposition}
        )
