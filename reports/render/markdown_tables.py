"""Reports as Markdown tables: README's results, and all rows."""
import re

from .networks import sums
from .report import visible
from .row_summary import summaries

HEADER = (
    "| layer | precision | Conv2d us | LookupConv2d us | speed-up | memory | roofline | rel_err | best peer us |",
    "|---|---|---|---|---|---|---|---|---|",
)
ROWS_HEADER = (
    "| row | us | speed-up | peak MB | roofline | rel_err | prepare ms | |",
    "|---|---|---|---|---|---|---|---|",
)
# What Markdown, HTML or GitHub would read in a name; _ and @ only where they would mean something.
SPECIAL = re.compile(r"[&<>\"'|`*\[\]()\\~#!$:{}]|\b_|_\b|@(?=[a-zA-Z])|(?<=www)\.", re.IGNORECASE)


def text(value):
    """A name from a report, for a cell of a table."""
    return SPECIAL.sub(lambda found: f"&#{ord(found.group())};", visible(value))


def in_format(value, pattern):
    return "-" if value is None else format(value, pattern)


def fastest(records, kind):
    """The variant that chooses among the others (auto) is one of them under another name, where they are there."""
    measured = [record for record in records if record["kind"] == kind and record["median_us"] is not None]
    others = [record for record in measured if record["variant"] != "auto"]
    return min(others or measured, key=lambda record: record["median_us"], default=None)


def group_line(records, dictionary):
    """One layer, batch and precision: the fastest Conv2d, and lookup variant and peer with a dictionary."""
    of_dictionary = [record for record in records if record["kind"] == "conv2d" or record["dictionary"] == dictionary]
    conv2d, lookup, peer = (fastest(of_dictionary, kind) for kind in ("conv2d", "lookup", "peer"))
    if conv2d is None or lookup is None:
        return None
    path = f"{lookup['set']}/{lookup['layer']} {lookup['dictionary']} n{lookup['batch']}"
    return (
        f"| {text(path)} | {text(lookup['precision'])} | {conv2d['median_us']:,.1f} ({text(conv2d['variant'])}) "
        f"| {lookup['median_us']:,.1f} ({text(lookup['variant'])}) | **{in_format(lookup['speedup'], '.2f')}x** "
        f"| {in_format(lookup['memory_ratio'], '.2f')}x | {in_format(lookup['roofline'], '.0%')} "
        f"| {in_format(lookup['rel_err'], '.1e')} | {in_format(peer and peer['median_us'], ',.1f')} |"
    )


def results(records):
    """The table of layers: a line for each and each dictionary with which Conv2d and a lookup variant were measured; None without one."""
    groups = {}
    for record in records:
        groups.setdefault(tuple(record[field] for field in ("set", "layer", "batch", "precision")), []).append(record)
    lines = []
    for group in groups.values():
        dictionaries = dict.fromkeys(record["dictionary"] for record in group if record["kind"] == "lookup")
        lines += [line for dictionary in dictionaries if (line := group_line(group, dictionary))]
    return "\n".join([*HEADER, *lines]) if lines else None


def network_table(records):
    """Whole networks as sums of their convolutions; None where no network is whole."""
    lines = [
        f"| {text(network)} {text(dictionary)} n{batch} | {text(precision)} | {conv2d / 1e3:,.2f} | {lookup / 1e3:,.2f} | **{conv2d / lookup:.2f}x** |"
        for network, batch, precision, dictionary, conv2d, lookup in sums(records, fastest)
    ]
    header = ("| network, sum of its convolutions | precision | Conv2d ms | LookupConv2d ms | speed-up |", "|---|---|---|---|---|")
    return "\n".join([*header, *lines]) if lines else None


def origin(report, link):
    """The line above a report's table."""
    context = report.context
    return (
        f"**{text(context['device']['name'])}**{report.threads()} ([report]({link}), commit {text(report.commit())}, "
        f"{text(context['timing']['mode'])} buffers)"
    )


def row_line(record):
    peak = None if record["peak_bytes"] is None else record["peak_bytes"] / 1e6
    remark = "" if record["disposition"] == "measured" else f"{record['disposition']}: {record['reason']}"
    return (
        f"| {text(record['name'])} | {in_format(record['median_us'], ',.1f')} | {in_format(record['speedup'], '.2f')} "
        f"| {in_format(peak, ',.2f')} | {in_format(record['roofline'], '.0%')} | {in_format(record['rel_err'], '.1e')} "
        f"| {in_format(record['prepare_ms'], ',.1f')} | {text(remark)} |"
    )


def markdown(reports):
    """For each report the table of layers, then all its rows, folded."""
    parts = []
    for report in reports:
        records = summaries(report)
        parts.append(origin(report, report.path.name))
        parts.append(results(records) or "No layer has both a measured Conv2d and a measured LookupConv2d.")
        if networks := network_table(records):
            parts.append(networks)
        rows = "\n".join([*ROWS_HEADER, *map(row_line, records)])
        parts.append(f"<details><summary>All {len(records)} rows</summary>\n\n{rows}\n\n</details>")
    return "\n\n".join(parts) + "\n"
