"""What drf-spectacular cannot see by itself, added to the OpenAPI document."""

from typing import Any

from jobs.api.problems import CONTENT_TYPE
from jobs.spec import JobSpec

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_BYTES = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

FILES: dict[str, Any] = {
    "operationId": "file",
    "summary": "A hosted file; HEAD, conditions and ranges work as in RFC 9110",
    "tags": ["files"],
    "parameters": [
        {"in": "path", "name": "path", "required": True, "schema": {"type": "string"}},
        {"in": "header", "name": "Range", "schema": {"type": "string"}},
        {"in": "header", "name": "If-None-Match", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {"description": "the file", "content": _BYTES},
        "206": {"description": "one range of it", "content": _BYTES},
        "304": {"description": "as the caller has it"},
        **{
            code: {"description": text, "content": {CONTENT_TYPE: {"schema": _PROBLEM}}}
            for code, text in (("404", "no such file"), ("416", "no byte in this range"))
        },
    },
}


def finish(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: `/files` is no API view, problems have a type of their own, and
    the shape of a token's `job` is known to pydantic."""
    result["paths"]["/files/{path}"] = {"get": FILES}
    result["components"]["schemas"] |= job_schemas()
    for methods in result["paths"].values():
        for call in methods.values():
            for answer in call["responses"].values():
                _mark_problem(answer.get("content", {}))
    return result


def _mark_problem(content: dict[str, Any]) -> None:
    if content.get("application/json", {}).get("schema") == _PROBLEM:
        content[CONTENT_TYPE] = content.pop("application/json")


def job_schemas() -> dict[str, Any]:
    """JobSpec and what it is made of, as components: what a token's `job` may be."""
    whole = JobSpec.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = whole.pop("$defs")
    return {"JobSpec": whole, **parts}
