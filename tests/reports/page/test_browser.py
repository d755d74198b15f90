"""The pages in headless Chromium: errors, requests, layout, the keyboard, and what the controls do."""

from __future__ import annotations

import json
import shutil

import pytest

from gankit.runs.run_lock import RunLock

pytestmark = pytest.mark.slow

WINDOWS = [(width, height, scheme) for width, height in ((1280, 800), (390, 844)) for scheme in ("light", "dark")]
CONTROLS = "button, input, select, summary, a[href], [tabindex='0']"
STATES = ("finished", "running", "killed", "empty", "hostile", "overview")
LONG = "a_very_long_name_without_any_space_" * 5 + "<b>"


@pytest.fixture
def open_page(browser):
    """``open_page(path, width, height, scheme)``: the page; its errors and requests are checked at the end."""
    faults, pages = [], []

    def open_(path, width=1280, height=800, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        address = path.resolve().as_uri()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("data:", address)) or faults.append(request.url))
        page.goto(address)
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()
    assert not faults


@pytest.fixture
def report(finished_run, write_run, metrics_line, page_of, cli, tmp_path):
    """``report(state) -> path``: the file of a page."""

    def finished(name="runs/a", **content):
        directory = finished_run(name, **content)
        page_of(directory)
        return directory / "report.html"

    def write(state):
        if state in ("running", "killed"):
            path = finished(record={})
            lock = RunLock(path.parent)
            if state == "killed":
                lock.release()
            page_of(path.parent)
            lock.release()
            return path
        if state == "empty":
            page_of(write_run())
            return tmp_path / "run/report.html"
        if state == "hostile":
            scalars = {f"{LONG}{number}": float("nan") for number in range(90)}
            changes = {LONG: [LONG, "x" * 300]}
            return finished(
                record={"device": LONG, "recipe": [{"source": LONG}, {"source": LONG, "changes": changes}], "threads": LONG},
                metrics=[metrics_line(1, discriminator_gradient=1.0, **scalars)],
                events=[{"event": "finding", "finding": LONG, "message": LONG, "step": 1}],
            )
        if state == "overview":
            for number in range(1, 6):
                metrics = [metrics_line(step) for step in range(1, 10 * number + 1)]
                recipe = {"generator": {"name": "dcgan", "width": 8 * number}, "seed": number}
                finished(f"runs/{'abcde'[number - 1]}", metrics=metrics, record={"device": "cpu"}, recipe=recipe)
            write_run(f"runs/{LONG}", files={"metrics.jsonl": b"\n"})
            assert cli("report", "runs").code == 0
            return tmp_path / "runs/report.html"
        return finished()

    return write


@pytest.mark.parametrize("state", STATES)
def test_no_errors_no_requests_and_no_overflow(report, open_page, state):
    path = report(state)
    for width, height, scheme in WINDOWS:
        page = open_page(path, width, height, scheme)
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        if state == "overview":
            compare(page, "a", "b")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").inner_text()


@pytest.mark.parametrize("state", STATES)
def test_tab_reaches_every_control(report, open_page, state):
    page = open_page(report(state))
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    if state == "overview":
        compare(page, "a", "b")
        page.evaluate("document.activeElement.blur()")
    controls = f"[...document.querySelectorAll(\"{CONTROLS}\")].filter((found) => found.checkVisibility() && !found.disabled)"
    count = page.evaluate(f"{controls}.length")
    for _ in range(count + 20):
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.dataset.reached = ''")
    assert page.evaluate(f"{controls}.filter((found) => !('reached' in found.dataset)).map((found) => found.outerHTML)") == []


def compare(page, *names):
    for name in names:
        page.get_by_label(f"Compare {name}", exact=True).check()


class TestRun:
    @pytest.fixture
    def page(self, report, open_page):
        return open_page(report("finished"))

    def test_slider(self, page):
        picture = page.locator("#sample-picture")
        newest = picture.get_attribute("src")
        page.locator("#sample-slider").focus()
        seen = {}
        for key, label in (("Home", "step 1"), ("ArrowRight", "step 50"), ("End", "step 100")):
            page.keyboard.press(key)
            assert page.locator("#sample-label").inner_text() == label
            assert page.locator("#sample-slider").get_attribute("aria-valuetext") == label
            assert picture.get_attribute("alt") == f"Generated images, {label}"
            seen[label] = picture.get_attribute("src")
        assert seen["step 100"] == newest
        assert len(set(seen.values())) == 3

    def test_play(self, page):
        play = page.locator("#sample-play")
        play.press("Enter")
        assert (play.inner_text(), play.get_attribute("aria-pressed")) == ("Stop", "true")
        assert page.locator("#sample-label").inner_text() == "step 1"
        page.wait_for_selector("#sample-play[aria-pressed=false]")
        assert page.locator("#sample-label").inner_text() == "step 100"
        play.press("Enter")
        play.press("Enter")
        assert play.get_attribute("aria-pressed") == "false"
        assert page.locator("#sample-label").inner_text() in ("step 1", "step 50")

    def test_zoom_by_buttons(self, page):
        assert shown_range(page) == "steps 0 to 100"
        for name, expected in (
            ("Zoom in", "25 to 75"), ("Later", "50 to 100"), ("Later", "50 to 100"), ("Earlier", "25 to 75"),
            ("Zoom in", "37.5 to 62.5"), ("Zoom out", "25 to 75"), ("Show all", "0 to 100"), ("Zoom out", "0 to 100"),
        ):  # fmt: skip
            page.get_by_role("button", name=name).press("Enter")
            assert shown_range(page) == f"steps {expected}"

    def test_zoom_by_dragging_changes_all_charts(self, page):
        plot = page.locator(".u-over").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=4)
        page.mouse.up()
        low, high = map(float, shown_range(page).removeprefix("steps ").split(" to "))
        assert (low, high) == (pytest.approx(25, abs=2), pytest.approx(50, abs=2))

    def test_axis(self, page):
        page.locator("#axis").select_option("images")
        assert shown_range(page) == "images 0 to 800"
        page.get_by_role("button", name="Zoom in").click()
        page.locator("#axis").select_option("seconds")
        assert shown_range(page) == "training time 0:03 to 0:09"

    def test_a_curve_is_hidden_and_shown(self, page):
        button = page.get_by_role("button", name="loss G")
        for shown in (False, True):
            button.press("Space")
            assert button.get_attribute("aria-pressed") == str(shown).lower()

    def test_smoothing(self, page):
        drawn = "document.querySelector('.chart canvas').toDataURL()"
        before = page.evaluate(drawn)
        page.locator("#smooth").press("Space")
        page.wait_for_function(f"{drawn} !== {json.dumps(before)}")

    def test_values_at_the_cursor(self, page):
        button = page.get_by_role("button", name="loss G")
        assert button.inner_text().split() == ["loss", "G", "10"]
        page.locator(".chart", has_text="Losses").locator(".u-over").hover(position={"x": 1, "y": 50})
        page.wait_for_function("[...document.querySelectorAll('.legend button')].some((found) => found.innerText.endsWith('0.1'))")


