"""The dashboard in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse_tests.serving.dashboard import history
from ecom_lakehouse_tests.serving.dashboard.conftest import PATIENCE_MS, Dashboard

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)
CHARTS = 7  # one large, six small


def opened(page: Page, dashboard: Dashboard, address: str = "/") -> Page:
    """The page with its data on it."""
    page.goto(dashboard.url + address)
    expect(page.get_by_test_id("stMetric").first).to_be_visible()
    return page


def charts(page: Page) -> int:
    return page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").count()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_data_appears(page: Page, dashboard: Dashboard) -> None:
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    opened(page, dashboard)
    expect(page.get_by_text("Up to date").or_(page.get_by_text("Catching up"))).to_be_visible()
    expect(page.get_by_text("Data as of")).to_be_visible()
    tile = page.get_by_test_id("stMetric").filter(has_text="Revenue")
    expect(tile).to_contain_text(re.compile(r"€[\d,.]+[kM]?"))
    expect(tile).to_contain_text(re.compile(r"[+-][\d.]+ %"))
    expect(page.get_by_role("heading", name="Events per minute")).to_be_visible()
    page.wait_for_function(
        f"document.querySelectorAll('[data-testid=stVegaLiteChart] :is(svg, canvas)').length == {CHARTS}"
    )
    expect(
        page.get_by_text(re.compile(r"Newest final value: [\d,]+ at .* Expected: [\d,]+ to [\d,]+"))
    ).to_be_visible()
    assert failed == [], "the page asks for something that is not on this machine"


def test_a_metric_is_chosen_and_the_address_says_so(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard)
    choose(page, "Metric", "Revenue")
    expect(page.get_by_role("heading", name="Revenue per minute")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?.*metric=revenue"))
    page.get_by_text("UTC", exact=True).click()
    expect(page.get_by_text("Times are in UTC.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"tz=utc"))
    page.get_by_role("link", name="Pipeline").click()
    expect(page.get_by_role("heading", name="Pipeline", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/pipeline\?.*metric=revenue"))

    opened(page, dashboard, "/?metric=purchase_conversion&last=7d")
    expect(page.get_by_role("heading", name="Conversion per hour")).to_be_visible()


def test_an_address_that_makes_no_sense_is_said_to_and_the_rest_is_shown(
    page: Page, dashboard: Dashboard
) -> None:
    opened(page, dashboard, "/?metric=nonsense&last=1h")
    expect(page.get_by_text("metric=nonsense")).to_be_visible()
    expect(page.get_by_role("heading", name="Events per minute")).to_be_visible()


def test_an_alert_is_acknowledged_under_a_name(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard)
    name = page.get_by_role("textbox", name="Your name")
    name.fill("ana")
    name.press("Enter")
    alert = page.locator(".st-key-alert-conversion-1")
    expect(alert).to_contain_text("Critical")
    expect(alert).to_contain_text("Open")
    alert.get_by_role("button", name="Acknowledge").click()
    expect(alert).to_contain_text("Acknowledged by ana")
    with connect(dashboard.settings) as connection:
        row = connection.execute(
            "select acknowledged_by from serving.alerts where alert_id = 'conversion-1'"
        ).fetchone()
    assert row == {"acknowledged_by": "ana"}


def test_an_alert_is_shown_in_its_own_range_that_stays(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard)
    page.locator(".st-key-alert-purchases-1").get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Purchases per minute")).to_be_visible()
    expect(page.get_by_text("This page stands still")).to_be_visible()
    expect(page).to_have_url(re.compile(r"from=.*to="))
    shared = page.url.removeprefix(dashboard.url)
    opened(page, dashboard, shared)
    expect(page.get_by_text("This page stands still")).to_be_visible()
    page.get_by_role("button", name="Back to live").click()
    expect(page.get_by_text("This page stands still")).to_be_hidden()
    expect(page).not_to_have_url(re.compile(r"from="))


def test_severities_that_are_not_chosen_are_not_listed(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard, "/?last=24h")
    expect(page.locator(".st-key-alert-events-1")).to_be_visible()
    page.get_by_role("button", name="Warning").click()
    expect(page.locator(".st-key-alert-events-1")).to_be_hidden()
    expect(page.locator(".st-key-alert-conversion-1")).to_be_visible()


def test_a_refresh_brings_new_data_without_redrawing_or_scrolling(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard, "/?every=5s&last=24h")
    drawings = "[data-testid=stVegaLiteChart] :is(svg, canvas)"
    page.wait_for_function(f"document.querySelectorAll('{drawings}').length == {CHARTS}")
    page.evaluate(f"document.querySelectorAll('{drawings}').forEach(one => one.dataset.marked = 'yes')")
    scroller = page.locator("[data-testid=stMain]")
    scroller.evaluate("one => one.scrollTo(0, 400)")
    with connect(dashboard.settings) as connection:
        row = connection.execute("select max(window_start) as minute from serving.kpi_minute").fetchone()
    assert row is not None
    for back in range(3):
        history.add_minute(
            dashboard.settings,
            row["minute"] - timedelta(minutes=back),
            events_total=1234,
            events_click=890,
            events_add_to_cart=220,
            events_checkout=87,
            events_purchase=37,
            revenue=2200,
        )
    expect(page.get_by_text("Newest final value: 1,234")).to_be_visible()
    assert scroller.evaluate("one => one.scrollTop") == 400
    assert page.locator(f"{drawings}[data-marked=yes]").count() == CHARTS


def test_the_api_goes_away_and_comes_back(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard, "/?every=5s")
    dashboard.stop_api()
    try:
        expect(page.get_by_text("The API does not answer.")).to_be_visible()
        expect(page.get_by_text("make run").first).to_be_visible()
        expect(page.get_by_test_id("stMetric").first).to_be_visible()
    finally:
        dashboard.start_api()
    expect(page.get_by_text("The API does not answer.")).to_be_hidden()
    expect(page.get_by_text("Data as of")).to_be_visible()


def test_a_page_opened_while_the_api_is_away_says_what_to_run_and_fills_itself(
    page: Page, dashboard: Dashboard
) -> None:
    dashboard.stop_api()
    try:
        page.goto(dashboard.url + "/?every=5s")
        expect(page.get_by_text("The API does not answer.")).to_be_visible()
        expect(page.get_by_test_id("stMetric")).to_have_count(0)
    finally:
        dashboard.start_api()
    expect(page.get_by_test_id("stMetric").first).to_be_visible()


def test_a_chart_is_downloaded_as_csv_and_as_a_picture(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard, "/?metric=revenue")
    with page.expect_download() as csv:
        page.get_by_role("button", name="CSV", exact=True).click()
    lines = csv.value.path().read_text().splitlines()
    assert lines[0].startswith("window_start,metric,value")
    assert ",revenue," in lines[1]
    with page.expect_download() as png:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert png.value.path().read_bytes().startswith(b"\x89PNG")
    assert png.value.suggested_filename.startswith("revenue-")


def test_quality_names_the_worst_rules_what_to_do_and_shows_messages(
    page: Page, dashboard: Dashboard
) -> None:
    opened(page, dashboard, "/quality")
    rule = page.locator(".st-key-rule-add_to_cart_requires_qty_price_currency")
    expect(rule).to_contain_text("Warns")
    rule.locator("summary").click()
    expect(rule).to_contain_text("What to do")
    expect(page.get_by_text(re.compile(r"\d+ of [\d,]+ messages that broke"))).to_be_visible()
    expect(page.get_by_text(re.compile("partition 0, offset 120"))).to_be_visible()
    expect(page.get_by_test_id("stCode")).to_contain_text('"event_type": "add_to_cart"')


def test_pipeline_shows_slices_and_failing_checks_and_leads_into_dagster(
    page: Page, dashboard: Dashboard
) -> None:
    opened(page, dashboard, "/pipeline")
    expect(page.get_by_test_id("stMetric").filter(has_text="On the way")).to_contain_text("240")
    expect(page.get_by_role("heading", name="Failing checks")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_have_count(3)
    link = page.get_by_role("link", name="kpi_minute")
    expect(link).to_have_attribute("href", f"{dashboard.settings.dagster_url}/assets/kpi_minute")


@pytest.mark.parametrize("path", ["/", "/quality", "/pipeline"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page, dashboard: Dashboard, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    opened(page, dashboard, path)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    width = page.locator("[data-testid=stMain]").evaluate("one => one.scrollWidth")
    assert width <= 390


def test_charts_and_controls_have_names_for_a_screen_reader(page: Page, dashboard: Dashboard) -> None:
    opened(page, dashboard)
    page.wait_for_function(
        f"document.querySelectorAll('[data-testid=stVegaLiteChart] :is(svg, canvas)').length == {CHARTS}"
    )
    expect(page.locator("[data-testid=stVegaLiteChart][aria-label*='per minute']")).to_have_count(CHARTS)
    expect(page.get_by_role("combobox", name="Metric")).to_be_visible()
    expect(page.get_by_role("textbox", name="Your name")).to_be_visible()
    for label in ("Look back", "Refresh every"):
        expect(page.get_by_role("slider", name=label)).to_be_visible()
    slider = page.get_by_role("slider", name="Look back")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("last=1h"))
