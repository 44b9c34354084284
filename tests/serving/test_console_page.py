"""The console in a browser: what it draws is what the server answers, it asks nobody else, and it
says what is wrong.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry
from framework.testing.servers.fake_server import ENTITY, make_deployment, server_process

_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        profile, flags = tmp_path_factory.mktemp("profile"), _FLAGS.split()
        opened = playwright.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", args=flags
        )
        opened.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pairs")
    make_deployment(made)
    FolderRegistry(made).calibrate(3)
    FolderRegistry(made).refuse("production", 3, "it is too wrong")
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with server_process("fastapi", {"port": 0, "reload": {"seconds": 0.2}}, folder) as (_, made):
        yield made


@contextmanager
def opened(browser: BrowserContext, address: str) -> Iterator[tuple[Page, list[str]]]:
    """The page, and what it should not have done: errors in its console, requests to others."""
    page, wrong = browser.new_page(), list[str]()
    page.on(
        "console",
        lambda message: (
            wrong.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address.partition("#")[0], "data:"))
            else wrong.append(request.url)
        ),
    )
    page.goto(address)
    yield page, wrong
    page.close()


def cells(page: Page, column: str) -> list[float | None]:
    found = page.locator(f"#forecast-numbers td[data-column='{column}']")
    return [
        None if value is None else float(value)
        for value in (cell.get_attribute("data-value") for cell in found.all())
    ]


def choose(page: Page, words: str, name: str) -> None:
    """As a keyboard does it."""
    entity = page.get_by_role("combobox", name="Entity")
    entity.fill(words)
    expect(page.locator("#entities [role=option]")).to_have_text([name])
    entity.press("Enter")
    expect(entity).to_have_value(name)


def test_one_series_without_a_key_is_not_searched_for(browser: BrowserContext, url: str) -> None:
    def without_keys(route: Route) -> None:
        pair = route.fetch().json()
        pair["schema"]["entity_keys"] = []
        route.fulfill(json=pair)

    with opened(browser, f"{url}/") as (page, _):
        page.route("**/pair", without_keys)
        page.reload()
        expect(page.locator("#entity-field")).to_be_hidden()
        expect(page.get_by_label("Target")).to_be_visible()


def test_the_forecast_of_a_chosen_entity_is_drawn_with_the_servers_own_numbers(
    browser: BrowserContext, url: str
) -> None:
    with opened(browser, f"{url}/") as (page, wrong):
        choose(page, "jfk d", "JFK · DL")
        page.get_by_role("checkbox", name="95 %").check()
        page.get_by_label("Target").select_option("delay")
        page.get_by_label("Horizon").select_option("2")
        page.get_by_text("Numbers").click()
        expect(page.locator("#forecast-numbers tbody tr")).to_have_count(2)
        expect(page.locator("#forecast-numbers td[data-column='95 % upper']")).to_have_count(2)
        answer = httpx.post(
            f"{url}/predict/feast", json={"entity": ENTITY, "levels": [80, 95], "horizon": 2}
        ).json()["forecasts"][0]
        found = answer["targets"]["delay"]
        assert cells(page, "mean") == found["mean"]
        assert cells(page, "quantile 0.1") == found["quantiles"]["0.1"]
        assert cells(page, "80 % lower") == found["intervals"]["80"]["lower"]
        assert cells(page, "95 % upper") == found["intervals"]["95"]["upper"]
        rows = fakes.make_history()
        known = rows[(rows["airport"] == "JFK") & (rows["carrier"] == "DL")].set_index(
            "event_timestamp"
        )["delay"]
        assert cells(page, "actual") == [
            known[time] for time in answer["times"]
        ]  # the store has two days after the origin
        chart = page.locator("#forecast-chart svg")
        for kind, count in (
            ("polyline.actual", 2),
            ("polyline.forecast", 1),
            ("polygon.interval", 2),
            ("polyline.earlier", 2),
        ):
            expect(chart.locator(kind)).to_have_count(
                count
            )  # the actual line is broken where a day has no row
        chart.focus()
        chart.press("End")
        reading = page.locator("#forecast-chart .reading")
        expect(reading).to_contain_text("2024-03-03")
        expect(reading).to_contain_text(f"{found['mean'][1]:.2f}")
        assert page.url.endswith("#airport=JFK&carrier=DL")
        assert wrong == []


def test_pairs_history_and_traffic_are_shown(browser: BrowserContext, url: str) -> None:
    for _ in range(3):
        assert httpx.post(f"{url}/predict/feast", json={"entity": ENTITY}).status_code == 200
    with opened(browser, f"{url}/") as (page, wrong):
        card = page.locator("article[data-alias=production]")
        expect(card).to_contain_text("version 3")
        expect(card).to_contain_text("100 % of the entities")
        assert (
            card.locator("tbody tr")
            .nth(0)
            .locator("td[data-value]")
            .nth(0)
            .get_attribute("data-value")
            == "1"
        )
        assert (
            card.locator("tbody tr")
            .nth(1)
            .locator("td[data-value]")
            .nth(0)
            .get_attribute("data-value")
            == "2"
        )
        refusal = page.locator("#history-table tr[data-action=refuse]")
        expect(refusal).to_contain_text("tester")
        refusal.get_by_text("1 of 1 checks failed").click()
        expect(refusal.get_by_text("it is too wrong")).to_be_visible()
        expect(page.locator("#requests-chart rect.good").first).to_be_visible()
        expect(page.locator("#stages figure")).to_have_count(4)
        expect(page.locator("#stages figure").nth(3).locator("figcaption")).to_contain_text("p95")
        expect(page.locator("#state")).to_have_text("ready: version 3 @production")
        page.set_viewport_size({"width": 390, "height": 900})
        name = "forecasts_of_the_daily_sales_of_all_stores_of_the_company_in_europe"
        page.evaluate(
            "name => document.querySelectorAll('h1, #forecast p.quiet, figcaption')"
            ".forEach((place) => { place.textContent = name; })",
            name,
        )
        page.wait_for_timeout(500)  # the charts follow the width
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert wrong == []


def test_it_is_dark_where_the_system_is_and_where_somebody_says_so(
    browser: BrowserContext, url: str
) -> None:
    with opened(browser, f"{url}/") as (page, wrong):

        def lightness() -> int:
            shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
            return max(
                int(part) for part in shown.removeprefix("rgb(").removesuffix(")").split(",")
            )

        assert lightness() > 200
        page.emulate_media(color_scheme="dark")
        expect(page.get_by_role("button", name="Light")).to_be_visible()
        assert lightness() < 60
        page.get_by_role("button", name="Light").click()
        assert lightness() > 200
        page.reload()
        assert lightness() > 200
        page.evaluate("localStorage.clear()")
        assert wrong == []


def test_a_pair_that_cannot_be_served_is_an_alert(
    browser: BrowserContext, folder: Path, url: str
) -> None:
    registry = FolderRegistry(folder)
    registry.add(4)
    registry.change_byte(4)
    registry.point("production", 4)
    try:
        with opened(browser, f"{url}/") as (page, wrong):
            expect(page.locator("#alerts")).to_contain_text(
                "Degraded: production. version 4 is not served"
            )
            expect(page.locator("#state")).to_have_text("degraded: version 3 @production")
            expect(page.locator("article[data-alias=production]")).to_contain_text(
                "version 3 answers"
            )
            expect(page.locator("article[data-alias=production]")).to_contain_text(
                "its files were changed"
            )
            assert wrong == []
    finally:
        registry.point("production", 3)


def test_an_entity_without_a_forecast_and_a_wrong_origin_say_why(
    browser: BrowserContext, url: str
) -> None:
    with opened(browser, f"{url}/#airport=nowhere&carrier=DL") as (page, wrong):
        expect(page.locator("#forecast-caption")).to_contain_text(
            "No forecast: unknown_entity: unknown_entity in the fake store."
        )
        expect(page.locator("#forecast-chart")).to_contain_text(
            "The store has no rows of this entity."
        )
        assert wrong == []
        page.get_by_label("Origin").fill("yesterday")
        page.get_by_label("Origin").press("Enter")
        expect(page.locator("#forecast .message")).to_contain_text(
            "At: 'yesterday' is not an ISO 8601 time"
        )
        page.get_by_label("Origin").fill("")
        choose(page, "ewr", "EWR · UA")
        expect(page.locator("#forecast .message")).to_be_empty()
        expect(page.locator("#forecast-caption")).to_contain_text("One value per day")


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(
    browser: BrowserContext, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(
        f"predict,metrics {sha256(b'open sesame').hexdigest()} a person\n"
    )
    options: dict[str, Any] = {"port": 0, "access": {"keys_file": str(tmp_path / "keys")}}
    with (
        server_process("fastapi", options, tmp_path / "pairs") as (_, url),
        opened(browser, f"{url}/") as (page, _),
    ):
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(page.locator("#traffic .message")).to_contain_text("A key is needed")
        for key in ("a wrong one", "open sesame"):
            page.get_by_label("Key", exact=True).fill(key)
            page.get_by_role("button", name="Use it").click()
            if key == "a wrong one":
                expect(dialog).to_contain_text("The server does not know this key.")
        expect(dialog).to_be_hidden()
        expect(page.locator("#forecast-chart polyline.forecast")).to_have_count(1)
        expect(page.locator("#history .message")).to_contain_text(
            "This key has not the scope 'admin'."
        )
        assert page.evaluate(
            "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        ) == [["open sesame"], [], ""]
        page.get_by_role("button", name="Forget the key").click()
        expect(dialog).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0


def test_a_server_without_a_store_or_without_life_is_said(
    browser: BrowserContext, tmp_path: Path
) -> None:
    with (
        server_process("fastapi", {"port": 0}, tmp_path, "none") as (process, url),
        opened(browser, f"{url}/") as (page, _),
    ):
        expect(page.locator("#forecast .message")).to_contain_text(
            "no feature store (retrieval=fake)"
        )
        expect(page.locator("article[data-alias=production]")).to_contain_text("version 3")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        expect(page.locator("#state")).to_have_text("the server does not answer")
        expect(page.locator("#traffic .message")).to_have_text("The server does not answer.")
        expect(
            page.locator("article[data-alias=production]")
        ).to_be_visible()  # what was read stays


def test_the_routes_are_shown_without_any_other_server_and_behind_a_key(
    browser: BrowserContext, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"predict {sha256(b'right').hexdigest()}")
    options = {"port": 0, "access": {"keys_file": str(tmp_path / "keys")}}
    with server_process("fastapi", options, tmp_path / "pairs") as (_, url):
        page, asked = browser.new_page(), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/docs")
        expect(page.locator("#why")).to_contain_text("a key is needed")
        page.fill("#value", "right")
        page.click("button")
        expect(page.locator("summary", has_text="/predict/feast/batch")).to_be_visible()
        assert asked
        assert all(address.startswith(url) for address in asked)
        page.close()
