"""Sections of checkpoints and profiles: escaped, whole, and refused in one line where they cannot be used."""
import struct
import unittest
import zlib

from render.chart_library import vl_convert
from render.extra_sections import accuracy_section, inspect_section, profile_section, sortable_table
from render.report import UnusableInput
from render.test_support import HOSTILE, ReportsTest


def png(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = b"".join(b"\0" + bytes(range(width)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


class SectionsTest(ReportsTest):
    def refused(self, action, path, part):
        with self.assertRaises(UnusableInput) as raised:
            action(path)
        self.assertIn(part, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    def test_names_are_escaped(self):
        table = sortable_table([{"name": HOSTILE, HOSTILE: 1.5, "none": None}])
        self.assertNotIn("<img", table)
        self.assertNotIn("</script", table)
        self.assertIn('data-value="1.5"', table)

    def test_an_accuracy_curve(self):
        try:
            vl_convert()
        except ImportError:
            self.skipTest("vl-convert-python is not installed")

        def row(dictionary, accuracy, lookups):
            counts = {field: {"mean": 10.0, "deviation": None} for field in ("multiplications", "bytes", "speedup")}
            return {"dictionary": dictionary, "lambda": 0.5, "accuracy": {"mean": accuracy, "deviation": 0.01}, "lookups": lookups, **counts}

        rows = [row(None, 0.93, None), row(HOSTILE, 0.91, {"mean": 700.0, "deviation": 3.0})]
        section = accuracy_section(self.write("curve.json", {"rows": rows}))
        self.assertIn('src="data:image/svg+xml;base64,', section)
        self.assertIn('data-value="0.91"', section)
        self.assertIn('data-value="700.0"', section)
        self.assertEqual(section.count("<img"), 1)
        self.refused(accuracy_section, self.write("other.json", {"rows": [{"dictionary": 3}]}), "is no curve.json of accuracy_curve")

    def test_a_profile(self):
        rows = [{"name": HOSTILE, "kind": "range", "self_cpu_us": 12.25, "calls": 3}]
        section = profile_section(self.write("p.table.json", {"rows": rows}))
        self.assertIn("self cpu us", section)
        self.assertIn('data-value="12.25"', section)
        self.assertNotIn("<img", section)
        self.refused(profile_section, self.folder / "absent", "absent: No such file")
        self.refused(profile_section, self.write("list.json", []), "is no JSON object")
        self.refused(profile_section, self.write("other.json", {"rows": [3]}), "has no list of rows with names")
        (self.folder / "cut.json").write_text('{"rows": [')
        self.refused(profile_section, self.folder / "cut.json", "is no JSON")

    def test_a_checkpoint(self):
        self.refused(inspect_section, self.folder, "has no pictures")
        self.write("conv1.json", {"name": "conv1"})
        (self.folder / "conv1_dictionary.png").write_bytes(png(5, 3))
        (self.folder / "unrelated.png").write_bytes(png(5, 3))
        section = inspect_section(self.folder)
        self.assertEqual(section.count("data:image/png;base64,"), 1)
        self.assertIn("conv1_dictionary", section)
        (self.folder / "conv1_filters.png").write_text("no picture")
        self.refused(inspect_section, self.folder, "conv1_filters.png: is no PNG")
        costs = self.write("costs.json", {"layers": [{"name": "conv1", "parameters": 1000}]})
        self.assertIn("1,000", inspect_section(costs))


if __name__ == "__main__":
    unittest.main()
