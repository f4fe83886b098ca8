"""Tables, refusals, and the program as a user calls it."""
import csv
import io
import json
import os
import random
import subprocess
import sys
import unittest

from render.csv_table import csv_table
from render.html_page import page_data
from render.markdown_tables import fastest, markdown, means_table, network_table, results, text
from render.networks import LAYERS, sums
from render.report import UnusableInput, read_report, read_reports
from render.row_summary import middle_90_percent, summaries
from render.test_support import FIXTURE, HOSTILE, REPORTS, ReportsTest


def render(*arguments):
    command = [sys.executable, REPORTS / "render_report.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TablesTest(ReportsTest):
    def test_summaries_say_what_the_rows_say(self):
        records = summaries(read_report(FIXTURE))
        self.assertEqual(len(records), len(self.document["rows"]))
        for record, row in zip(records, self.document["rows"]):
            self.assertEqual(record["name"], row["name"])
            if row["disposition"] == "measured":
                self.assertEqual(record["median_us"], row["timing"]["median_us"])
                self.assertLessEqual(record["low_us"], record["median_us"])
                self.assertLessEqual(record["speedup_low"], record["speedup"])
                self.assertLessEqual(record["speedup"], record["speedup_high"])
                # The roofline chart's distance to the roof is the report's share, where one rate bounds the row.
                if row["roofline"]["bound"] == "bytes":
                    roof = record["intensity"] * self.document["context"]["limits"]["copy_bytes_per_s"]
                    share = row["roofline"]["share"]  # of the first run, where --resume measured the limits again
                    self.assertAlmostEqual(record["mac_per_s"] / roof, share, delta=0.01 * share)
            else:
                self.assertIsNone(record["median_us"])
        fastest = [record["name"] for record in records if record["fastest_of_kind"]]
        self.assertEqual(fastest, ["Conv2d/cudnn/resnet18/64@56/n32/fp32", "Lookup/precompute_gather/resnet18/64@56/fast/n32/fp32"])

    def test_rows_measured_under_the_profiler_are_left_out(self):
        self.document["rows"][1]["profiled"] = {"unprofiled_median_us": 1.0, "overhead": 0.5}
        names = [row["name"] for row in read_report(self.write("a.json")).rows]
        self.assertEqual(names, [row["name"] for row in self.document["rows"] if "profiled" not in row])

    def test_networks_are_sums_of_their_layers_as_often_as_they_are_there(self):
        def row(layer, kind, microseconds, dictionary="fast", variant="x"):
            return {"set": "resnet18", "layer": layer, "batch": 1, "precision": "fp32", "kind": kind, "variant": variant, "dictionary": dictionary,
                    "median_us": microseconds}

        records = [row(layer, kind, us) for layer in LAYERS["resnet18"] for kind, us in (("conv2d", 6.0), ("lookup", 2.0))]
        self.assertEqual(sums(records, fastest), [("resnet18", 1, "fp32", "fast", 120.0, 40.0)], "twenty convolutions")
        records += [row("64@56", "lookup", 1.0, variant="y"), row("64@56", "conv2d", 5.0, "accurate"), row("conv1", "lookup", 1.0, "accurate")]
        self.assertEqual(sums(records, fastest), [("resnet18", 1, "fp32", "fast", 116.0, 36.0)], "of each layer the fastest; accurate is not whole")
        self.assertIn("| resnet18 fast n1 | fp32 | 0.12 | 0.04 | **3.22x** |", network_table(records))
        records = [record for record in records if record["layer"] != "512@7"]
        self.assertIsNone(network_table(records))

    def test_means_are_geometric_over_the_layers_of_a_precision_and_dictionary(self):
        def row(layer, batch, speedup, roofline=0.5, dictionary="fast"):
            common = {"set": "x", "layer": layer, "batch": batch, "precision": "fp16", "dictionary": dictionary, "variant": "y", "median_us": 1.0}
            return [{**common, "kind": "conv2d"}, {**common, "kind": "lookup", "speedup": speedup, "roofline": roofline}]

        records = row("a", 32, 2.0, 0.2) + row("b", 32, 8.0, 0.8)
        self.assertEqual(means_table(records).splitlines()[2:], ["| fp16 | fast | n32 | 2 | **4.00x** | 2.00x | 40% |"])
        records += row("b", 256, 0.5, 0.4)
        self.assertEqual(means_table(records).splitlines()[2:], ["| fp16 | fast | n32, n256 | 3 | **2.00x** | 0.50x | 40% |",
                                                                "| fp16 | fast | n32 | 2 | **4.00x** | 2.00x | 40% |"])
        self.assertIsNone(means_table(row("a", 1, 2.0) + row("a", 32, 3.0) + row("b", 1, 2.0, dictionary="accurate")), "one layer has no mean")

    def test_a_twentieth_of_the_samples_lies_on_each_side(self):
        self.assertEqual(middle_90_percent(range(100, 0, -1)), (6, 95))
        self.assertEqual(middle_90_percent([3, 1, 2]), (1, 3))

    def test_csv_can_be_read_again(self):
        self.document["rows"][0]["name"] = 'a "quoted", name\nof two lines'
        lines = list(csv.DictReader(io.StringIO(csv_table([read_report(self.write("a.json"))]))))
        self.assertEqual([line["name"] for line in lines], [row["name"] for row in self.document["rows"]])
        self.assertEqual(float(lines[1]["median_us"]), self.document["rows"][1]["timing"]["median_us"])
        self.assertEqual(lines[3]["median_us"], "")

    def test_markdown_has_every_row_and_no_name_breaks_it(self):
        self.document["rows"][4]["name"] = HOSTILE
        out = markdown([read_report(self.write("a.json"))])
        rows = out.split("<summary>")[1].splitlines()[4:-2]
        self.assertEqual(len(rows), len(self.document["rows"]))
        for line in rows:
            self.assertEqual(line.count("|"), 9, line)
        self.assertNotIn("<img", out)
        self.assertEqual(text("flat_gather 64@56"), "flat_gather 64@56")
        self.assertEqual(text("@me _x_ www.a"), "&#64;me &#95;x&#95; www&#46;a")

    def test_results_have_a_line_for_every_dictionary_and_auto_where_its_choice_is_not_there(self):
        records = [record for record in summaries(read_report(FIXTURE)) if record["median_us"] is not None and record["kind"] != "peer"]
        lookup = next(record for record in records if record["kind"] == "lookup")
        accurate = {**lookup, "dictionary": "accurate", "variant": "auto", "choice": f"{lookup['variant']} as tuned: 8 x 16", "median_us": 0.001}
        lines = results([*records, accurate]).splitlines()[2:]
        self.assertEqual([line.split()[2] for line in lines], ["fast", "accurate"])
        self.assertIn("(auto)", lines[1])
        self.assertNotIn("(auto)", results([*records, {**accurate, "dictionary": "fast"}]))
        other = {**accurate, "dictionary": "fast", "choice": "dense_filters as tuned: a plan"}
        self.assertIn("(auto)", results([*records, other]))

    def test_reports_come_in_the_order_of_their_dates(self):
        self.write("b.json", self.of_another_day("1" * 40, 1, 1))
        self.write("a.json", self.of_another_day("2" * 40, 2, 1))
        self.assertEqual([report.commit()[0] for report in read_reports([self.folder])], ["1", "2"])


class RefusalsTest(ReportsTest):
    def refusal(self, document):
        try:
            summaries(read_report(self.write("a.json", document)))
        except UnusableInput as error:
            self.assertNotIn("\n", str(error))
            return str(error)
        self.fail("was accepted")

    def test_what_is_no_report_is_one_line(self):
        self.assertIn("no report of lcnn_bench", self.refusal([]))
        self.assertIn("no report of lcnn_bench", self.refusal({"benchmarks": []}))
        self.document["context"]["lcnn_schema_version"] = 2
        self.assertIn("has schema version 2", self.refusal(self.document))

    def test_every_missing_field_is_one_line_or_no_matter(self):
        for place in ("context", "rows"):
            fields = self.document[place] if place == "context" else self.document[place][0]
            for field in fields:
                for value in (None, 3, "x", [], {}):
                    changed = json.loads(json.dumps(self.document))
                    (changed[place] if place == "context" else changed[place][0])[field] = value
                    path = self.write("a.json", changed)
                    try:
                        reports = [read_report(path)]
                        csv_table(reports)
                        markdown(reports)
                    except UnusableInput as error:
                        self.assertNotIn("\n", str(error))

    def test_damaged_reports_are_one_line_or_no_matter(self):
        random_ = random.Random(1)
        values = (None, True, -1, 0, 1e300, "", "x", [], {}, [None], 10**400)
        outcomes = set()
        for _ in range(1500):
            changed = json.loads(json.dumps(self.document))
            value = changed
            for _ in range(random_.randint(1, 6)):
                if not isinstance(value, (dict, list)) or not value:
                    break
                parent, key = value, random_.choice(list(value) if isinstance(value, dict) else range(len(value)))
                value = parent[key]
            parent[key] = random_.choice(values)
            path = self.write("a.json", changed)
            try:
                reports = [read_report(path)]
                for write in (csv_table, markdown, page_data):
                    write(reports)
                outcomes.add("taken")
            except UnusableInput as error:
                self.assertNotIn("\n", str(error))
                outcomes.add("refused")
        self.assertEqual(outcomes, {"taken", "refused"})

    def test_the_program(self):
        out = self.folder / "out.md"
        outcome = render(FIXTURE, "--format=markdown", f"--output={out}")
        self.assertEqual((outcome.returncode, outcome.stdout, outcome.stderr), (0, "", ""))
        self.assertEqual(out.read_text(), render(FIXTURE, "--format=markdown").stdout)
        before = out.read_text()
        bad = self.folder / "bad.json"
        bad.write_text('{"rows": [NaN')
        for arguments, part in (
            ([self.folder / "absent.json"], "absent.json: No such file"),
            ([bad], "bad.json: is no JSON"),
            ([self.folder / "out.md"], "out.md: is no JSON"),
            ([FIXTURE, FIXTURE.parent / "absent"], "No such file"),
        ):
            outcome = render(*arguments, "--format=markdown", f"--output={out}")
            self.assertEqual(outcome.returncode, 2)
            self.assertIn(part, outcome.stderr)
            self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)
            self.assertEqual(out.read_text(), before)
        outcome = render(FIXTURE, "--format=csv", "--output", self.folder / "absent" / "a.csv")
        self.assertEqual((outcome.returncode, outcome.stderr.count("\n")), (2, 1))
        self.assertEqual(render(FIXTURE, "--format=pdf").returncode, 2)
        self.assertEqual(render().returncode, 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.json", "out.md"])


if __name__ == "__main__":
    unittest.main()
