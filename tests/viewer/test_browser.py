"""Does the page work in a real browser, from a file, with the network off?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

import diffuscope
from diffuscope.oracle import EmpiricalOracle

from .conftest import WEB

Opened = Callable[..., Any]
PATIENCE = 20_000  # milliseconds
_VIEWPORT = {"width": 840, "height": 640}  # pixels are drawn by the processor here


class Page:
    """A page from a file: what it logs and asks for is written down."""

    def __init__(self, browser: Any, path: Path, fragment: str = "", **options: Any) -> None:
        self.context = browser.new_context(
            offline=True, viewport=_VIEWPORT, reduced_motion="reduce", **options
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.trouble: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.trouble.append(message.text)

    def until(self, what: Callable[[], Any]) -> Any:
        """Return the first value of ``what`` that is true; the page's policy forbids to ask inside of it."""
        for _ in range(PATIENCE // 50):
            if value := what():
                return value
            self.page.wait_for_timeout(50)
        raise AssertionError("waited in vain")

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).text_content())

    def measured(self) -> None:
        """Wait until the page has measured its samples: all that it does at the start is then done."""
        self.until(lambda: re.search(r"\d", self.text("#here")))

    def frames(self) -> int:
        return int(self.page.locator(".stage").get_attribute("data-frame") or 0)

    def ink(self) -> int:
        """Return the number of pixels of the point layer on which something is drawn."""
        return int(
            self.page.evaluate(
                """() => {
                  const from = document.querySelector('.stage canvas');
                  const copy = document.createElement('canvas');
                  [copy.width, copy.height] = [from.width, from.height];
                  const context = copy.getContext('2d');
                  context.drawImage(from, 0, 0);
                  const { data } = context.getImageData(0, 0, copy.width, copy.height);
                  let n = 0;
                  for (let i = 3; i < data.length; i += 4) if (data[i] > 40) n++;
                  return n;
                }"""
            )
        )

    def time(self, value: float) -> None:
        self.page.evaluate(
            """v => {
              const ruler = document.querySelector('#time');
              ruler.value = v;
              ruler.dispatchEvent(new Event('input'));
            }""",
            value,
        )

    def settle(self) -> None:
        """Wait until what was pressed is drawn: a while, and two frames, however slow the browser is."""
        self.page.wait_for_timeout(250)
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )


@pytest.fixture(scope="session")
def saved(small_run, tmp_path_factory) -> Path:
    return small_run.view().save(tmp_path_factory.mktemp("page") / "run.html")


@pytest.fixture
def opened(browser, saved) -> Iterator[Opened]:
    pages: list[Page] = []

    def make(fragment: str = "", path: Path | None = None, **options: Any) -> Page:
        pages.append(Page(browser, path or saved, fragment, **options))
        pages[-1].page.wait_for_selector(".stage")
        pages[-1].measured()
        return pages[-1]

    yield make
    for page in pages:
        page.context.close()
        assert page.trouble == []


def test_it_opens_from_a_file_and_asks_nothing_of_a_network(opened):
    page = opened()
    assert page.frames() > 0
    assert page.ink() > 500
    others = [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))]
    assert others == []
    assert page.text("h1") == "Diffuscope s_curve · fast"
    assert len(page.page.workers) == 1  # the engine is not on the page's own thread
    assert "WebAssembly" in page.text("footer")


def test_scrubbing_moves_the_points(opened):
    page = opened()
    page.time(0)
    page.settle()
    noise = page.ink()
    label = page.page.locator("#time").get_attribute("aria-valuetext")
    page.page.keyboard.press("End")
    page.until(lambda: page.page.locator("#time").get_attribute("aria-valuetext") != label)
    page.until(lambda: page.ink() != noise)


def test_playing_goes_from_noise_to_data(opened):
    page = opened()
    page.page.keyboard.press("Home")
    page.page.keyboard.press(" ")
    page.until(lambda: float(page.page.locator("#time").input_value()) > 0.2)
    page.page.keyboard.press(" ")
    stopped = page.page.locator("#time").input_value()
    page.settle()
    assert page.page.locator("#time").input_value() == stopped


def test_the_fields_are_drawn(opened):
    page = opened()
    page.time(2)
    page.settle()
    before = page.ink()
    for key, side in (
        ("2", "learned"),
        ("2", "difference"),
        ("3", "exact"),
        ("4", "learned"),
        ("4", "difference"),
    ):
        page.page.keyboard.press(key)
        page.page.click(f"[data-value={side}]:visible >> nth=0")
        page.until(lambda: page.ink() > 1.5 * before)
    assert "Dashed lines: the exact law" in page.text(".sentence >> nth=0")
    page.page.keyboard.press("1")
    page.until(lambda: page.ink() < 1.5 * before)


