"""The documentation says what the code does: settings, routes, codes, links."""

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from dotenv import dotenv_values
from pydantic.alias_generators import to_camel

from credentials.errors import CredentialError
from delivery.backends import errors as errors_of_stores
from delivery.errors import DeliveryError
from delivery.retry import SCHEDULE
from docs import make_pictures
from encoders import plan, registry, typefaces
from encoders.errors import PictureError
from encoders.look import MAX_TRIM, Fit, Gravity
from jobs import spec, spec_look, tokens
from jobs.errors import Refused
from jobs.spec_format import SettingsSpec, SizeSpec
from jobs.spec_look import LookSpec, WatermarkSpec
from jobs.states import State
from pixerve_site.config import OTHER_NAMES, PREFIX, PROJECT_ROOT, SECRET_FIELDS, Config
from pixerve_site.management.commands.serve import TRIAL_JOB
from tests.server import IMAGES

PAGES = sorted(
    [*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").glob("*.md"), *IMAGES.glob("*.md")]
)
PACKAGES = ("jobs", "encoders", "delivery", "credentials", "pixerve_site")
# Functions beside the error classes that take a code: the place of it among the arguments.
CODE_AT = {"_refuse": 0, "fail": 1, "Notice": 0, "Attempt": 2, "Verdict": 1}
CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")


def read(name: str) -> str:
    return (PROJECT_ROOT / name).read_text(encoding="utf-8")


# --- settings


def table_of_settings(name: str) -> dict[str, str]:
    """Field name -> the text of the default's cell, of the page's settings section."""
    section = read(name).partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `PIXERVE_([A-Z_]+)` \| ([^|]+?) \|", section, re.MULTILINE)
    return {field.lower(): default for field, default in rows if field not in OTHER_NAMES}


def is_default(field: str, text: str) -> bool:
    """Whether `text`, parsed as a setting is parsed, gives the default of the field."""
    default = getattr(Config(), field)
    parsed = getattr(Config(**{field: text}), field)
    return bool(parsed == default)


def is_empty_or_computed(field: str) -> bool:
    info = Config.model_fields[field]
    return info.default_factory is not None or info.default in (None, "", ())


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_settings_table_has_every_setting_with_its_default(page: str) -> None:
    rows = table_of_settings(page)
    assert set(rows) == set(Config.model_fields)
    for field in Config.model_fields:
        quoted = re.fullmatch("`([^`]+)`", rows[field])
        if quoted is None:
            assert is_empty_or_computed(field), f"{page}: {field} has a default"
        else:
            assert is_default(field, quoted[1]), f"{page}: {field} is not {quoted[1]} by default"


def test_operations_names_the_other_variables_and_secret_files() -> None:
    page = read("docs/operations.md")
    for name in OTHER_NAMES:
        assert f"`{PREFIX}{name}" in page
    for field in SECRET_FIELDS:
        assert f"`{PREFIX}{field.upper()}`" in page.partition("## Secrets")[2]


def test_the_env_example_has_every_setting_with_its_default() -> None:
    lines = re.findall(r"^# (PIXERVE_[A-Z_]+=.*)$", read(".env.example"), re.MULTILINE)
    values = dotenv_values(stream=io.StringIO("\n".join(lines)))
    fields = {name.removeprefix(PREFIX).lower(): value for name, value in values.items()}
    assert len(lines) == len(values)
    assert set(fields) == set(Config.model_fields)
    for field, value in fields.items():
        assert is_default(field, value) if value else is_empty_or_computed(field), field


def test_nothing_in_the_env_example_is_set() -> None:
    assert dotenv_values(PROJECT_ROOT / ".env.example") == {}


# --- routes


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Every route of ours; the admin's own pages are Django's."""
    for each in resolver.url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            yield route
        elif each.namespace is None:
            yield from routes(each, route)
        else:
            yield route


def test_every_route_is_in_the_api_page() -> None:
    page = read("docs/api.md")
    found = ["/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route) for route in routes(get_resolver())]
    assert "/files/{path}" in found
    missing = [route for route in found if not re.search(rf"{re.escape(route)}[`?]", page)]
    assert not missing


# --- codes


def subclasses(cls: type[Exception]) -> Iterator[str]:
    yield cls.__name__
    for each in cls.__subclasses__():
        yield from subclasses(each)


def places_of_codes() -> dict[str, int]:
    """What is called with a code, and the place of the code among the arguments."""
    assert issubclass(errors_of_stores.NoBucket, DeliveryError), "its tree is whole"
    errors = [*subclasses(Refused), *subclasses(PictureError), *subclasses(DeliveryError)]
    errors += subclasses(CredentialError)
    return dict.fromkeys(errors, 0) | CODE_AT


def name_of(call: ast.Call) -> str:
    called = call.func
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def text_of(node: ast.expr) -> str | None:
    """The code in a constant, or at the start of an f-string like `code: message`."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return None
    code = node.value.partition(":")[0]
    return code if CODE.fullmatch(code) else None


def codes_in(path: Path) -> Iterator[str]:
    places = places_of_codes()
    if path.name == "errors.py":
        places["__init__"] = 0  # a class whose code is always the same
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and (place := places.get(name_of(node))) is not None:
            named = [keyword.value for keyword in node.keywords if keyword.arg == "error"]
            for argument in [*node.args[place : place + 1], *named]:
                if code := text_of(argument):
                    yield code


def codes_of_pictures() -> set[str]:
    """Those that the tree of `encoders.errors` draws."""
    tree = (PROJECT_ROOT / "encoders" / "errors.py").read_text(encoding="utf-8")
    return set(re.findall(r"[├└]── ([a-z]+_[a-z_]+)", tree))


def all_codes() -> set[str]:
    files = [path for package in PACKAGES for path in (PROJECT_ROOT / package).rglob("*.py")]
    return codes_of_pictures().union(*(codes_in(path) for path in files))


def test_the_search_for_codes_finds_each_kind() -> None:
    known = {
        "invalid_token",  # by way of a helper
        "body_too_large",  # outside of jobs
        "worker_lost",  # of a job, without an exception
        "disk_full",  # from a table of error numbers
        "url_scheme",
        "dns_failed",  # fixed by its class
        "headers_unreadable",  # an attempt without an exception
        "alpha_lost",  # a warning
        "method_not_allowed",
        "credential_unreadable",  # the outcome of a trial
        "credential_in_use",
    }
    assert known <= all_codes()


def test_every_code_is_in_the_api_page() -> None:
    quoted = set(re.findall(r"`([a-z_]+)`", read("docs/api.md")))
    assert not all_codes() - quoted


def test_every_code_of_the_error_tables_is_in_the_source() -> None:
    tables = read("docs/api.md").partition("## Errors")[2]
    cells = re.findall(r"^\|(?: \d+ \|)? (`[a-z_`, ]+`)(?: \*)? \|", tables, re.MULTILINE)
    listed = {code for cell in cells for code in re.findall(r"[a-z_]+", cell)}
    assert len(listed) > 50
    assert not listed - all_codes()


# --- facts that pages repeat


def test_the_api_page_has_the_limits_of_the_code() -> None:
    page = read("docs/api.md")
    assert f"at most {tokens.MAX_TOKEN_BYTES // 1024} KiB" in page
    assert f"may differ by {tokens.LEEWAY_S} seconds" in page
    assert f"1 to {tokens.MAX_SUBJECT} printable" in page
    assert f"at most {spec.MAX_SUB_DIR} characters" in page
    assert f"1 to {spec.MAX_PRIORITY} are queued" in page
    named = [0, 5, 60, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 24 * 3600]
    assert [*SCHEDULE] == named, "docs/api.md names the waits between attempts"
    assert Config().callback_schedule == SCHEDULE
    for name in registry.names():
        assert f"`{name}`" in page


def test_every_field_of_the_job_is_in_the_api_page() -> None:
    page = read("docs/api.md")
    for name, field in spec.JobSpec.model_fields.items():
        assert f"| `{field.alias or name}`" in page


SECTIONS = {
    "### Sizes and names": SizeSpec.model_fields.keys() - LookSpec.model_fields.keys(),
    "### Settings": SettingsSpec.model_fields.keys(),
    "### The look": LookSpec.model_fields.keys(),
    "### Watermark": WatermarkSpec.model_fields.keys(),
}
DEFAULTS = {"inside", "center", "srgb", "strip", "south-east", "#ffffff", "DejaVu Sans"}


def rows(heading: str) -> dict[str, str]:
    """Field -> the rest of its row, of the first table below a heading."""
    section = read("docs/api.md").partition(f"\n{heading}\n")[2].partition("\n\n| format")[0]
    section = section.partition("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_option_is_in_the_api_page(heading: str) -> None:
    assert set(rows(heading)) == {to_camel(name) for name in SECTIONS[heading]}


def test_the_options_have_the_limits_and_defaults_of_the_code() -> None:
    looks, settings, mark = rows("### The look"), rows("### Settings"), rows("### Watermark")
    for name in ("sharpen", "blur"):
        assert "sigma {} to {} pixels".format(*spec_look.SIGMAS) in looks[name]
    assert f"0 to {MAX_TRIM}; `true` is {spec_look.DEFAULT_TRIM}" in looks["trim"]
    assert f"1 to {spec_look.MAX_TEXT} characters, at most {spec_look.MAX_LINES}" in mark["text"]
    assert "{} to {} pixels".format(*spec_look.FONT_SIZES) in mark["size"]
    assert f"0 to {spec_look.MAX_MARGIN} pixels" in mark["margin"]
    assert f"{plan.COLORS.start} to {plan.COLORS.stop - 1}" in settings["colors"]
    assert all(f"`{word}`" in looks["fit"] for word in get_args(Fit))
    assert all(f"`{word}`" in looks["gravity"] for word in get_args(Gravity))
    assert all(f"`{name}`" in mark["font"] for name in typefaces.families(None))
    for found, model in ((looks, LookSpec), (settings, SettingsSpec), (mark, WatermarkSpec)):
        for name, field in model.model_fields.items():
            if field.default in DEFAULTS or type(field.default) in {int, float}:
                assert found[to_camel(name)].split(" | ")[1].strip("`") == str(field.default)


def test_the_table_of_settings_has_every_format() -> None:
    page = read("docs/api.md").partition("| format | uses |")[2].partition("\n\n")[0]
    uses = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert uses.keys() == set(registry.names())
    for name in registry.names():
        assert registry.settings_of(name) == set(re.findall(r"`(\w+)`", uses[name])), name


def test_the_examples_of_the_options_are_good() -> None:
    section = read("docs/api.md").partition("## What a token can ask for")[2]
    example = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert example is not None
    job: dict[str, Any] = json.loads(example[1])
    assert [each.name for each in spec.parse(job).formats["jpg"].outputs] == [None, None, "thumb"]


def test_the_pictures_show_every_option_and_are_small() -> None:
    shown = set()
    for _, _, _, wishes in make_pictures.SHEETS.values():
        named = [{**wish, "name": str(index)} for index, wish in enumerate(wishes)]
        assert spec.parse({"formats": {"png": {"sizes": named}}, "directHost": True})
        shown |= {key for wish in wishes for key in wish}
    for _, _, cells in make_pictures.ZOOMED.values():
        for kind, how in cells:
            assert spec.parse({"formats": {kind: {"settings": how}}, "directHost": True})
            shown |= how.keys()
    # Speed and the order of the bytes are not to be seen, metadata has a table.
    unseen = {"speed", "progressive", "metadata"}
    drawn = {to_camel(name) for model in (LookSpec, SettingsSpec) for name in model.model_fields}
    assert drawn - unseen - {"trim"} <= shown
    files = {path.stem: path for path in (PROJECT_ROOT / "docs/images/options").iterdir()}
    assert set(files) == {*make_pictures.SHEETS, *make_pictures.ZOOMED, "trim"}
    assert sum(path.stat().st_size for path in files.values()) < 700_000
    page = read("docs/api.md")
    assert all(f"(images/options/{path.name})" in page for path in files.values())


def test_the_example_job_of_the_api_page_is_good() -> None:
    token = re.search(r"```json\n(\{\n  \"iss\".*?)```", read("docs/api.md"), re.DOTALL)
    assert token is not None
    job: dict[str, Any] = json.loads(token[1])["job"]
    assert spec.parse(job).direct_host


def test_the_glossary_has_every_state() -> None:
    page = read("docs/glossary.md")
    for state in State:
        assert f"| `{state}` |" in page


def test_operations_has_every_command() -> None:
    page = read("docs/operations.md")
    found = (PROJECT_ROOT / package / "management" / "commands" for package in PACKAGES)
    commands = {path.stem for folder in found for path in folder.glob("[a-z]*.py")}
    assert {"serve", "prune_jobs", "rotate_credential_keys"} <= commands
    for command in commands:
        assert f"`manage.py {command}" in page


def test_the_tour_asks_for_what_the_trial_token_makes() -> None:
    tour = read("README.md")
    assert f"/files/{TRIAL_JOB['subDir']}/" in tour
    formats: Any = TRIAL_JOB["formats"]
    [[side]] = formats["webp"]["sizes"]
    assert f"_imn_large_{side}_{side}_.webp" in tour


@pytest.mark.sql
@pytest.mark.django_db
def test_the_queries_of_the_alerts_run_and_read_no_whole_table() -> None:
    [block] = re.findall(r"```sql\n(.*?)```", read("docs/deploy.md"), re.DOTALL)
    queries = re.findall(r"^SELECT [^;]+;", block, re.MULTILINE)
    assert len(queries) == 9
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute(query)
            cursor.fetchall()
            if connection.vendor == "sqlite":
                cursor.execute(f"EXPLAIN QUERY PLAN {query}")
                plan = " ".join(row[-1] for row in cursor.fetchall())
                assert "SEARCH" in plan or "django_q" in query, plan


# --- links


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(path, fragment) of every relative link or picture outside code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = unquote(target).partition("#")
            yield path, fragment


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for path, fragment in links(page):
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {path}"
        if fragment:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{page.name}: {path}#{fragment}"


def test_the_search_for_links_finds_them() -> None:
    found = set(links(PROJECT_ROOT / "README.md"))
    assert ("docs/operations.md", "settings") in found
    assert ("docs/images/admin.png", "") in found
