"""The page's structure, its colours and its charts' specifications, without a browser."""
import html.parser
import itertools
import json
import re
import subprocess
import sys
import unittest
import unittest.mock

from render import html_page
from render.charts import charts
from render.palette import COLOURS, variant_scale
from render.report import read_report
from render.roofs import roofs
from render.row_summary import summaries
from render.test_support import FIXTURE, HOSTILE, REPORTS, ReportsTest


class Elements(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.texts = [], None, {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.open = dict(attributes).get("id", tag)

    def handle_data(self, data):
        self.texts[self.open] = self.texts.get(self.open, "") + data


def page_of(*paths):
    with unittest.mock.patch.object(html_page, "chart_library", lambda: "/* the library */"):
        return html_page.html_page([read_report(path) for path in paths])


class PageTest(ReportsTest):
    def test_nothing_is_fetched(self):
        page = page_of(FIXTURE)
        elements = Elements(page).found
        self.assertEqual([name for tag, attributes in elements for name in attributes if name in ("src", "href")], [])
        policy = [attributes["content"] for tag, attributes in elements if "http-equiv" in attributes]
        self.assertTrue(policy[0].startswith("default-src 'none'"))
        self.assertEqual(re.findall(r"@import|url\(", page), [])
        self.assertNotIn("{{", page)

    def test_the_data_are_the_reports_whatever_their_names_say(self):
        self.document["rows"][4]["name"] = HOSTILE
        self.document["context"]["device"]["name"] = HOSTILE
        elements = Elements(page_of(self.write("a.json")))
        self.assertEqual([tag for tag, _ in elements.found if tag in ("script", "img")], ["script"] * 3)
        data = json.loads(elements.texts["data"])
        self.assertEqual([row["name"] for row in data["reports"][0]["rows"]], [row["name"] for row in self.document["rows"]])
        self.assertEqual(len(data["charts"]), 8)

    def test_a_value_that_no_json_has_is_none(self):
        text = self.write("a.json").read_text().replace('"prepare_ms": ', '"prepare_ms": 1e999, "was": ', 1)
        self.assertIn("1e999", text)
        path = self.folder / "a.json"
        path.write_text(text)
        self.assertIsNone(json.loads(Elements(page_of(path)).texts["data"])["reports"][0]["rows"][0]["prepare_ms"])

    def test_without_the_library_one_line_says_how_to_get_it(self):
        code = "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['vl_convert'] = None; sys.argv[1:] = sys.argv[2:]; "
        code += "import render_report; sys.exit(render_report.main())"
        out = self.folder / "page.html"
        out.write_text("before")
        command = [sys.executable, "-c", code, REPORTS, FIXTURE, f"--output={out}"]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(outcome.returncode, 2)
        self.assertIn("scripts/render installs", outcome.stderr)
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)
        self.assertEqual(out.read_text(), "before")


class ChartsTest(ReportsTest):
    def test_every_field_of_a_chart_is_one_that_rows_have(self):
        records = summaries(read_report(FIXTURE))
        given_by_page = {"place", "place_and_variant", "not_conv2d", "run", "relative", "item", "bytes", "item_order", "label"}
        known = set(records[0]) | given_by_page
        for chart in charts(variant_scale(records)):
            used = re.findall(r'"field": "(\w+)"', json.dumps(chart["spec"])) + chart["needs"]
            self.assertEqual(set(used) - known, set(), chart["id"])

    def test_roofs_rise_to_the_machines_rate(self):
        records = summaries(read_report(FIXTURE))
        limits = self.document["context"]["limits"]
        points = roofs(limits, records)
        self.assertEqual({point["precision"] for point in points}, {"fp32"})
        self.assertEqual(max(point["mac_per_s"] for point in points), limits["fp32_fma_per_s"])
        for record in records:
            if record["mac_per_s"] and record["kind"] == "conv2d":
                self.assertLess(record["mac_per_s"], limits["fp32_fma_per_s"])
        self.assertEqual(roofs({"copy_bytes_per_s": None}, records), [])

    def test_variants_differ_in_colour_or_shape(self):
        records = [{"kind": kind, "variant": f"{kind}{i}"} for kind in ("lookup", "conv2d", "peer") for i in range(12)]
        scale = variant_scale(records)
        self.assertEqual(len(set(zip(scale["colours"], scale["shapes"]))), 36)


def linear(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def lab(rgb):
    xyz = times([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], [min(1, max(0, c)) for c in rgb])
    x, y, z = (f ** (1 / 3) if f > 0.008856 else 7.787 * f + 16 / 116 for f in (c / w for c, w in zip(xyz, (0.9505, 1, 1.089))))
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


# How colours look without one kind of cone: Machado, Oliveira and Fernandes, 2009, severity 1, on linear RGB.
VISION = {
    "full": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


class ColoursTest(unittest.TestCase):
    def test_colour_blind_people_can_tell_them_apart(self):
        for vision, matrix in VISION.items():
            seen = [lab(times(matrix, linear(colour))) for colour in COLOURS]
            for (i, a), (j, b) in itertools.combinations(enumerate(seen), 2):
                distance = sum((p - q) ** 2 for p, q in zip(a, b)) ** 0.5
                self.assertGreater(distance, 10, f"{vision}: {COLOURS[i]} and {COLOURS[j]}")  # 2.3 is just noticeable


if __name__ == "__main__":
    unittest.main()
