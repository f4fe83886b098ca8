#!/usr/bin/env python3
"""Writes README's table of results, between its markers, from the committed reference reports.

    reports/render_readme.py            rewrites README.md
    reports/render_readme.py --check    exits 1 when README.md is not what the reports say
"""
import pathlib
import sys

from render.markdown_tables import means_table, network_table, origin, results
from render.report import read_report
from render.row_summary import summaries

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "reports" / "reference"
LONG = 20
BEGIN, END = "<!-- results: begin (reports/render_readme.py) -->", "<!-- results: end -->"


def folded(table):
    """A long table behind a line that opens it."""
    rows = table.count("\n") - 1
    return table if rows <= LONG else f"<details><summary>{rows} rows</summary>\n\n{table}\n\n</details>"


def report_table(path):
    report = read_report(path)
    records = summaries(report)
    tables = [folded(table) for table in (means_table(records), results(records), network_table(records)) if table]
    return tables and "\n\n".join([origin(report, path.relative_to(ROOT)), *tables])


def rendered(readme):
    tables = [report_table(path) for path in sorted(REFERENCE.glob("*/*.json"))]
    body = "\n\n".join(table for table in tables if table)
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def main():
    readme = README.read_text()
    wanted = rendered(readme)
    if "--check" in sys.argv[1:]:
        if readme != wanted:
            sys.exit("README.md's results are not those of the reference reports: run reports/render_readme.py")
        return
    README.write_text(wanted)


if __name__ == "__main__":
    main()