def shown_range(page):
    """The range that all charts show, as their labels say."""
    labels = page.locator(".plot").evaluate_all("(plots) => plots.map((plot) => plot.getAttribute('aria-label'))")
    assert len(labels) > 2
    (found,) = {label.rpartition(", ")[2] for label in labels}
    return found


class TestOverview:
    @pytest.fixture
    def page(self, report, open_page):
        return open_page(report("overview"))

    @staticmethod
    def names(page):
        return page.locator("#runs tbody tr:visible th a").all_inner_texts()

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("", "abcde"), ("seed=3", "c"), ("seed>=3", "cde"), ("generator.width<17 seed!=1", "b"), ("steps>30", "de"),
            ("nothing", ""), ('"seed"="2"', "b"), ("seed=none", ""), ("status=killed", ""), ("A", "a"), ("b", "b"),
            ("running", "abcde"), ("constructor=1", ""), ("generator.name=dcgan", "abcde"), ("generator.name!=dcgan", ""),
        ],
    )  # fmt: skip
    def test_filter(self, page, text, shown):
        page.fill("#filter", text)
        found = self.names(page)
        assert "".join(found) == shown
        count = page.locator("#count").inner_text()
        assert count == ("5 runs" if len(found) == 5 else f"{len(found)} of 5 runs")

    def test_the_lists_add_a_condition(self, page):
        page.locator("#filter-key").select_option("generator.width")
        page.locator("#filter-value").select_option("24")
        assert page.input_value("#filter") == "generator.width=24"
        assert self.names(page) == ["c"]
        assert page.locator("#filter-value").is_disabled()

    def test_sorting(self, page):
        heading = page.locator("th", has=page.get_by_role("button", name="steps", exact=True))
        for direction, names in (("ascending", "abcde"), ("descending", "edcba"), ("ascending", "abcde")):
            heading.get_by_role("button").press("Enter")
            assert heading.get_attribute("aria-sort") == direction
            assert "".join(self.names(page)) == names
        page.get_by_role("button", name="run", exact=True).press("Enter")
        assert heading.get_attribute("aria-sort") == "none"

    def test_comparison(self, page):
        compare(page, "a", "b")
        assert page.locator("#comparison").is_visible()
        assert page.evaluate("document.activeElement.id") == "comparison-heading"
        assert page.locator("#compared figcaption").all_inner_texts() == ["a", "b"]
        assert page.locator("#charts h3").all_inner_texts() == ["loss D", "loss G"]
        rows = page.locator("#differences tr").evaluate_all("(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText))")
        assert ["steps", "10", "20"] in rows
        assert ["generator.width", "8", "16"] in rows
        assert "fd_x" not in [row[0] for row in rows]  # the same in both
        compare(page, "c")
        assert page.locator("#compared figcaption").all_inner_texts() == ["b", "c"]
        assert not page.get_by_label("Compare a", exact=True).is_checked()
        page.get_by_role("button", name="Close the comparison").press("Enter")
        assert page.locator("#comparison").is_hidden()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Compare c"


def test_a_thousand_runs(report, open_page, tmp_path, cli):
    source = report("finished").parent
    recipe = (source / "recipe.yaml").read_text()
    lines = (source / "metrics.jsonl").read_text().splitlines()
    shutil.rmtree(source / "report")
    for number in range(999):
        run = shutil.copytree(source, tmp_path / f"runs/run_{number:03}")
        (run / "recipe.yaml").write_text(recipe.replace("seed: 0", f"seed: {number}"))
        (run / "metrics.jsonl").write_text("\n".join(lines[: 10 + number % 90]) + "\n")
    assert cli("report", "runs").code == 0
    page = open_page(tmp_path / "runs/report.html")
    page.fill("#filter", "seed>=990")
    assert page.locator("#count").inner_text() == "9 of 1,000 runs"
    assert page.locator("#runs tbody tr:visible").count() == 9
