"""The page in a browser: what is drawn, clicked and typed, in both themes, printed, and without script.

Each visit also fails on a message in the console, an error in the page, or a request for anything.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHOSEN = "tr[aria-current] th"
EXTERNAL = "performance.getEntriesByType('resource').map(one => one.name)"
PAINTED = """canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
}"""
BACK = "getComputedStyle(document.documentElement).backgroundColor"
WIDE = "document.documentElement.scrollWidth - innerWidth"


def chosen(page):
    """Return what the three places that show the chosen turn say."""
    slider = page.get_by_role("slider", name="Turn")
    return (
        page.locator(CHOSEN).inner_text(),
        page.locator(".turn h3").inner_text(),
        slider.get_attribute("aria-valuetext").split(",")[0],
    )


def same(number):
    return (str(number), f"Turn {number}", f"turn {number}")


def test_charts_are_drawn(visit, address):
    """Components and utilization are painted in many colours, the still picture steps aside."""
    page = visit(address)
    charts = page.locator(".plot canvas")
    assert charts.count() == 2
    assert charts.nth(0).evaluate(PAINTED) > 8
    assert charts.nth(1).evaluate(PAINTED) > 2
    assert page.locator("svg.still").is_hidden()
    assert page.evaluate(EXTERNAL) == []


def test_a_click_into_the_chart_chooses_a_turn(visit, address):
    """The turn under the pointer is told beside it; clicked, it is taken apart below."""
    page = visit(address)
    assert chosen(page) == same(25)  # the peak
    over = page.locator(".u-over").first
    box = over.bounding_box()
    at = {"x": box["width"] * 9.5 / 25, "y": box["height"] / 2}
    over.hover(position=at)
    assert page.locator(".tip").inner_text().startswith("turn 10")
    over.click(position=at)
    assert chosen(page) == same(10)
    panel = page.locator(".turn").inner_text()
    assert "2,000 tokens" in panel.replace("\n", " ")
    assert "part_4" in panel
    assert "kubectl" in panel
    assert "500" in panel  # part_4's tokens


def test_a_row_chooses_its_turn(visit, address):
    """A click on a row, then arrows in the table, move all places together, and the focus."""
    page = visit(address)
    page.locator("#s0-t4 td").first.click()
    assert chosen(page) == same(5)
    page.locator("#s0-t4").focus()
    page.keyboard.press("ArrowDown")
    assert chosen(page) == same(6)
    assert page.evaluate("document.activeElement.id") == "s0-t5"
    page.keyboard.press("Home")
    assert chosen(page) == same(1)


@pytest.mark.parametrize(
    ("keys", "turn"),
    [
        (["Home"], 1),
        (["Home", "ArrowLeft"], 1),
        (["Home", "ArrowRight", "ArrowRight"], 3),
        (["End"], 25),
        (["End", "PageDown"], 22),
        (["Home", "PageUp", "ArrowUp", "ArrowDown"], 4),
    ],
)
def test_arrows_move_through_turns(visit, address, keys, turn):
    """With the focus on the chart, keys choose turns as a slider's would."""
    page = visit(address)
    page.get_by_role("slider", name="Turn").focus()
    for key in keys:
        page.keyboard.press(key)
    assert chosen(page) == same(turn)


def test_all_is_reached_by_tab_and_seen(visit, address):
    """The keyboard reaches switch, chart, legend, turn and tables, and each focus is visible."""
    page = visit(address)
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "[document.activeElement.className || document.activeElement.id || document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    names = [name for name, _ in seen]
    assert {"skip", "theme", "plot", "scroll"} <= set(names)
    assert {style for name, style in seen if name != "BODY"} == {"solid"}


def test_a_finding_leads_to_its_turns(visit, address):
    """The evidence of a finding is a link that chooses the turn."""
    page = visit(address)
    finding = page.locator(".finding")
    assert "parts grow" in finding.inner_text()
    finding.get_by_role("link", name="4–5").click()
    page.wait_for_function("document.querySelector('.turn h3').textContent === 'Turn 4'")
    assert chosen(page) == same(4)


