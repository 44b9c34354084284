"""The documents as a site: it builds without a warning, has every page, and asks no other host."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: What a browser loads without being asked, and where its address stands.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def build(folder: Path, docs: Path) -> subprocess.CompletedProcess[str]:
    """Build ``docs`` below ``folder`` with the settings of this project."""
    shutil.copytree(docs, folder / "docs")
    text = (ROOT / "zensical.toml").read_text()
    (folder / "zensical.toml").write_text(text.replace(".venv/site", "site"))
    command = [Path(sys.executable).parent / "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder, DOCS)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def files_of(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        for target in entry.values():
            yield from files_of(target) if isinstance(target, list) else (target,)


def test_the_navigation_has_every_page_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(files_of(nav)) == sorted(
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")
    )


class Addresses(HTMLParser):
    """Collects what a page loads, and what may load more in a browser."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADED.get(tag, ""))
        if address and values.get("rel") not in ("canonical", "edit"):
            self.addresses.append(address)
        if {*(values.get("class") or "").split()} & {"mermaid", "glightbox", "pyodide"}:
            self.addresses.append(f"//{values['class']}")


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > len([*DOCS.rglob("*.md")])  # one for what is not there
    for page in pages:
        parser = Addresses()
        parser.feed(page.read_text())
        assert [each for each in parser.addresses if "//" in each] == [], page
        assert any("assets/" in each for each in parser.addresses), page
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text().replace('"', ""), sheet


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "source"
    docs.mkdir()
    for path in DOCS.rglob("*.md"):
        (docs / path.relative_to(DOCS)).parent.mkdir(exist_ok=True)
        (docs / path.relative_to(DOCS)).write_text("# Page\n")
    (docs / "glossary.md").write_text("# Page\n\n[lost](tutorial.md#nowhere)\n")
    (tmp_path / "project").mkdir()
    done = build(tmp_path / "project", docs)
    assert done.returncode != 0
    assert "anchor does not exist" in done.stdout + done.stderr
