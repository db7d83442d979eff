"""Make the pictures of the HTML report in ``docs/images`` anew, from a session of the demo.

    python scripts/screenshots.py [--folder docs/images]

Needs the extra `demo`, the dependency group `browser`, a Chromium, and, to keep files small,
pngquant (Debian: ``apt-get install chromium pngquant``).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tokentrace import analysis, readers
from tokentrace.report import html

IMAGES = Path(__file__).parents[1] / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SIZE = {"width": 1120, "height": 1250}


def page(folder: Path) -> Path:
    """Run the demo and write the page of its session."""
    command = [sys.executable, "-m", "tokentrace", "demo", "--dir", str(folder / "trace")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = analysis.sessions(readers.read([str(folder / "trace")], readers.Problems()))
    judged = tuple(map(analysis.judge, found))
    made = folder / "report.html"
    made.write_text(html.render(analysis.Report(found, judgements=judged)), "utf-8")
    return made


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=IMAGES)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        address = page(Path(scratch)).as_uri()
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shown = chromium.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=1.5)
            shown.goto(address)
            path = folder / f"report-{scheme}.png"
            shown.screenshot(path=path)
            if shutil.which("pngquant"):
                small = ["pngquant", "--force", "--strip", "--output", str(path), "128", str(path)]
                subprocess.run(small, check=True)
            print(f"{path} {path.stat().st_size:,} bytes")
        chromium.close()


if __name__ == "__main__":
    main()