def test_a_clicked_point_is_answered_as_by_the_package(opened, tiny, tmp_path):
    points = np.random.default_rng(3).normal([1.0, -2.0], [2.0, 0.5], size=(200, 2))
    run = tiny(data=points)
    page = opened(path=run.view().save(tmp_path / "run.html"))
    page.time(2)
    page.page.locator(".stage").click(position={"x": 300, "y": 200})
    said = page.until(lambda: re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", page.text("#point-note")))
    ratio, *found = map(float, said)
    level, model = run.model.plan()[0].levels.at(2), run.model
    sigma = level.sigma.item()
    assert ratio == pytest.approx(sigma, rel=0.01)
    # The data has deviation 1 in the picture, which is 3.2 wide to each side inside a border of 1 pixel.
    box = page.page.locator(".stage").bounding_box()
    y = np.array([(2 * 301 / box["width"] - 1) * 3.2, (1 - 2 * 201 / box["height"]) * 3.2])
    x = torch.tensor(y * np.hypot(1, sigma), dtype=torch.float32)[None]
    exact = EmpiricalOracle(points).scaled(model.codec.affine)
    with torch.no_grad():
        for answer, denoiser in ((found[:2], exact), (found[2:4], model.denoiser)):
            expected = model.codec.decode(denoiser(x, level))[0]
            np.testing.assert_allclose(answer, expected, rtol=0.01, atol=0.02)


def test_it_trains_again_and_keeps_the_states(opened):
    page = opened()
    page.page.click("#train")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    last = int(page.page.locator("#history").get_attribute("max"))
    assert last >= 5
    page.page.keyboard.press("Shift+ArrowLeft")
    page.until(lambda: page.page.locator("#history").input_value() == str(last - 1))
    assert page.text("#ratio") != "…"


@pytest.mark.slow
def test_it_learns(browser, tmp_path):
    run = diffuscope.train(
        "s_curve",
        out=tmp_path / "run",
        settings={"training.steps": 250, "data.size": 3000, "network.width": 32},
        pictures=False,
    )
    saved = run.view().save(tmp_path / "run.html")
    page = Page(browser, saved)
    page.page.wait_for_selector(".stage")
    page.measured()
    page.page.click("#train")
    page.until(lambda: "250" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    trained = float(page.text("#ratio"))
    page.context.close()
    assert trained < 3
    assert page.trouble == []


def test_what_is_drawn_is_trained_on(opened):
    page = opened()
    page.page.click("#draw")
    box = page.page.locator(".stage").bounding_box()
    mouse = page.page.mouse
    mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    mouse.down()
    for i in range(20):
        mouse.move(box["x"] + (0.2 + 0.03 * i) * box["width"], box["y"] + 0.5 * box["height"])
    mouse.up()
    mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.page.click("#draw-done")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    assert page.text("h1") == "Diffuscope drawn · fast"
    assert "No network can get below" in page.text("body")
    page.page.click("#draw")
    page.page.select_option("#sets", "checkerboard")
    page.until(lambda: page.text("h1") == "Diffuscope checkerboard · fast")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()


def test_it_draws_again_after_the_context_was_lost(opened):
    page = opened()
    before = page.ink()
    page.page.evaluate(
        """() => {
          const gl = document.querySelector('.stage canvas').getContext('webgl2');
          window.lost = gl.getExtension('WEBGL_lose_context');
          window.lost.loseContext();
        }"""
    )
    page.settle()
    page.page.evaluate("() => window.lost.restoreContext()")
    page.until(lambda: page.ink() == pytest.approx(before, rel=0.05))


def test_it_draws_without_webgl(opened):
    page = opened("#webgl=0")
    assert "without WebGL" in page.text("footer")
    assert page.ink() > 500


def test_it_works_by_keyboard_alone(opened):
    page = opened()
    page.page.locator(".stage").focus()
    page.page.keyboard.press("ArrowUp")
    page.until(lambda: "E[x₀|x_t]" in page.text("#point-note"))
    reached = set()
    page.page.evaluate("() => document.activeElement.blur()")
    for _ in range(60):
        page.page.keyboard.press("Tab")
        reached.add(
            page.page.evaluate(
                "() => document.activeElement.id || document.activeElement.getAttribute('class')"
            )
        )
    assert {"language", "time", "play", "train", "sampler", "stage", "signal", "save-file"} <= reached


def test_it_fits_a_phone(opened):
    page = opened(has_touch=True, is_mobile=True, device_scale_factor=2)
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.until(lambda: page.page.evaluate("() => document.documentElement.scrollWidth") <= 360)
    page.page.locator(".stage").tap(position={"x": 100, "y": 120})
    page.until(lambda: "E[x₀|x_t]" in page.text("#point-note"))


def test_it_speaks_both_languages(opened):
    page = opened()
    english = page.text("body")
    page.page.click("#language")
    assert page.page.locator("html").get_attribute("lang") == "zh-CN"
    chinese = page.text("body")
    assert "样本有多好" in chinese
    for sentence in ("How good are the samples?", "Real points", "No network can get below"):
        assert sentence in english
        assert sentence not in chinese
    assert opened("#lang=zh").page.locator("html").get_attribute("lang") == "zh-CN"


def test_without_scripts_it_shows_a_picture(browser, saved):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(saved.as_uri())
    assert page.locator("img").is_visible()
    size = page.locator("img").bounding_box()
    assert size["width"] > 300
    context.close()


def test_a_name_from_a_run_is_text_in_the_browser(browser, small_run, tmp_path):
    view = small_run.view()
    evil = "</script><img src=x onerror='document.title=1'><b>bold</b>"
    view.payload["title"] = evil
    page = Page(browser, view.save(tmp_path / "run.html"))
    page.page.wait_for_selector(".stage")
    assert evil in page.text("h1")
    assert page.page.locator("h1 b, img").count() == 0
    page.context.close()


def barriers(page: Page) -> list[Any]:
    """Return what is seriously wrong for those who do not see a page, or use no mouse."""
    source = WEB / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        pytest.skip("axe-core is not installed: make web")
    page.page.evaluate(source.read_text("utf-8"))
    found = page.page.evaluate("async () => (await axe.run()).violations")
    return [
        (one["id"], [node["html"][:90] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_it_is_accessible(opened):
    page = opened()
    page.page.keyboard.press("2")
    page.settle()
    assert barriers(page) == []


@pytest.mark.slow
def test_it_says_what_was_learned_by_heart_and_the_call_in_python(opened):
    page = opened()
    page.until(lambda: "nearer to a training point" in page.text("body"))
    page.page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    page.settle()
    code = page.text("#python")
    assert 'diffuscope.train("s_curve", recipe="fast", settings={' in code
    compile(code, "page", "exec")
    assert '"network.width": 8,' in code
    page.page.get_by_label("Training points").fill("20")
    page.page.click("#train")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    assert '"data.size": 20,' in page.text("#python")


def budget(page: Page) -> list[float]:
    """Return the numbers of the waterfall: the floor, four parts, the samples."""
    page.until(
        lambda: (
            re.search(r"[.。]", page.text("#budget-note")) and "…" not in page.text("#budget output >> nth=5")
        )
    )
    return [float(one.replace("−", "-")) for one in page.page.locator("#budget output").all_text_contents()]


def test_parts_are_exchanged_for_exact_ones(opened):
    page = opened()
    real, *parts, total = budget(page)
    assert real + sum(parts) == pytest.approx(total, abs=0.03)
    assert max(parts) == parts[0] > 1  # of a few sampling steps
    ends = page.page.locator("#budget .fall").nth(1).get_attribute("title")
    low, high = map(float, re.search(r"interval \+([\d.]+) to \+([\d.]+)", ends).groups())
    assert low < parts[0] < high
    assert page.page.locator("#budget .interval:not(.hidden)").count() == 4
    training_set = page.page.locator("#budget [data-value=exact]").nth(2)
    assert training_set.is_disabled()
    page.page.locator("#budget [data-value=exact]").nth(0).click()
    page.until(lambda: "49,500 evaluations" in page.text("body"))  # 50 steps of Heun's method, 500 points
    page.page.locator("#budget [data-value=exact]").nth(3).click()
    assert training_set.is_enabled()
    training_set.click()
    page.until(lambda: budget(page)[-1] < 1.6 < total)
    assert float(page.text("#ratio")) == budget(page)[-1]
    page.page.locator("#budget [data-value=yours]").nth(3).click()
    page.page.locator("#budget [data-value=yours]").nth(0).click()
    page.until(lambda: budget(page)[-1] == total)


def test_a_schedule_is_edited_seen_and_trained_with(opened):
    page = opened()
    page.page.select_option("#schedule", "linear")
    page.until(lambda: "real points" in page.text(".main .sentence"))
    page.settle()
    before, said = page.ink(), page.text("#schedule-note")
    page.page.locator(".schedule circle").nth(1).focus()
    for _ in range(12):
        page.page.keyboard.press("ArrowUp")
    assert page.text("#schedule-note") != said
    assert float(page.page.get_by_label("end").input_value()) < 0.02
    page.until(lambda: page.ink() != before)
    box = page.page.locator(".schedule").bounding_box()
    page.page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.5 * box["height"])
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.86 * box["height"], steps=4)
    page.page.mouse.up()
    assert float(re.search(r"= ([\d.e-]+)", page.text("#schedule-note"))[1]) < 0.01
    page.page.click("#schedule-use")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    page.page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    page.settle()
    assert '"schedule.name": "linear",' in page.text("#python")


def test_the_page_saves_itself_as_it_is_now(opened, tmp_path):
    page = opened()
    page.page.click("#draw")
    page.page.select_option("#sets", "moons")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    budget(page)
    page.page.click("#language")
    with page.page.expect_download() as download:
        page.page.click("#save-file")
    path = tmp_path / "again.html"
    download.value.save_as(path)
    assert path.stat().st_size < 500_000
    again = opened(path=path)
    assert again.text("h1") == "Diffuscope moons · fast"
    assert again.page.locator("html").get_attribute("lang") == "zh-CN"
    assert re.findall(r"[\d.]+", again.text("#here")) == re.findall(r"[\d.]+", page.text("#here"))
    with again.page.expect_download() as download:  # and so can what was saved
        again.page.click("#save-file")
    download.value.save_as(tmp_path / "third.html")
    assert opened(path=tmp_path / "third.html").text("h1") == "Diffuscope moons · fast"


@pytest.mark.slow
def test_a_link_has_all_settings(opened):
    page = opened()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    page.page.fill("#set-batch", "32")
    page.page.fill("#set-steps", "20")
    page.page.select_option("#schedule", "flow")
    page.page.click("#schedule-use")
    page.until(lambda: "20" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.page.click("#copy-link")
    page.until(lambda: "Copied" in page.text("#saved"))
    link = page.page.evaluate("() => navigator.clipboard.readText()")
    again = opened(link[link.index("#") :])
    again.until(lambda: "20" in again.text("#train-note") and again.page.locator("#history").is_visible())
    again.page.evaluate("() => document.querySelectorAll('details').forEach(d => (d.open = true))")
    again.settle()
    assert again.text("#python") == page.text("#python")
    assert '"training.batch_size": 32,' in again.text("#python")


def test_the_number_is_that_of_the_chosen_sampler(opened):
    page = opened("#sampler=euler&samplerSteps=4")
    assert page.text("#here").split(": ")[1].startswith(page.text("#ratio"))
    assert "measured in Python" not in page.text("body")
    page.page.select_option("#sampler", "dpmpp_2m")  # the run's own
    page.until(lambda: "measured in Python" in page.text("body"))


def test_a_link_says_what_is_looked_at_and_trains_only_for_other_settings(opened):
    link = "#lang=zh&field=score&side=exact&level=0.5&point=0.2,0.1&exact=start&sampler=euler&samplerSteps=7"
    page = opened(link)
    pressed = "[aria-pressed=true][data-value={}]"
    for value in ("score", "exact"):
        assert page.page.locator(f".frame {pressed.format(value)}, .bar {pressed.format(value)}").count() == 1
    assert page.page.locator(f"#budget {pressed.format('exact')}").count() == 1
    assert page.page.input_value("#sampler") == "euler"
    assert "7 级" in (page.page.get_attribute("#time", "aria-valuetext") or "")
    page.until(lambda: "E[x₀|x_t]" in page.text("main"))
    assert not page.page.locator("#history").is_visible()  # nothing was trained
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.page.click("#copy-link")
    page.until(lambda: "已复制" in page.text("#saved"))
    copied = unquote(page.page.evaluate("() => navigator.clipboard.readText()"))
    said = dict(part.split("=") for part in copied.split("#")[1].split("&"))
    assert abs(float(said.pop("level")) - 0.5) < 0.4
    assert said == dict(part.split("=") for part in link[1:].split("&") if not part.startswith("level"))


@pytest.mark.parametrize(
    "fragment",
    [
        "law=%7B%22kind%22%3A%22points%22%7D",
        "law=%7B%22kind%22%3A%22builtin%22%2C%22name%22%3A%22constructor%22%7D",
        "schedule=%7B%22name%22%3A%22linear%22%2C%22T%22%3A1e12%7D",
        "steps=x&width=&sampler=evil&distance=__proto__",
        "field=constructor&side=evil&mode=&level=-1&point=1,x&exact=evil",
    ],
)
def test_a_link_that_says_nonsense_changes_nothing(opened, fragment):
    page = opened(f"#{fragment}")
    assert page.text("h1") == "Diffuscope s_curve · fast"
    assert page.text("#train-note") == ""


@pytest.mark.slow
def test_text_a_picture_and_a_table_are_drawn(opened, tmp_path):
    page = opened()
    page.page.click("#draw")
    assert page.page.locator("#draw-done").is_disabled()
    page.page.fill("#shape-text", "S")
    page.page.click("#shape-add")
    assert page.page.locator("#draw-done").is_enabled()
    picture = tmp_path / "disc.png"
    x, y = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 90))
    Image.fromarray(np.where(np.hypot(x, y) < 0.7, 0, 255).astype(np.uint8)).save(picture)
    page.page.set_input_files("#shape-file", picture)
    page.settle()
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("no numbers here")
    page.page.set_input_files("#shape-file", nothing)
    page.until(lambda: "Nothing in it" in page.text("#shape-note"))
    page.page.click("#draw-done")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    assert page.text("h1") == "Diffuscope drawn · fast"
    page.page.click("#draw")
    table = tmp_path / "points.csv"
    rows = np.random.default_rng(0).normal(size=(100, 2))
    table.write_text("name,x,y\n" + "".join(f"a{i},{a:.4f},{b:.4f}\n" for i, (a, b) in enumerate(rows)))
    page.page.set_input_files("#shape-file", table)
    page.until(lambda: page.text("h1") == "Diffuscope pasted · fast")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())
    page.measured()
    assert "The law of this data is unknown" in page.text("footer")
    with page.page.expect_download() as download:
        page.page.click("#save-file")
    download.value.save_as(tmp_path / "again.html")
    assert opened(path=tmp_path / "again.html").text("h1") == "Diffuscope pasted · fast"


HANDED = {
    "drop": """text => {
        const data = new DataTransfer();
        data.items.add(new File([text], 'points.csv', { type: 'text/csv' }));
        const options = { dataTransfer: data, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new DragEvent('drop', options));
    }""",
    "paste": """text => {
        const clipboardData = new DataTransfer();
        clipboardData.setData('text', text);
        document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
    }""",
}


@pytest.mark.parametrize("way", HANDED)
def test_a_table_is_dropped_or_pasted(opened, way):
    rows = np.random.default_rng(0).normal([3.0, -5.0], [1.0, 0.2], size=(80, 2))
    text = "x\ty\n" + "".join(f"{a:.4f}\t{b:.4f}\n" for a, b in rows)
    page = opened()
    page.page.evaluate(HANDED[way], text)
    page.settle()
    assert page.text("h1") != "Diffuscope pasted · fast"  # only where data is drawn
    page.page.click("#draw")
    page.page.evaluate(HANDED[way], "nothing that is a table")
    page.until(lambda: "Nothing in it" in page.text("#shape-note"))
    page.page.evaluate(HANDED[way], text)
    page.until(lambda: page.text("h1") == "Diffuscope pasted · fast")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#history").is_visible())


def test_a_number_out_of_its_range_says_what_can_be_had(opened):
    page = opened()
    points = page.page.locator("label:has-text('Points') input[type=number]").first
    points.fill("5")
    points.blur()
    page.until(lambda: "100 to 20,000 can be had" in page.text("body"))
    assert points.input_value() == "100"
    points.fill("500")
    points.blur()
    page.until(lambda: "can be had" not in page.text("body"))


def test_two_colours_are_two_classes(opened):
    page = opened()
    page.page.click("#draw")
    for colour, x in (("0", -1), ("1", 1)):
        page.page.click(f".pair [data-value='{colour}']:visible >> nth=0")
        page.page.get_by_label("x", exact=True).fill(str(x))
        page.page.get_by_role("button", name="Add a Gaussian").click()
    page.page.click("#draw-done")
    page.until(lambda: "30" in page.text("#train-note") and page.page.locator("#classes").is_visible())
    page.measured()
    real = page.text("#here")
    page.page.click("#classes [data-value='1']")
    page.until(lambda: re.search(r"\d", page.text("#here")) and page.text("#here") != real)
    page.page.focus("#guidance")
    page.page.keyboard.press("ArrowRight")
    assert page.text("#classes output") == "1.25"
    page.measured()


@pytest.mark.slow
def test_samplers_race(opened):
    page = opened()
    page.page.click("#race")
    page.until(lambda: "evaluations:" in page.text("body") and not page.page.locator("#race").is_disabled())
    said = re.search(r"(\w+), (\d+), at ([\d.]+) × floor", page.text("body"))
    assert said
    assert said[1] in ("ddpm", "ddim", "heun", "dpmpp_2m")
    assert 4 <= int(said[2]) <= 63
