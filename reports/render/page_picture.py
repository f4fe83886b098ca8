"""The top of a page as a browser shows it, as PNG."""
import pathlib
import tempfile

from render.headless_browser import NAMES, find_browser, page
from render.report import UnusableInput

MOST_HEIGHT = 2000


def page_picture(html, width):
    browser = find_browser()
    if browser is None:
        raise UnusableInput(f"--screenshot needs a browser: {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as folder, page(browser) as opened:
        path = pathlib.Path(folder) / "page.html"
        path.write_text(html)
        opened.open(path, width, MOST_HEIGHT)
        opened.evaluate("window.drawn")
        return opened.screenshot(MOST_HEIGHT)
