"""The page in a browser, with names as people give them: nothing is cut, no two names overlap."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from report_cases import make_result, write_report

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
NAME = "Store number {} at the Upper Market Square of Saint Somewhere-upon-the-River"
TARGETS = (
    "units_sold_including_returns_and_exchanges_of_all_kinds",
    "revenue_after_all_discounts_in_euro_and_before_the_taxes_of_the_country",
)
#: Where the title of each panel and its caption stand.
_TITLES = """() => [...document.querySelectorAll('svg text')]
  .filter((text) => /Store|MASE/.test(text.firstChild.textContent))
  .map((text) => text.getBoundingClientRect())
  .map((box) => [box.top, box.bottom, box.left, box.right])"""


def test_long_names_fit_on_wide_and_narrow_screens(tmp_path: Path) -> None:
    result = make_result()
    entities = np.array([[NAME.format(shop)] for shop in result.entities[:, 0]], dtype=object)
    schema = result.schema.model_copy(update={"name": "a_name_" * 12, "targets": TARGETS})
    write_report(tmp_path, replace(result, entities=entities, schema=schema))
    (page_file,) = tmp_path.rglob("index.html")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path="/usr/bin/chromium", args=_FLAGS.split()
        )
        page = opened.new_page()
        requests: list[str] = []
        page.on("request", lambda sent: requests.append(sent.url))
        for width in (1280, 420):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            titles = page.evaluate(_TITLES)
            assert len(titles) >= 8
            assert min(bottom - top for top, bottom, *_ in titles) > 8  # pixels, to be read
            assert not [pair for pair in combinations(titles, 2) if _overlap(*pair)]
            picked = page.locator("#explore-series")
            assert picked.locator("option").count() == len({*entities[:, 0]})
            picked.select_option(index=1)
            page.locator("#explore-target").select_option(index=1)
            page.locator("#explore-plot").hover()
            words = page.locator("#explore-readout").text_content() or ""
            assert re.match(r"2024-\d\d-\d\d, [123] ahead of 2024-\d\d-\d\d: actual ", words)
            page.locator("#explore-plot").press("ArrowRight")
            assert (page.locator("#explore-readout").text_content() or "") != ""
        assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
        whole = page.locator("svg text title").first.text_content()
        opened.close()
    assert whole is not None
    assert whole in {name[0] for name in entities}


def _overlap(one: list[float], other: list[float]) -> bool:
    """Whether two boxes share more than their edges."""
    (top, bottom, left, right), (up, down, begin, end) = one, other
    return min(bottom, down) - max(top, up) > 2 and min(right, end) - max(left, begin) > 2


@pytest.mark.parametrize("limit", [12, 26])
def test_a_shortened_name_has_its_ends(limit: int) -> None:
    from framework_report.plots import shortened

    name = "Store number 228 of the river"
    short = shortened(name, limit)
    start, end = short.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert len(short) <= limit
    assert shortened("north", limit) == "north"
