"""One HTML page that needs nothing else: data, styles, scripts and the chart library are all in it."""
import html
import json
import pathlib

from .charts import charts
from .chart_library import chart_library
from .palette import variant_scale
from .report import visible
from .roofs import roofs
from .row_summary import summaries

HERE = pathlib.Path(__file__).parent
CONTEXT_SHOWN = ("date", "command_line", "device", "limits", "versions", "build", "git", "timing")


def script_json(value):
    """JSON that stands in a <script>: no name in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def flat(context, prefix=""):
    """The context as pairs of a path, such as device/name, and a text."""
    for key, value in context.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flat(value, f"{path}/")
        else:
            yield visible(path), visible(value)


def page_report(report):
    records = summaries(report)
    shown = {key: report.context[key] for key in CONTEXT_SHOWN if key in report.context}
    return {
        "file": report.path.name,
        "machine": report.machine(),
        "commit": report.commit(),
        "date": report.context["date"],
        "context": list(flat(shown)),
        "rows": records,
        "roofs": roofs(report.context["limits"], records),
    }


def page_data(reports):
    """What the page's script reads, as JSON."""
    data = [page_report(report) for report in reports]
    variants = variant_scale([record for report in data for record in report["rows"]])
    return script_json({"reports": data, "charts": charts(variants)})


def html_page(reports, sections=()):
    """The page of one report or several; with several of one machine it shows their history, too. `sections` are HTML, such
    as those of extra_sections."""
    newest = reports[-1]
    parts = {
        "title": html.escape(visible(f"lcnn: {newest.machine()}, commit {newest.commit()}")),
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "library": chart_library(),
        "sections": "\n".join(sections),
        "data": page_data(reports),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
    }
    before, *pieces = (HERE / "page.html").read_text(encoding="utf-8").split("{{")
    page = [before]
    for piece in pieces:
        name, after = piece.split("}}", 1)
        page += [parts[name], after]
    return "".join(page)
