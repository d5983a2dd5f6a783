"""GET /schema and /docs: OpenAPI 3.1 that lists every call."""

import json
from typing import Any

import pytest
import yaml
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from jobs.spec_format import SizeSpec
from tests.api.caller import Api
from tests.jobs.specs import EVERYTHING, wrong_looks
from tests.server import EXAMPLE_JOB

# What only our own rules can see: the schema knows no fonts and no invisible text.
BEYOND_THE_SCHEMA = {"font", "text", "box"}
WRONG = {
    field: job
    for field, job in wrong_looks().items()
    if field.rpartition(".")[2] not in BEYOND_THE_SCHEMA
}

ROUTES = {
    ("/upload", "post"),
    ("/status", "get"),
    ("/cancel", "delete"),
    ("/failures", "get"),
    ("/success", "get"),
    ("/failures/list", "get"),
    ("/success/list", "get"),
    ("/files/{path}", "get"),
    ("/health", "get"),
    ("/healthz", "get"),
    ("/livez", "get"),
    ("/readyz", "get"),
    ("/version", "get"),
    ("/token", "post"),
    ("/token/refresh", "post"),
    ("/register", "post"),
    ("/tokens", "post"),
    ("/admin/credentials", "post"),
    ("/v1/credentials", "get"),
    ("/v1/credentials", "post"),
    ("/v1/credentials/{key}", "get"),
    ("/v1/credentials/{key}", "patch"),
    ("/v1/credentials/{key}", "delete"),
    ("/v1/credentials/{key}/test", "post"),
}


@pytest.fixture
def schema(api: Api) -> dict[str, Any]:
    answer = api.get("/schema")
    assert answer.status_code == 200
    found: dict[str, Any] = yaml.safe_load(answer.body)
    return found


def test_it_is_valid_openapi_3_1(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1.")
    validate_schema(schema)  # type: ignore[no-untyped-call]


def test_every_call_is_listed(schema: dict[str, Any]) -> None:
    listed = {
        (path, method)
        for path, methods in schema["paths"].items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    }
    assert listed >= ROUTES


def test_every_call_says_what_it_answers(schema: dict[str, Any]) -> None:
    for path, method in ROUTES - {("/files/{path}", "get")}:
        call = schema["paths"][path][method]
        assert call["summary"]
        assert call["operationId"]
        assert any(code.startswith("2") for code in call["responses"])


def test_every_refusal_is_a_problem(schema: dict[str, Any]) -> None:
    for path, method in ROUTES:
        for code, answer in schema["paths"][path][method]["responses"].items():
            if code.startswith("4") and "content" in answer:
                assert list(answer["content"]) == ["application/problem+json"], (path, code)


def test_it_comes_as_json_too(api: Api) -> None:
    answer = api.get("/schema", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    assert json.loads(answer.body)["openapi"].startswith("3.1.")


def test_answers_have_the_shape_that_the_schema_says(api: Api, schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    reference = api.finished()
    for path, name in ((f"/status?hash={reference}", "Status"), ("/health", "Health")):
        shape = shapes[name]
        found = api.get(path).json()
        assert set(shape["required"]) <= set(found) <= set(shape["properties"])


def test_docs_are_a_page_without_foreign_scripts(api: Api) -> None:
    answer = api.get("/docs")
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "swagger" in page.lower()
    assert "https://cdn" not in page


def test_the_job_of_a_token_is_described(schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    reference = "#/components/schemas/JobSpec"
    assert reference in schema["paths"]["/upload"]["post"]["description"]
    assert shapes["TokenRequestRequest"]["properties"]["job"] == {"$ref": reference}
    described = set(shapes["SizeSpec"]["properties"])
    assert described == {field.alias for field in SizeSpec.model_fields.values()}


@pytest.mark.parametrize("job", [EXAMPLE_JOB, EVERYTHING])
def test_what_is_taken_fits_the_described_job(schema: dict[str, Any], job: object) -> None:
    shape = Draft202012Validator({"$ref": "#/components/schemas/JobSpec", **schema})
    assert list(shape.iter_errors(job)) == []


def test_what_is_refused_does_not(schema: dict[str, Any]) -> None:
    shape = Draft202012Validator({"$ref": "#/components/schemas/JobSpec", **schema})
    assert [field for field, job in WRONG.items() if shape.is_valid(job)] == []
