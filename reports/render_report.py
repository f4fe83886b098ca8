#!/usr/bin/env python3
"""lcnn_report render REPORT... [--format=html|markdown|csv] [--output=FILE]

REPORT is a report of lcnn_bench, or a folder of them. The page opens with no network; its charts show one report, the newest
first, and, of several of one machine, their history. Without --output, tables go to the standard output and the page to
lcnn_report.html. With --screenshot, the page's top is written as PNG, too, as chromium shows it."""
import argparse
import sys

from render.csv_table import csv_table
from render.extra_sections import accuracy_section, inspect_section, profile_section
from render.html_page import html_page
from render.markdown_tables import markdown
from render.page_picture import page_picture
from render.replace_file import replace_file
from render.report import UnusableInput, read_reports

UNUSABLE = 2
TABLES = {"markdown": markdown, "csv": csv_table}


def print_text(text):
    try:
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = None  # Python would try again when it ends
        raise UnusableInput(f"the standard output cannot be written: {error.strerror}") from None


def main():
    parser = argparse.ArgumentParser(prog="lcnn_report render", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT")
    parser.add_argument("--format", choices=("html", *TABLES), default="html")
    parser.add_argument("--output", metavar="FILE")
    parser.add_argument("--inspect", metavar="FOLDER_OR_JSON", action="append", default=[], help="of lcnn_inspect --out or --json; for html only")
    parser.add_argument("--profile", metavar="FILE", action="append", default=[], help="NAME.table.json of lcnn_bench --profile; for html only")
    parser.add_argument("--accuracy", metavar="FILE", action="append", default=[], help="curve.json of scripts/accuracy_curve; for html only")
    parser.add_argument("--screenshot", metavar="FILE", help="PNG; for html only")
    parser.add_argument("--width", type=int, default=1200, help="of the screenshot, pixels")
    options = parser.parse_args()
    if (options.screenshot or options.inspect or options.profile or options.accuracy) and options.format != "html":
        parser.error("--inspect, --profile, --accuracy and --screenshot belong to a page: --format=html")
    try:
        sections = [
            *map(accuracy_section, options.accuracy),
            *map(inspect_section, options.inspect),
            *map(profile_section, options.profile),
        ]
        reports = read_reports(options.reports)
        text = html_page(reports, sections) if options.format == "html" else TABLES[options.format](reports)
        output = options.output or ("lcnn_report.html" if options.format == "html" else None)
        if output:
            replace_file(output, text)
        else:
            print_text(text)
        if options.screenshot:
            replace_file(options.screenshot, page_picture(text, options.width))
    except UnusableInput as error:
        print(f"lcnn_report: {error}", file=sys.stderr)
        return UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
