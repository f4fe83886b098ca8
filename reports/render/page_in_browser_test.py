"""The page in a real browser without network: no script error, marks in every chart, at three widths. Skipped, with exit code
77 and the reason, where there is no Chromium or no vl-convert-python."""
import json
import re
import struct
import sys
import unittest

from render.chart_library import chart_library
from render.extra_sections import inspect_section, profile_section
from render.extra_sections_test import png
from render.headless_browser import find_browser, page
from render.html_page import html_page
from render.page_picture import page_picture
from render.report import UnusableInput, read_reports
from render.test_support import HOSTILE, REPORTS, ReportsTest

SKIPPED = 77
WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
# Marks of data: not axes, grids or legends.
MARKS = """Object.fromEntries([...document.querySelectorAll("figure")].map((figure) =>
    [figure.id, figure.querySelectorAll(".mark-symbol.role-mark path, .mark-rect.role-mark path").length]))"""
REFERENCE = REPORTS / "reference" / "h100" / "default.json"
CHARTS = {"speedup", "memory_time", "roofline", "error_speedup", "operations_time", "memory_items"}


def rows_of_the_reference():
    """How many there are, and how many of them were measured."""
    rows = json.loads(REFERENCE.read_text())["rows"]
    return len(rows), sum(row["disposition"] == "measured" for row in rows)


