#!/usr/bin/env python3
"""Writes README's table of results, between its markers, from the committed reference reports.

    reports/render_readme.py            rewrites README.md
    reports/render_readme.py --check    exits 1 when README.md is not what the reports say
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "reports" / "reference"
BEGIN, END = "<!-- results: begin (reports/render_readme.py) -->", "<!-- results: end -->"


def fastest(rows, kind):
    """The variant that chooses among the others is one of them under another name."""
    measured = [row for row in rows if row["kind"] == kind and row["disposition"] == "measured" and row["variant"] != "auto"]
    return min(measured, key=lambda row: row["timing"]["median_us"], default=None)


def microseconds(row):
    return "-" if row is None else f"{row['timing']['median_us']:,.1f}"


def group_line(rows):
    """One layer, batch and precision: the fastest Conv2d, lookup variant and peer."""
    conv2d, lookup, peer = (fastest(rows, kind) for kind in ("conv2d", "lookup", "peer"))
    if conv2d is None or lookup is None:
        return None
    name = lookup["name"].split("/")
    path = f"{lookup['set']}/{lookup['layer']} {lookup['dictionary']} {name[5]}"
    return (
        f"| {path} | {lookup['precision']} | {microseconds(conv2d)} ({conv2d['variant']}) "
        f"| {microseconds(lookup)} ({lookup['variant']}) | **{lookup['speedup']:.2f}x** "
        f"| {lookup['memory_ratio']:.2f}x | {100 * lookup['roofline']['share']:.0f}% "
        f"| {lookup['verification']['rel_err']:.1e} | {microseconds(peer)} |"
    )


def report_table(path):
    report = json.loads(path.read_text())
    context = report["context"]
    groups = {}
    for row in report["rows"]:
        problem = row["problem"]
        groups.setdefault((row["set"], row["layer"], problem["batch"], row["precision"]), []).append(row)
    lines = [line for line in map(group_line, groups.values()) if line]
    if not lines:
        return ""
    commit = context["git"]["commit"][:12] + (" with changes" if context["git"]["dirty"] else "")
    threads = f", {context['timing']['threads']} threads" if context["device"]["kind"] == "cpu" else ""
    return "\n".join(
        [
            f"**{context['device']['name']}**{threads} ([report]({path.relative_to(ROOT)}), commit {commit}, "
            f"{context['timing']['mode']} buffers)",
            "",
            "| layer | precision | Conv2d us | LookupConv2d us | speed-up | memory | roofline | rel_err | best peer us |",
            "|---|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )


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
