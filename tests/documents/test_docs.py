"""The documentation: it builds, it is complete, and a page that is opened fetches nothing."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from sphinx.errors import SphinxError

import lockstep
from docs.generate import GENERATED, commands, filled, mathml, mistakes, notebooks
from docs.generate import files as generated_files
from lockstep.backends import registry
from lockstep.cli import main
from lockstep.data import datasets
from lockstep.diagnosis.mistakes import CATALOGUE, FORMATS
from lockstep.proof.comparison import VIEWS
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe, named_recipes
from lockstep.runs import records

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*command, "-d", folder / "read", DOCS, folder / "html"],
        cwd=ROOT, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "html"


class Fetched(HTMLParser):
    """Collects the addresses that a browser fetches by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.addresses.append(given.get("src") or "")
        if tag == "link":
            self.addresses.append(given.get("href") or "")


def remote(page: str) -> list[str]:
    """What a page's HTML, or a style sheet, would fetch from elsewhere than beside itself."""
    fetched = Fetched()
    fetched.feed(page)
    styled = re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", page)
    return [a for a in fetched.addresses + styled if re.match(r"(https?:/)?/", a)]


def test_what_would_be_fetched_is_seen():
    page = '<script src="https://a/x.js"></script><link href="//b/y.css"><img src="z.png">'
    assert remote(page) == ["https://a/x.js", "//b/y.css"]
    assert remote("@font-face { src: url(https://c/font.woff2) }") == ["https://c/font.woff2"]
    assert remote('<img src="/_static/logo.svg">') == [
        "/_static/logo.svg"
    ]  # no project page has it
    assert remote('<a href="https://d">a link waits for a click</a>') == []


def test_no_page_fetches_anything_from_elsewhere(site):
    assert (site / ".nojekyll").is_file()
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 25
    for page in pages:
        assert not remote(page.read_text(encoding="utf-8")), page


