"""Reports as Markdown tables: README's results, and all rows."""
import math
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
    """The variant that chooses among the others (auto) is one of them under another name, where that one is there."""
    measured = [record for record in records if record["kind"] == kind and record["median_us"] is not None]
    names = {record["variant"] for record in measured}

    def is_another(record):
        return record["variant"] == "auto" and (record["choice"] or "").split(" ")[0] in names

    return min((record for record in measured if not is_another(record)), key=lambda record: record["median_us"], default=None)


def comparisons(records):
    """For each layer, batch, precision and dictionary with which Conv2d and a lookup variant were measured: the fastest of both, and of peers."""
    groups = {}
    for record in records:
        groups.setdefault(tuple(record[field] for field in ("set", "layer", "batch", "precision")), []).append(record)
    for group in groups.values():
        for dictionary in dict.fromkeys(record["dictionary"] for record in group if record["kind"] == "lookup"):
            of_dictionary = [record for record in group if record["kind"] == "conv2d" or record["dictionary"] == dictionary]
            conv2d, lookup, peer = (fastest(of_dictionary, kind) for kind in ("conv2d", "lookup", "peer"))
            if conv2d is not None and lookup is not None:
                yield conv2d, lookup, peer


def comparison_line(conv2d, lookup, peer):
    path = f"{lookup['set']}/{lookup['layer']} {lookup['dictionary']} n{lookup['batch']}"
    return (
        f"| {text(path)} | {text(lookup['precision'])} | {conv2d['median_us']:,.1f} ({text(conv2d['variant'])}) "
        f"| {lookup['median_us']:,.1f} ({text(lookup['variant'])}) | **{in_format(lookup['speedup'], '.2f')}x** "
        f"| {in_format(lookup['memory_ratio'], '.2f')}x | {in_format(lookup['roofline'], '.0%')} "
        f"| {in_format(lookup['rel_err'], '.1e')} | {in_format(peer and peer['median_us'], ',.1f')} |"
    )


def results(records):
    """The table of layers: a line for each comparison; None without one."""
    lines = [comparison_line(*compared) for compared in comparisons(records)]
    return "\n".join([*HEADER, *lines]) if lines else None


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def means_table(records):
    """Geometric means over the layers of a precision and dictionary, of all batches and of each; None where there are no two layers."""
    groups = {}
    for _, lookup, _ in comparisons(records):
        if lookup["speedup"] and lookup["roofline"]:
            for batch in (None, lookup["batch"]):
                groups.setdefault((lookup["precision"], lookup["dictionary"], batch), []).append(lookup)
    lines = []
    for (precision, dictionary, batch), lookups in groups.items():
        batches = sorted({lookup["batch"] for lookup in lookups})
        if len({(lookup["set"], lookup["layer"]) for lookup in lookups}) < 2 or (batch is None and len(batches) == 1):
            continue
        speedups = [lookup["speedup"] for lookup in lookups]
        lines.append(
            f"| {text(precision)} | {text(dictionary)} | {', '.join(f'n{each}' for each in batches)} | {len(lookups)} | **{geometric_mean(speedups):.2f}x** "
            f"| {min(speedups):.2f}x | {geometric_mean([lookup['roofline'] for lookup in lookups]):.0%} |"
        )
    header = ("| precision | dictionary | batch | layers | geometric mean | least | roofline |", "|---|---|---|---|---|---|---|")
    return "\n".join([*header, *lines]) if lines else None


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
        if means := means_table(records):
            parts.append(means)
        if networks := network_table(records):
            parts.append(networks)
        rows = "\n".join([*ROWS_HEADER, *map(row_line, records)])
        parts.append(f"<details><summary>All {len(records)} rows</summary>\n\n{rows}\n\n</details>")
    return "\n\n".join(parts) + "\n"
