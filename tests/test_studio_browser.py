"""The studio in headless Chromium: every tab of every pretrained model is used as a visitor would use it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
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


def test_dark_where_asked_for_and_by_keyboard_alone(browser, address):
    page = browser.new_page(viewport=WIDE, color_scheme="dark")
    page.goto(address)
    page.wait_for_selector("#samples img")
    ground, ink = (
        sum(map(int, re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.{where}).{what}"))[:3])) / 3
        for where, what in (("body", "backgroundColor"), ("querySelector('#about')", "color"))
    )
    assert ground < 60 < 180 < ink
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert seen or page.evaluate("document.activeElement === document.body")  # where a list of choices closes
        reached.append(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    assert {"Samples", "Training", "Step size", "Draw again"} <= {
        name.strip().removeprefix("range slider for ") for name in reached
    }
    page.close()


def test_killed_and_restarted(browser, tmp_path):
    """The page says that the server is gone, and answers again once it is back, loaded anew or not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "absynth", "studio", "--port", str(port)]
        found = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert "Ctrl-C stops it" in found.stdout.readline()
        return found

    def draw_again() -> None:
        before = page.locator("#samples img").first.get_attribute("src")
        page.click("button:visible:text-is('Draw again')")
        page.wait_for_function("src => document.querySelector('#samples img')?.src !== src", arg=before)

    server = start()
    page = browser.new_page(viewport=WIDE)
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#samples img")
    server.kill()
    server.wait()
    page.click("button:visible:text-is('Draw again')")
    page.wait_for_selector("text=Connection to the server was lost")
    assert page.locator("#samples img").count() == 1  # what was drawn is still there
    server = start()
    page.wait_for_selector("text=Connection to the server was lost", state="hidden")
    draw_again()
    page.reload()
    page.wait_for_selector("#samples img")
    draw_again()
    page.close()
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