def words_of(page: Path) -> str:
    """The text of a page without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_public_name_is_in_the_reference(site):
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    for name in lockstep.__all__:
        module, attribute = lockstep.HOMES.get(name, ("", name))
        module = f"lockstep.{name}" if attribute is None else "lockstep"
        anchor = f"module-{module}" if attribute is None else f"lockstep.{name}"
        assert f'id="{anchor}"' in page, name


def test_every_lesson_is_a_page_with_its_pictures(site):
    lessons = {path.stem for path in ROOT.glob("*.ipynb")}
    assert set(notebooks.LESSONS) == lessons
    for name in lessons:
        cells = json.loads((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        pictures = sum(
            "image/png" in output.get("data", {})
            for cell in cells
            for output in cell.get("outputs", [])
        )
        page = (site / "tutorials" / f"{name}.html").read_text(encoding="utf-8")
        assert len(re.findall(r'<img [^>]*src="\.\./_images/', page)) == pictures > 0
        assert "<math" in page and "$$" not in words_of(site / "tutorials" / f"{name}.html")


def test_every_flag_of_every_command_is_in_the_reference():
    """Against the help that each command prints."""
    page = GENERATED["commands"]()
    for command in main.COMMANDS:
        _, _, section = page.partition(f"## lockstep {command}\n")
        section = section.partition("\n## ")[0]
        shown = re.findall(r"^  (--[a-z0-9-]+)", commands.parser_of(command).format_help(), re.M)
        assert len(shown) >= 2
        for flag in shown:
            assert f"`{flag} " in section or f"`{flag}`" in section, (command, flag)


def test_every_setting_optimizer_and_named_recipe_is_in_the_reference():
    page = GENERATED["recipe"]()
    for field in dataclasses.fields(Recipe):
        assert f"| `{field.name}` |" in page and field.metadata["words"] in page
    optimizers = GENERATED["optimizers"]()
    for name, numbers in OPTIMIZER_NUMBERS.items():
        assert f"| `{name}` |" in optimizers and all(f"`{n}`" in optimizers for n in numbers)
    assert all(f"### {name}\n" in GENERATED["recipes"]() for name in named_recipes())


def test_every_key_of_the_results_is_in_the_reference():
    """Against what Python says of the classes that `Results` is made of."""
    page = GENERATED["files"]()
    kinds, seen = [records.Results], set()
    while kinds:
        kind = kinds.pop()
        if kind in seen:
            continue
        seen.add(kind)
        section = page.partition(f"### {kind.__name__}\n")[2].partition("\n### ")[0]
        for name, hint in get_type_hints(kind).items():
            assert f"| `{name}` |" in section, (kind.__name__, name)
            inner = [hint, *get_args(hint), *(a for h in get_args(hint) for a in get_args(h))]
            kinds += [k for k in inner if getattr(k, "__module__", "") == records.__name__]
    assert len(seen) == len(list(generated_files.classes())) >= 4


def test_every_mistake_is_on_its_page():
    page = GENERATED["mistakes"]()
    for kind in CATALOGUE:
        assert f"class {kind.__name__}(" in page
        found = mistakes.rows(kind)
        assert found, kind
        for row in found:
            assert f"**{row.name}**".replace("|", "\\|") in page, row.name
    assert all(f"**{form.name} rounding**" in page for form in FORMATS)


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("loss summed", ""),
        ("no activation", "a hidden layer"),
        ("weights transposed", "a square layer"),
        ("weight decay missing", "`adamw`"),
        ("schedule ignored", "a schedule"),
        ("L2 penalty on biases", "an L2 penalty"),
        ("epsilon beside the root", "`rmsprop`, Keras' formulas"),
    ],
)
def test_when_a_mistake_is_possible_is_told(name, needs):
    """Read off the formulas by hand."""
    (row,) = {row for kind in CATALOGUE for row in mistakes.rows(kind) if row.name == name}
    assert row.needs == needs


def test_every_dataset_is_in_the_guide():
    assert all(f"| `{name}` |" in GENERATED["datasets"]() for name in datasets.NAMES)


def test_every_tolerance_is_on_the_page_of_the_proof():
    page = filled((DOCS / "how" / "proof.md").read_text(encoding="utf-8"))
    assert "| float64 | free | 1e-12 | 1e-12 | 1e-13 | 1e-12 | 1e-13 |" in page
    assert "| float32 | free |" + 5 * " not tested |" in page
    assert all(f"**{view.capitalize()}.**" in page for view in VIEWS)


def test_every_backend_and_folder_is_in_the_pages():
    install = (DOCS / "install.md").read_text(encoding="utf-8")
    extras = [name for name in registry.names() if name != registry.REFERENCE]
    assert all(f"| `{name}` |" in install for name in extras)
    house = (DOCS / "how" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "lockstep").iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"`{path.name}/`" in house, path.name


def test_a_page_asks_for_what_there_is_and_all_of_it_is_asked_for():
    pages = [p.read_text(encoding="utf-8") for p in DOCS.rglob("*.md") if "_build" not in p.parts]
    asked = re.findall(r"<!-- generated: (\w+) -->", "".join(pages))
    assert sorted(asked) == sorted(GENERATED)
    with pytest.raises(KeyError):
        filled("<!-- generated: nothing -->")


def test_a_formula_becomes_mathml_and_a_wrong_one_stops_the_build():
    assert mathml.mathml("x^2", block=False) == "<math><msup><mi>x</mi><mn>2</mn></msup></math>"
    assert 'display="block"' in mathml.mathml("x", block=True)
    with pytest.raises(SphinxError, match="wrong"):
        mathml.mathml(r"\wrong{x}", block=True)


def test_lessons_link_to_each_other():
    assert (
        notebooks.linked("see `NN_PyTorch.ipynb`") == "see [`NN_PyTorch.ipynb`](NN_PyTorch.ipynb)"
    )
    assert notebooks.linked("`other.ipynb`") == "`other.ipynb`"
