"""The studio in headless Chromium: every tab of every pretrained model is used as a visitor would use it."""

from __future__ import annotations

import time

import pytest

from absynth.studio.actions import PARTS

pytestmark = pytest.mark.slow

RESULTS = {
    "Samples": ("Draw again", "#samples img, #samples svg, #samples table, #samples li"),
    "Fill in": ("Fill", "#filled img"),
    "Walk": ("Walk", "#walked img, #walked svg, #walked table, #walked li"),
    "Mix": ("Mix", "#mixed img, #mixed svg"),
    "Molecules": ("Guide", "#molecules img, #molecules svg"),
    "Futures": ("Predict", "#scene img"),
    "Anomalies": ("Score", "#anomalies table"),
    "Training": ("Read again", "#training svg, #training img, #training p"),
}
"""By tab, the button that asks for its answer and what the answer shows."""

WIDE, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def page(browser, address):
    """The page; at the end, nothing failed and nothing was asked of another host."""
    page = browser.new_page(viewport=WIDE)
    page.set_default_timeout(60_000)
    errors, asked = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    begun = time.monotonic()
    page.goto(address)
    page.wait_for_selector(RESULTS["Samples"][1])
    page.seconds = time.monotonic() - begun
    yield page
    page.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def models(page) -> list[str]:
    """The models that the page offers."""
    page.click("#model input")
    names = page.locator("#model ul[role=listbox] li, ul[role=listbox] li").all_inner_texts()
    page.keyboard.press("Escape")
    return [name.strip().removeprefix("✓").strip() for name in names]


def choose(page, name: str) -> None:
    """Choose a model by typing its name."""
    page.fill("#model input", name)
    page.keyboard.press("Enter")
    page.wait_for_function("name => document.querySelector('#model input').value === name", arg=name)
    page.wait_for_function("() => document.querySelector('#about').innerText.length > 10")
    page.wait_for_timeout(3000)  # the tabs follow


def test_every_tab_of_every_model_answers(page):
    assert page.seconds < 5 * 4  # five seconds on an idle machine
    names = models(page)
    assert len(names) >= 10
    seen = set()
    for name in names:
        choose(page, name)
        tabs = [tab.strip() for tab in page.locator("button[role=tab]:visible").all_inner_texts()]
        for tab in [tab for tab in tabs if tab in RESULTS and (tab not in seen or tab == "Samples")]:
            button, answer = RESULTS[tab]
            page.click(f"button[role=tab]:visible:has-text('{tab}')")
            if tab == "Fill in":
                page.click(f"label:visible:has-text('{PARTS[1]}')")
            page.click(f"[role=tabpanel] button:visible:text-is('{button}')")
            page.wait_for_selector(f":is({answer}, [role=alert]):visible")
            page.wait_for_timeout(500)
            alerts = page.locator("[role=alert]:visible").all_inner_texts()
            assert not any(text.strip() for text in alerts), f"{name}, {tab}: {alerts}"
            page.set_viewport_size(PHONE)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{name}, {tab}: wider than a phone"
            assert page.evaluate("[...document.images].filter(i => !i.hasAttribute('alt')).map(i => i.src)") == []
            page.set_viewport_size(WIDE)
            seen.add(tab)
    assert seen >= {"Samples", "Fill in", "Walk", "Mix", "Futures", "Anomalies"}, f"only {seen} were shown"


def test_a_slider_is_moved_by_the_keyboard_and_the_samples_follow(page):
    before = page.locator("#samples img").first.get_attribute("src")
    slider = page.locator("input[type=range]:visible").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    slider.dispatch_event("pointerup")
    page.wait_for_function("src => document.querySelector('#samples img').src !== src", arg=before)
