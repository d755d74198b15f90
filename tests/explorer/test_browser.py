"""The page in a browser: requests, messages, the keyboard and narrow screens."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow
CONTROLS = """() => {
    const visible = e => e.getClientRects().length && getComputedStyle(e).visibility != "hidden" && !e.disabled;
    const all = [...document.querySelectorAll("button, input, textarea, a[href], [tabindex='0']")].filter(visible);
    all.forEach((control, index) => control.dataset.number = index);
    return all.length;
}"""
FOCUSED = """() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const labels = [...(e.labels ?? [])].map(label => label.innerText);
    const inside = [...e.querySelectorAll("[aria-label], img")].map(part => part.ariaLabel ?? part.alt);
    return [e.dataset.number, [e.ariaLabel ?? "", ...labels, e.innerText ?? "", ...inside].join(" ").trim()];
}"""


@pytest.fixture
def opened(browser, served, styled):
    """``opened(**settings)``: the page in a new window, which must send no request to another machine."""
    address = str(served(styled).http.base_url)
    faults, contexts = [], []

    def console(message):
        if message.type == "error":
            faults.append(message.text)

    def request(sent):
        if not sent.url.startswith((address, "data:", "blob:")):
            faults.append(sent.url)

    def open_page(**settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", request)
        page.goto(address)
        page.get_by_alt_text("Generated images").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def tabs(page):
    return [tab.inner_text() for tab in page.get_by_role("tab").all()]


def test_a_slider_is_moved_by_the_keyboard(opened):
    page = opened()
    page.get_by_role("tab", name="Walk").press("Enter")
    image = page.get_by_alt_text("Image between those of two seeds")
    image.wait_for()
    before = image.get_attribute("src")
    page.get_by_label("range slider for Position, in percent").press("ArrowRight")
    page.wait_for_function("before => !document.querySelector(`img[src='${before}']`)", arg=before)
    assert page.get_by_label("number input for Position, in percent").input_value() == "51"


def test_a_damaged_upload_is_one_sentence(opened, tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    page = opened()
    page.get_by_role("tab", name="Projection").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "damaged.png")
    page.get_by_text("the picture is damaged").or_(page.get_by_text("the picture is not an image")).first.wait_for()
    assert "Traceback" not in page.content()


def test_a_projection_shows_its_result(opened, tmp_path, styled):
    import gankit

    gankit.save_grid(styled.sample(1, 3, [1], noise="const"), tmp_path / "own.png")
    page = opened()
    page.get_by_role("tab", name="Projection").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "own.png")
    page.get_by_alt_text("Your picture, cropped and resized").wait_for()
    page.get_by_label("Compare features, not only pixels").uncheck()
    page.get_by_role("button", name="Project", exact=True).click()
    page.get_by_text("Peak signal-to-noise ratio").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download latents").locator("visible=true").click()
    assert download.value.suggested_filename == "projected.safetensors"


def test_every_control_is_reached_by_the_keyboard_and_has_a_name(opened):
    page = opened()
    for tab in tabs(page):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.wait_for_timeout(1000)
        number = page.evaluate(CONTROLS)
        page.evaluate("() => { document.activeElement.blur(); getSelection().collapse(document.body, 0); }")
        reached = {}
        for _ in range(number + 5):
            page.keyboard.press("Tab")
            if focused := page.evaluate(FOCUSED):
                reached[focused[0]] = focused[1]
        assert {*reached} >= {*map(str, range(number))}, tab
        assert all(reached.values()), tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens(opened, scheme):
    page = opened(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(", "))) < 200) == (scheme == "dark")
    for tab in tabs(page):
        page.get_by_role("tab", name=tab, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
