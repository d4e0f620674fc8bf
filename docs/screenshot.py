"""Photograph a report for the README: `python docs/screenshot.py runs/readme`.

Writes docs/report.png, light and dark side by side. Needs what the tests need: Playwright and
Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1180, 1480
HERE = Path(__file__).parent


def photograph(page: Path) -> Image.Image:
    """The top of the page in light, and the confusion matrices in dark."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        shots = []
        for scheme, part in (("light", "header"), ("dark", "#confusion")):
            size = {"width": WIDTH, "height": HEIGHT}
            shown = browser.new_page(viewport=size, color_scheme=scheme)
            shown.goto(page.resolve().as_uri())
            shown.locator(part).evaluate("part => part.scrollIntoView()")
            shots.append(Image.open(io.BytesIO(shown.screenshot())).convert("RGB"))
        browser.close()
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for place, shot in enumerate(shots):
        both.paste(shot, (place * WIDTH, 0))
    return both.resize((WIDTH * 3 // 2, HEIGHT * 3 // 4), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    picture = photograph(Path(sys.argv[1]) / "report.html")
    picture.quantize(256, dither=Image.Dither.NONE).save(HERE / "report.png", optimize=True)