def test_one_component_alone(visit, address):
    """A name in the legend shows its component alone, and once more all of them."""
    page = visit(address)
    button = page.get_by_role("button", name="system")
    before = page.locator(".plot canvas").first.evaluate(PAINTED)
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator(".plot canvas").first.evaluate(PAINTED) != before
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator(".plot canvas").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes(visit, address, scheme):
    """The page follows the system, and the switch turns it and its charts around."""
    page = visit(address, color_scheme=scheme)
    first = page.evaluate(BACK)
    corner = "canvas => canvas.toDataURL()"
    drawn = page.locator(".plot canvas").first.evaluate(corner)
    assert sum(map(int, first[4:-1].split(","))) > 600 if scheme == "light" else 100
    page.get_by_role("button", name="Light" if scheme == "dark" else "Dark").click()
    assert page.evaluate(BACK) != first
    assert page.locator(".plot canvas").first.evaluate(corner) != drawn
    page.get_by_role("button", name=scheme.title()).click()
    assert page.evaluate(BACK) == first


def test_readable_without_script(visit, address):
    """Without script the still chart, the verdict, findings and the table are there."""
    page = visit(address, java_script_enabled=False)
    assert page.locator("svg.still").is_visible()
    assert page.locator(".badge.failing").first.is_visible()
    assert page.locator(".finding").is_visible()
    assert page.locator(".turns tbody tr").count() == 25
    assert page.locator("#theme").is_hidden()
    assert page.locator(".turn").is_hidden()


def test_a_script_that_fails_leaves_the_page_readable(chromium, several):
    """In a browser that lacks something the page is what it is without script."""
    page = chromium.new_page()
    page.add_init_script("delete window.ResizeObserver")
    broken = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(several)
    assert "ResizeObserver" in broken[0]
    assert page.locator("svg.still").first.is_visible()
    assert page.locator(".session:visible").count() == 12
    page.close()


def test_printed(visit, address):
    """Print is light, shows the still chart and the whole table, and fits the sheet."""
    page = visit(address, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate(BACK) == "rgb(255, 255, 255)"
    assert page.locator("svg.still").is_visible()
    assert page.locator(".plot").is_hidden()
    box = page.locator(".turns").locator("xpath=..")
    assert box.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
    assert page.pdf(format="A4").startswith(b"%PDF-")


@pytest.mark.parametrize("width", [320, 380, 768, 1600])
def test_nothing_sticks_out(visit, address, several, width):
    """On a phone as on a wide screen the page does not scroll sideways."""
    for page in (visit(address), visit(several)):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            "() => Math.abs(document.querySelector('.session:not([hidden]) .uplot').offsetWidth"
            " - document.querySelector('.session:not([hidden]) .live').clientWidth) < 2"
        )
        assert page.evaluate(WIDE) <= 0


def test_sessions_are_chosen_and_found(visit, several):
    """One session is shown at a time; the list, an address and the search lead to the others."""
    page = visit(several)
    assert page.locator(".session:visible").count() == 1
    assert page.locator(".plot").count() == 1  # the others are drawn when they are chosen
    page.get_by_role("link", name="conv-03").click()
    page.wait_for_function("!!document.querySelector('.session:not([hidden]) .plot')")
    assert page.locator(".session:visible h2").inner_text() == "conv-03"
    assert page.locator(".list tr[aria-current] th").inner_text() == "conv-03"
    page.get_by_role("searchbox").fill("conv-1")
    assert page.locator(".list tbody tr:visible").count() == 2
    assert page.locator("#found").inner_text() == "2 of 12"


def test_an_address_names_session_and_turn(visit, several):
    """A link to a turn opens its session at that turn."""
    page = visit(f"{several}#s5-t1")
    assert page.locator(".session:visible").get_attribute("id") == "s5"
    assert page.locator(".session:visible .turn h3").inner_text() == "Turn 2"


def test_500_turns_are_interactive(visit, big, capsys):
    """A long session is drawn and answers; what that took is printed, not judged."""
    page = visit("about:blank")
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable", {"timeDomain": "threadTicks"})  # what others use is left out
    page.goto(big)
    page.get_by_role("slider", name="Turn").focus()
    page.keyboard.press("Home")
    assert page.locator(".turn h3").inner_text() == "Turn 1"
    assert page.locator(".turns tbody tr").count() == 500
    seen = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}
    size = Path(urlsplit(big).path).stat().st_size / 1000
    busy = f"{seen['TaskDuration']:.2f} s of CPU, script {seen['ScriptDuration']:.2f} s"
    with capsys.disabled():
        print(f"\n500 turns, 24 components, {size:,.0f} kB: answers after {busy}")  # noqa: T201
