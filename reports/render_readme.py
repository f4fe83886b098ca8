#!/usr/bin/env python3
"""Writes README's summary of results, between its markers, and reports/reference/tables.md with all their rows, from the committed
reference reports.

    reports/render_readme.py            rewrites both
    reports/render_readme.py --check    exits 1 when one of them is not what the reports say
"""
import pathlib
import sys

from render.markdown_tables import means_table, network_table, origin, results
from render.report import read_report
from render.row_summary import summaries

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "reports" / "reference"
TABLES = REFERENCE / "tables.md"
# What README sums up.
HEADLINES = (
    "h200/race.json",
    "h200/race_accurate.json",
    "h100/seed.json",
    "xeon-2cores/race_1thread.json",
    "xeon-2cores/race_2threads.json",
    "xeon-16cores/resnet18_16threads.json",
    "epyc-2cores/race_1thread.json",
    "h200/train_steps.json",
    "epyc-2cores/train_steps.json",
)
LONG = 20
BEGIN, END = "<!-- results: begin (reports/render_readme.py) -->", "<!-- results: end -->"


def folded(table):
    """A long table behind a line that opens it."""
    rows = table.count("\n") - 1
    return table if rows <= LONG else f"<details><summary>{rows} rows</summary>\n\n{table}\n\n</details>"


def all_rows(path):
    report = read_report(path)
    records = summaries(report)
    tables = [folded(table) for table in (means_table(records), results(records), network_table(records)) if table]
    return "\n\n".join([origin(report, path.relative_to(REFERENCE)), *tables]) if tables else ""


def summary(path):
    """Geometric means and the original's layer, or the rows of a report that has no several layers."""
    report = read_report(path)
    records = summaries(report)
    means = means_table(records)
    rows = results([record for record in records if record["set"] == "seed" or not means])
    return "\n\n".join(filter(None, [origin(report, path.relative_to(ROOT)), means, rows]))


def tables():
    bodies = [all_rows(path) for path in sorted(REFERENCE.glob("*/*.json"))]
    return "\n\n".join(["# The reference reports' rows", "Written by reports/render_readme.py.", *filter(None, bodies)]) + "\n"


def readme():
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    body = "\n\n".join(summary(REFERENCE / name) for name in HEADLINES)
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def main():
    wanted = {README: readme(), TABLES: tables()}
    for path, text in wanted.items():
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.name}'s results are not those of the reference reports: run reports/render_readme.py")


if __name__ == "__main__":
    main()
