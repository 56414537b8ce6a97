"""The page of settings names every key, and its example is taken."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import fields

from planfold.runtime.settings import Settings, load_settings

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/settings.md"


def test_every_key_is_on_the_page() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(Settings.__struct_fields__)


def test_the_page_has_the_default_of_each_number() -> None:
    page = PAGE.read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `(\w+)` \| ([\d.,]+) \|", page, re.MULTILINE))
    numbers = {f.name: f.default for f in fields(Settings) if type(f.default) in (int, float)}
    assert {name: float(text.replace(",", "")) for name, text in said.items()} == numbers


def test_every_key_is_in_the_docstring() -> None:
    said = Settings.__doc__ or ""
    assert [name for name in Settings.__struct_fields__ if f"``{name}``" not in said] == []


def test_the_pages_example_is_taken(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "planfold.toml").write_text(example[1], encoding="utf-8")
    settings = load_settings(tmp_path, {})
    assert settings.models["local"].base_url.endswith("/v1")
    assert settings.policy.rules[0].program == "git"
