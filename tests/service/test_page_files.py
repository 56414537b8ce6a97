"""The files of the page: what is sent, with which headers, and where the libraries are from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from served import Served, serve

from planfold.service.assets import ASSETS, is_page, page_files

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "src/planfold/service/page"
VENDOR = FOLDER / "vendor"
OWN = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.*s")}
PATHS = ["/", "/inbox", "/new", "/schedules", "/plans/plan-1", "/plans/a%20b", f"{ASSETS}main.js"]
LINK = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    async with serve(f"sqlite:///{folder}/plans.db", work=False) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
async def test_the_page_runs_only_what_comes_from_here(site: Served, path: str) -> None:
    answer = await site.http.get(path)
    assert answer.status_code == 200
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "set-cookie" not in answer.headers


async def test_a_file_that_the_browser_has_is_not_sent_again(site: Served) -> None:
    first = await site.http.get(f"{ASSETS}style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await site.http.get(
        f"{ASSETS}style.css", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    plain = await site.http.get(f"{ASSETS}style.css", headers={"Accept-Encoding": "identity"})
    assert plain.content == first.content == (FOLDER / "style.css").read_bytes()


@pytest.mark.parametrize("path", ["nothing.js", "../routes.py", "vendor", "", "vendor/vendor.json"])
async def test_nothing_else_is_sent(site: Served, path: str) -> None:
    assert (await site.http.get(ASSETS + path)).status_code == 404


async def test_a_link_from_another_site_leads_to_the_page_and_nowhere_else(site: Served) -> None:
    for path in PATHS[:-1]:
        assert (await site.http.get(path, headers=LINK)).status_code == 200
    headers = site.headers() | LINK
    for path in ("/v1/plans", "/v1/me", "/openapi.json", "/livez", f"{ASSETS}main.js"):
        assert (await site.http.get(path, headers=headers)).status_code == 403, path
    framed = LINK | {"Sec-Fetch-Dest": "iframe"}
    fetched = LINK | {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    for headers in (framed, fetched, {"Sec-Fetch-Site": "cross-site"}):
        assert (await site.http.get("/", headers=headers)).status_code == 403
    rebound = LINK | {"Host": "attacker.example"}
    assert (await site.http.get("/", headers=rebound)).status_code == 421
    assert (await site.http.post("/", headers=LINK)).status_code == 403
    assert (
        await site.http.get("/", headers=LINK | {"Origin": "http://attacker.example"})
    ).status_code == 403


async def test_only_documents_are_pages() -> None:
    for path in (
        "/v1/plans",
        "/plans/",
        "/plans/a/b",
        "/inbox/x",
        "/assets/main.js",
        "//",
        "/newer",
    ):
        assert not is_page(path), path


async def test_the_page_weighs_at_most_150_kb() -> None:
    weight = sum(len(asset.compressed) for asset in page_files().values())
    assert 10_000 < weight <= 150_000


async def test_the_libraries_are_those_of_the_list() -> None:
    index = json.loads((VENDOR / "vendor.json").read_text())
    listed = {name: digest for entry in index for name, digest in entry["sha256"].items()}
    assert listed.keys() == {path.name for path in VENDOR.iterdir()} - {"vendor.json"}
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    for entry in index:
        assert entry["licence"] in ("MIT", "Apache-2.0")
        assert any(name.endswith("LICENSE") for name in entry["sha256"])


@pytest.mark.parametrize("file", sorted(OWN))
async def test_a_module_is_short_and_makes_no_markup_of_texts(file: str) -> None:
    text = OWN[file]
    assert len(text.splitlines()) <= 400
    assert not re.search(
        r"innerHTML|outerHTML|dangerously|insertAdjacent|document\.write|\beval\b|new Function",
        text,
    )
    assert "://" not in text
    for name in re.findall(r'from "(\./[^"]+)"', text):
        assert (FOLDER / name).exists(), name


async def test_the_document_has_no_code_of_its_own() -> None:
    text = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/assets/main.js">']
    assert not re.search(r"\son\w+=|style=|javascript:|<style", text)
    for name in re.findall(r'(?:src|href)="/assets/([^"]+)"', text):
        assert name in page_files(), name
