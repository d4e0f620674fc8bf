"""The report in a real browser: opened from a file, with the network refused."""

from __future__ import annotations

import re
import shutil

import finished_run
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import absent
from msgspec.structs import replace
from playwright.sync_api import Error, Page, expect, sync_playwright

from lockstep.proof.comparison import Proofs
from lockstep.recipe import Recipe
from lockstep.report import load
from lockstep.report.html import page
from lockstep.runs import files
from lockstep.runs.typed import plain

pytestmark = pytest.mark.costly

PARTS = ["learning", "same", "cost", "confusion", "digits", "weights", "code", "origin"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What Debian's Chromium needs to run as root without a display, and to ask nothing of anybody.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        absent("there is no Chromium (`apt-get install chromium`)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """Four backends, three seeds. Image 3 all get wrong; 5 only torch; 8 torch and jax differ."""
    truth = [int(label) for label in digits.test.labels]
    other = [(label + 1) % 10 for label in truth]
    wrong = {
        "numpy": {3: other[3]},
        "jax": {3: other[3], 8: other[8]},
        "tensorflow": {3: other[3]},
        "torch": {3: other[3], 5: other[5], 8: (truth[8] + 2) % 10},
    }
    folder = tmp_path_factory.mktemp("page") / "run"
    finished_run.write(folder, digits.test, wrong, seeds=3, tutorials={"torch": "DataLoader"})
    return page.write(load.load([folder]), folder)


@pytest.fixture
def opened(browser):
    """Opens a file; at the end nothing may have been asked for, and nothing complained."""
    contexts, asked, complaints = [], [], []

    def open_page(path, viewport=DESKTOP, **settings) -> Page:
        context = browser.new_context(viewport=viewport, offline=True, **settings)
        contexts.append(context)
        shown = context.new_page()
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(path.resolve().as_uri())
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []


def test_every_part_is_there_in_order(run, opened):
    shown = opened(run)
    found = shown.eval_on_selector_all("main section[id]", "all => all.map(one => one.id)")
    assert found == PARTS
    tiles = shown.locator(".tile")
    assert tiles.count() == 3
    expect(tiles.nth(2)).to_contain_text("1.0e-16")
    expect(shown.locator("#same")).to_contain_text("The same: over 30 steps in float64")
    assert shown.locator("#code article").count() == 4
    for name in ("loss", "accuracy", "accuracy-by-seed", "time-and-memory", "first-layer"):
        assert shown.locator(f"#figure-{name} svg").count() == 1, name
    assert shown.locator("#same figure").count() == 2 * 3  # two precisions, three frameworks


def test_every_figure_has_a_caption_words_for_screen_readers_and_its_numbers(run, opened):
    shown = opened(run)
    for figure in shown.locator("figure").all():
        svg = figure.locator("svg")
        assert svg.get_attribute("role") == "img"
        for attribute, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
            name = svg.get_attribute(attribute)
            assert len(figure.locator(f"{tag}[id='{name}']").text_content()) > 10
        assert len(figure.locator("figcaption").text_content()) > 20
        assert figure.locator("details table tbody tr").count() > 0


def test_a_click_on_a_cell_shows_its_digits_with_every_backends_probabilities(run, opened, digits):
    shown = opened(run)
    true = int(digits.test.labels[5])
    shown.get_by_role("button", name="torch", exact=True).click()
    cell = f"[data-matrix='3'] td[data-true='{true}'][data-answer='{(true + 1) % 10}'] button"
    shown.locator(cell).click()
    panel = shown.locator("#cell")
    expect(panel).to_contain_text(f"answered {(true + 1) % 10} by torch")
    chances = panel.locator("table.chances")
    strip = panel.locator(".strip button")
    strip.nth([s.get_attribute("aria-label") for s in strip.all()].index("test image 5")).click()
    expect(chances.locator("caption")).to_have_text(f"Test image 5, a {true}")
    table = [row.locator("td").all_text_contents() for row in chances.locator("tbody tr").all()]
    for name, cells in zip(("numpy", "jax", "tensorflow", "torch"), table, strict=True):
        sure = np.exp(4) / (np.exp(4) + 9)  # softmax of one logit 4 among nine 0
        answered = (true + 1) % 10 if name == "torch" else true
        assert cells[answered] == f"{100 * sure:.0f}"
        assert all(cells[i] == f"{100 * (1 - sure) / 9:.0f}" for i in range(10) if i != answered)


def test_the_count_in_a_cell_is_the_number_of_its_digits(run, opened):
    shown = opened(run)
    shown.get_by_role("button", name="torch", exact=True).click()
    for cell in shown.locator("[data-matrix='3'] td[data-count]:not(.right)").all():
        cell.locator("button").click()
        count = int(cell.get_attribute("data-count"))
        assert shown.locator("#cell .strip button").count() == count


def test_a_difference_shows_the_digits_in_one_and_not_in_the_other(run, opened, digits):
    shown = opened(run)
    true = int(digits.test.labels[8])
    row = f"table.differences[data-backend='1'] td[data-true='{true}']"
    assert shown.locator(f"{row}[data-answer='{true}']").text_content() == "−1"
    shown.locator(f"{row}[data-answer='{(true + 1) % 10}'] button").click()
    labels = [b.get_attribute("aria-label") for b in shown.locator("#cell .strip button").all()]
    assert labels == ["test image 8"]


def test_keys_walk_through_a_matrix_that_is_one_tab_stop(run, opened):
    shown = opened(run)
    stops = shown.locator("[data-matrix='0'] td button[tabindex='0']")
    assert stops.count() == 1
    place = """() => {
        const cell = document.activeElement.parentElement.dataset;
        return [Number(cell.true), Number(cell.answer)];
    }"""
    shown.locator("[data-matrix='0'] td[data-true='0'][data-answer='0'] button").focus()
    counts = {
        (int(cell.get_attribute("data-true")), int(cell.get_attribute("data-answer")))
        for cell in shown.locator("[data-matrix='0'] td[data-count]").all()
    }
    assert shown.evaluate(place) == [0, 0]
    # Every class has right answers; image 3 gives one cell beside the diagonal to walk to.
    aside = next(cell for cell in counts if cell[0] != cell[1])
    shown.locator(
        f"[data-matrix='0'] td[data-true='{aside[0]}'][data-answer='{aside[0]}'] button"
    ).focus()
    shown.keyboard.press("ArrowRight" if aside[1] > aside[0] else "ArrowLeft")
    assert shown.evaluate(place) == list(aside)
    shown.keyboard.press("ArrowDown" if aside[1] > aside[0] else "ArrowUp")
    assert shown.evaluate(place) == [aside[1], aside[1]]
    assert stops.count() == 1  # and it is where we are
    assert stops.evaluate("stop => stop === document.activeElement")
    shown.keyboard.press("Enter")
    expect(shown.locator("#cell h3")).to_contain_text(f"True {aside[1]}, answered {aside[1]}")


def test_the_matrix_of_another_backend_can_be_chosen(run, opened):
    shown = opened(run)
    expect(shown.locator("[data-matrix='0']")).to_be_visible()
    shown.get_by_role("button", name="jax", exact=True).press("Enter")
    expect(shown.locator("[data-matrix='1']")).to_be_visible()
    expect(shown.locator("[data-matrix='0']")).to_be_hidden()


def test_galleries_show_who_disagrees_and_what_all_get_wrong(run, opened, digits):
    shown = opened(run)
    disagree, worst = (gallery.locator("button") for gallery in shown.locator(".gallery").all())
    assert disagree.count() == 2 and worst.count() == 1
    true = int(digits.test.labels[8])
    said = disagree.locator(".says").all_text_contents()
    assert any(f"true {true}" in text and f"{(true + 1) % 10}: jax" in text for text in said)
    worst.first.click()
    expect(shown.locator("#chosen caption")).to_contain_text("Test image 3,")


def test_the_pictures_are_the_digits(run, opened, digits):
    """What the browser paints for the first digit of a gallery is that test image."""
    shown = opened(run)
    tile = shown.locator(".gallery .digit").last
    name = shown.locator(".gallery button").last.get_attribute("aria-label")
    index = int(re.match(r"test image (\d+)", name)[1])
    painted = tile.evaluate("""async tile => {
        const style = getComputedStyle(tile);
        const picture = new Image();
        picture.src = style.backgroundImage.slice(5, -2);
        await picture.decode();
        const side = 28 / parseFloat(style.width);
        const [x, y] = style.backgroundPosition.split(" ").map(v => -parseFloat(v) * side);
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 28;
        const context = canvas.getContext("2d");
        context.drawImage(picture, x, y, 28, 28, 0, 0, 28, 28);
        return [...context.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
    }""")
    assert np.array_equal(255 - np.array(painted), digits.test.images[index])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing_to_complain_of(run, opened, scheme, viewport):
    shown = opened(run, viewport, color_scheme=scheme)
    shown.locator("[data-matrix='0'] td.right button").first.click()
    shown.locator(".gallery button").first.click()
    for details in shown.locator("details").all():
        details.evaluate("one => { one.open = true; }")
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()


def test_axe_would_complain(run, opened):
    """The check is checked: a button without a name must not pass."""
    shown = opened(run)
    shown.evaluate("document.querySelector('.choice button').textContent = ''")
    assert Axe().run(shown).violations_count == 1


@pytest.mark.parametrize("width", [320, 360, 640, 1280])
def test_nothing_sticks_out_sideways(run, opened, width):
    """320 pixels are 1280 at a zoom of 400 %, 640 at 200 %."""
    shown = opened(run, {"width": width, "height": 800})
    shown.locator("[data-matrix='0'] td.right button").first.click()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_mode_turns_the_figures_dark(run, opened):
    for scheme, dark in (("light", False), ("dark", True)):
        shown = opened(run, color_scheme=scheme)
        colours = shown.evaluate("""() => {
            const text = document.querySelector("#figure-loss svg text");
            const light = (colour) => colour.match(/[0-9]+/g).slice(0, 3).map(Number)
                .reduce((a, b) => a + b) / 3;
            return [light(getComputedStyle(document.body).backgroundColor),
                    light(getComputedStyle(text).fill)];
        }""")
        assert (
            (colours[0] < 60 < 180 < colours[1]) if dark else (colours[1] < 60 < 180 < colours[0])
        )


def test_without_scripts_the_page_is_whole(run, opened):
    shown = opened(run, java_script_enabled=False)
    assert shown.locator("main section[id]").count() == len(PARTS)
    for matrix in shown.locator(".whose").all():
        expect(matrix).to_be_visible()
    expect(shown.locator("#cell")).to_be_hidden()


def test_the_policy_lets_no_other_script_run(run, opened, browser):
    context = browser.new_context(offline=True)
    shown = context.new_page()
    shown.goto(run.resolve().as_uri())
    shown.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
    }""")
    assert shown.evaluate("window.hacked") is None
    with pytest.raises(Error):
        shown.evaluate("fetch(location.href).then(answer => answer.text())")
    context.close()


def test_no_name_can_inject_markup(digits, tmp_path, opened):
    folder = tmp_path / "run"
    wrong = {"numpy": {}, "torch": {3: 0}}
    finished_run.write(folder, digits.test, wrong, name=finished_run.EVIL, title=finished_run.EVIL)
    found = load.load([folder])
    results = found.results
    results.dataset.classes[9] = finished_run.EVIL
    results.failures[finished_run.EVIL] = finished_run.EVIL
    results.backends["torch"] = replace(results.backends["torch"], version=finished_run.EVIL)
    evil = replace(results, environment=replace(results.environment, python=finished_run.EVIL))
    shown = opened(page.write(found._replace(results=evil, runs=[evil]), folder))
    shown.locator("[data-matrix='0'] td button").last.click()
    shown.locator(".gallery button").first.click()
    assert shown.evaluate("window.hacked") is None
    assert shown.locator("img").count() == 0 and shown.locator("script").count() == 2
    expect(shown.locator("h1")).to_contain_text(finished_run.EVIL)


def test_one_backend_alone_has_a_page_too(digits, tmp_path, opened):
    folder = finished_run.write(tmp_path / "run", digits.test, {"numpy": {3: 0, 4: 1}})
    (folder / "proof.json").unlink()
    shown = opened(page.write(load.load([folder]), folder))
    expect(shown.locator("#same")).to_contain_text("A proof needs something beside NumPy")
    assert shown.locator("table.differences").count() == 0
    assert Axe().run(shown).violations_count == 0


def test_a_planted_difference_is_told_and_marked(digits, tmp_path, opened):
    wrong = {"numpy": {}, "torch": {}}
    planted = ("torch", 12, 3, 1e-3)
    folder = finished_run.write(tmp_path / "run", digits.test, wrong, planted=planted)
    shown = opened(page.write(load.load([folder]), folder))
    expect(shown.locator("#same")).to_contain_text("Not the same: torch (free) first differs")
    figure = shown.locator("#figure-parity-torch-float64-free")
    expect(figure.locator("figcaption")).to_contain_text("dense1.weight at step 12, by 1.0e-03")
    expect(figure.locator("svg")).to_contain_text("first: step 12")
    assert figure.locator("td", has_text="NO").count() == 1
    expect(shown.locator(".tile").nth(2)).to_contain_text("1.0e-03")


def test_several_runs_are_told_apart_and_nothing_is_said_of_all(digits, tmp_path, opened):
    """Two runs that share neither recipe, nor seeds, nor first weights."""
    one = finished_run.write(
        tmp_path / "a", digits.test, {"numpy": {3: 0}, "torch": {}}, "a", seeds=2
    )
    other = finished_run.write(
        tmp_path / "b", digits.test, {"torch": {5: 1, 6: 1}}, "b $x$ 日本", seeds=2, first_seed=7,
        recipe=Recipe(hidden=(16,), optimizer="sgd", epochs=3), start="e",
    )  # fmt: skip
    both = tmp_path / "both"
    shown = opened(page.write(load.load([one, other]), both))
    learning = shown.locator("#learning .lead")
    expect(learning).to_contain_text("Significance of torch · b $x$ 日本")
    same = shown.locator("#same")
    expect(same).to_contain_text("the first weights")
    expect(same).to_contain_text("e" * 64)
    expect(shown.locator("#weights")).not_to_contain_text("started alike")
    assert shown.locator("#same figure").count() == 4
    row = "table.differences[data-backend='2'] td[data-count]"
    for cell in shown.locator(row).all():
        cell.locator("button").click()
        expect(shown.locator("#cell h3")).to_contain_text("shown")
        assert shown.locator("#cell .strip button").count() > 0
    assert Axe().run(shown).violations_count == 0


def test_a_different_start_is_told(digits, tmp_path, opened):
    folder = finished_run.write(tmp_path / "run", digits.test, {"numpy": {}, "torch": {}})
    found = load.load([folder])
    backends = found.results.backends
    backends["torch"] = replace(backends["torch"], batch_order_sha256="f" * 64)
    shown = opened(page.write(found, folder))
    expect(shown.locator("#same")).to_contain_text("torch: " + "f" * 64)


def test_a_proof_that_failed_is_told(digits, tmp_path, opened):
    folder = finished_run.write(tmp_path / "run", digits.test, {"torch": {}})
    proofs = Proofs(failed="torch <b>broke</b>")
    files.write_json(folder / "proof.json", plain(proofs))
    shown = opened(page.write(load.load([folder]), folder))
    expect(shown.locator("#same .alarm")).to_have_text("There is no proof: torch <b>broke</b>")
    expect(shown.locator(".tile").nth(2)).to_contain_text("the proof in float64 failed")
