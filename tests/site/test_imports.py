"""Imports run one way, so that each package can be read without the ones above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixerve_site.config import PROJECT_ROOT

OURS = {"encoders", "delivery", "credentials", "jobs", "pixerve_site", "tests", "benchmarks"}
MAY_IMPORT = {
    "encoders": set(),
    "delivery": set(),
    "credentials": {"delivery"},
    "jobs": {"encoders", "delivery", "credentials"},
    "pixerve_site": {"encoders", "delivery", "credentials", "jobs"},
}
WITHOUT_DJANGO = ("encoders", "delivery")


def modules(package: str) -> list[Path]:
    return sorted((PROJECT_ROOT / package).rglob("*.py"))


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside of functions included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def strangers(package: str, allowed: set[str], among: set[str]) -> list[str]:
    return [
        f"{file.relative_to(PROJECT_ROOT)}:{line} imports {name}"
        for file in modules(package)
        for line, name in imported(file)
        if (top := name.partition(".")[0]) in among and top not in {package, *allowed}
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_one_way(package: str) -> None:
    assert modules(package)
    assert strangers(package, MAY_IMPORT[package], OURS) == []


@pytest.mark.parametrize("package", WITHOUT_DJANGO)
def test_these_know_no_django(package: str) -> None:
    web = {"django", "rest_framework", "django_q", "rest_framework_simplejwt", "pydantic_settings"}
    assert strangers(package, set(), web) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_are_absolute(package: str) -> None:
    relative = [
        f"{file}:{line}"
        for file in modules(package)
        for line, name in imported(file)
        if name.startswith(".")
    ]
    assert relative == []


def test_the_web_loads_no_decoder() -> None:
    """Native code for pixels belongs into the converter's child alone."""
    pixels = {"wand", "PIL"}
    for package in ("jobs", "credentials", "delivery", "pixerve_site"):
        assert strangers(package, set(), pixels) == []