class BrowserTest(ReportsTest):
    @classmethod
    def setUpClass(cls):
        cls.page = cls.enterClassContext(page(find_browser()))

    def open(self, paths, size=WIDTHS["desktop"], dark=False):
        path = self.folder / "page.html"
        path.write_text(html_page(read_reports(paths)))
        self.page.open(path, *size, dark)
        self.page.evaluate("window.drawn")

    def choose(self, id, value):
        event = "input" if id == "search" else "change"
        self.page.evaluate(f"void (element({id!r}).value = {value!r}, element({id!r}).dispatchEvent(new Event({event!r})))")
        self.page.evaluate("new Promise((done) => setTimeout(done, 500))")

    def tearDown(self):
        self.assertEqual(self.page.errors, [])

    def test_every_chart_has_marks_at_every_width(self):
        for name, size in WIDTHS.items():
            for dark in (False, True):
                with self.subTest(width=name, dark=dark):
                    self.open([REFERENCE], size, dark)
                    marks = self.page.evaluate(MARKS)
                    self.assertEqual(set(marks), CHARTS)
                    self.assertGreater(min(marks.values()), 10, marks)
                    self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), size[0])
                    too_wide = """[...document.querySelectorAll("figure")].filter((figure) =>
                        figure.querySelector("svg").getBoundingClientRect().right > figure.getBoundingClientRect().right + 1).length"""
                    self.assertEqual(self.page.evaluate(too_wide), 0)
                    self.assertEqual(self.page.errors, [])

    def test_points_have_the_widths_of_the_data(self):
        """A mark a row: those that the filters leave."""
        self.open([REFERENCE])
        self.choose("mark", "")
        self.assertEqual(self.page.evaluate(MARKS)["memory_time"], rows_of_the_reference()[1])
        self.choose("precision", "fp16")
        only_fp16 = self.page.evaluate("currentReport().rows.filter((row) => row.precision === 'fp16' && row.median_us).length")
        self.assertGreater(only_fp16, 0)
        self.assertEqual(self.page.evaluate(MARKS)["memory_time"], only_fp16)
        self.choose("search", "no such row")
        self.assertEqual(self.page.evaluate(MARKS), {})
        self.assertEqual(self.page.evaluate("element('rows').tBodies[0].rows.length"), 0)

    def test_the_table_sorts_and_shows_more(self):
        self.open([REFERENCE])
        cells = "[...element('rows').tBodies[0].rows].map((row) => row.cells[6].textContent)"
        self.assertEqual(len(self.page.evaluate(cells)), 50)
        while self.page.evaluate("!element('more').hidden"):
            self.page.evaluate("element('more').click()")
        for order, click in (("ascending", 1), ("descending", 2)):
            self.page.evaluate("document.querySelectorAll('#rows th button')[6].click()")
            self.assertEqual(self.page.evaluate("document.querySelectorAll('#rows th')[6].getAttribute('aria-sort')"), order)
            times = self.page.evaluate(cells)
            rows, measured = rows_of_the_reference()
            self.assertEqual(len(times), rows)
            self.assertEqual(times[measured:], [""] * (rows - measured))
            numbers = [float(re.sub(",", "", time)) for time in times[:measured]]
            self.assertEqual(numbers, sorted(numbers, reverse=click == 2))

    def test_several_reports_of_a_machine_have_a_history(self):
        paths = [self.write(f"{day}.json", self.of_another_day(f"{day:040}", day, 1 + day / 10)) for day in (1, 2, 3)]
        self.open(paths)
        measured = sum(row["disposition"] == "measured" for row in self.document["rows"])
        self.choose("mark", "")
        self.assertEqual(self.page.evaluate(MARKS)["history"], 3 * measured)
        self.assertEqual(self.page.evaluate("historyRows().at(-1).relative"), 1.3 / 1.1)

    def test_accuracy_has_its_chart_where_rows_tell_it(self):
        self.document["rows"][4]["accuracy"] = 0.9
        self.open([self.write("a.json")])
        self.assertEqual(self.page.evaluate(MARKS)["accuracy_speedup"], 1)

    def test_names_are_text(self):
        self.document["rows"][4] |= {"name": HOSTILE, "variant": HOSTILE, "layer": HOSTILE, "choice": HOSTILE}
        self.document["context"]["device"]["name"] = HOSTILE
        self.open([self.write("a.json")])
        self.assertEqual(self.page.evaluate("document.querySelectorAll('img').length"), 0)
        self.assertIn(HOSTILE.split("\n", 1)[0], self.page.evaluate("document.body.textContent"))

    def test_checkpoints_and_profiles(self):
        self.write("conv1.json", {"name": "conv1"})
        (self.folder / "conv1_dictionary.png").write_bytes(png(5, 3))
        rows = [{"name": name, "calls": calls} for name, calls in ((HOSTILE, 10), ("b", 9), ("c", None), ("d", 100))]
        sections = [inspect_section(self.folder), profile_section(self.write("p.table.json", {"rows": rows}))]
        path = self.folder / "page.html"
        path.write_text(html_page(read_reports([REPORTS / "fixtures" / "version1.json"]), sections))
        for size in WIDTHS.values():
            self.page.open(path, *size)
            self.page.evaluate("window.drawn")
            self.assertEqual(self.page.evaluate("[...document.images].map((image) => image.naturalWidth)"), [5])
            self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), size[0])
            calls = "[...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[1].textContent)"
            self.assertEqual(self.page.evaluate(calls), ["10", "9", "", "100"])
            self.page.evaluate("document.querySelectorAll('.sortable button')[1].click()")
            self.assertEqual(self.page.evaluate(calls), ["9", "10", "100", ""])
            self.page.evaluate("document.querySelectorAll('.sortable button')[1].click()")
            self.assertEqual(self.page.evaluate(calls), ["100", "10", "9", ""])

    def test_a_picture_of_the_page(self):
        picture = page_picture(html_page(read_reports([REPORTS / "fixtures" / "version1.json"])), 820)
        self.assertEqual(picture[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", picture[16:24])
        self.assertEqual(width, 820)
        self.assertGreater(height, 800)

    def test_the_theme_changes_by_its_button(self):
        self.open([REPORTS / "fixtures" / "version1.json"])
        colour = "getComputedStyle(document.body).backgroundColor"
        before = self.page.evaluate(colour)
        self.page.evaluate("element('theme').click()")
        self.assertNotEqual(self.page.evaluate(colour), before)
        self.page.evaluate("new Promise((done) => setTimeout(done, 500))")


if __name__ == "__main__":
    try:
        chart_library()
    except UnusableInput as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    if not find_browser():
        print("skipped: no Chromium was found (Debian: chromium)")
        sys.exit(SKIPPED)
    unittest.main()
