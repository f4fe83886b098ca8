"""The charts of the page, as Vega-Lite specifications. Their data sets are filled in by page.js, from the rows that the
page's filters leave: `rows`, of which each chart asks for some, `roofs` and `history`.

A further chart is one function that returns a Chart, and its name in `charts`."""
import dataclasses

from .palette import COLOURS
from .row_summary import MEMORY_ITEMS



@dataclasses.dataclass
class Chart:
    id: str
    title: str
    caption: str  # how to read it
    needs: list[str]  # fields without which a row has no place in it
    spec: dict
    only: str = ""  # rows that are marked so, whatever the page shows otherwise
    wide: bool = False  # takes the page's whole width
    bars: str = ""  # the field that has a bar, or a group of them, for each of its values: they decide the height
    bar_height: int = 0
    bars_of_group: str = ""  # the field of the bars in a group


def log(field, title, form=".2~s"):
    """A logarithmic axis."""
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"type": "log", "nice": False, "padding": 12},
        "axis": {"format": form, "labelOverlap": True, "tickCount": 6},
        "title": title,
    }


def speedup_axis(field="speedup"):
    return log(field, "times the speed of Conv2d", "~g")


def tooltip():
    fields = [
        ("name", "row", None),
        ("median_us", "median, us", ",.1f"),
        ("low_us", "5% of samples below", ",.1f"),
        ("high_us", "5% of samples above", ",.1f"),
        ("speedup", "times as fast as Conv2d", ".2f"),
        ("peak_bytes", "peak memory, bytes", ".3~s"),
        ("roofline", "share of the machine's limit", ".0%"),
        ("rel_err", "rel_err", ".1e"),
        ("choice", "choice", None),
    ]
    return [{"field": field, "title": title} | ({"format": form} if form else {}) for field, title, form in fields]


def by_variant(variants, ranges):
    legend = {"title": None, "symbolOpacity": 1, "symbolLimit": 0}
    return {"field": "variant", "scale": {"domain": variants["domain"], "range": variants[ranges]}, "legend": legend}


def marks_of(variants, x, y, **more):
    """Points coloured and shaped by variant; a click on the legend leaves one variant bright."""
    return {
        "mark": {"type": "point", "filled": True, "size": 70, "stroke": None},
        "params": [{"name": "picked", "select": {"type": "point", "fields": ["variant"]}, "bind": "legend"}],
        "encoding": {
            "x": x,
            "y": y,
            "color": by_variant(variants, "colours"),
            "shape": by_variant(variants, "shapes"),
            "opacity": {"condition": {"param": "picked", "value": 0.9}, "value": 0.1},
            "tooltip": tooltip(),
        }
        | more,
    }


def speedup(variants):
    x = speedup_axis()
    y = {"field": "place", "type": "ordinal", "sort": None, "title": None}
    offset = {"yOffset": {"field": "variant", "sort": None}}
    bar = {
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
        "encoding": {
            "x": speedup_axis("speedup_low"),
            "x2": {"field": "speedup_high"},
            "y": y,
            "color": by_variant(variants, "colours"),
        }
        | offset,
    }
    one = {"data": {"values": [{"one": 1}]}, "mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 1}}}
    spec = {
        "data": {"name": "rows"},
        "layer": [one, bar, marks_of(variants, x, y | {"axis": {"grid": True, "tickBand": "extent"}}, **offset)],
    }
    return Chart(
        "speedup",
        "Speed-up by layer and precision",
        "Right of the dashed line a row is faster than the fastest Conv2d of its layer and precision. A bar spans the middle 90% of "
        "the row's samples; where it is not seen, it is shorter than the point.",
        ["speedup", "not_conv2d"],
        spec,
        wide=True,
        bars="place",
        bar_height=11,
        bars_of_group="variant",
    )


def time_and_memory(variants):
    x = log("peak_bytes", "peak memory, bytes")
    spec = {"data": {"name": "rows"}, "height": 320} | marks_of(variants, x, log("median_us", "median time, us"))
    return Chart(
        "memory_time",
        "Time against memory",
        "Lower is faster, further left is smaller; compare points of one layer and precision (the filters above).",
        ["peak_bytes"],
        spec,
    )


def roofline(variants):
    x = log("intensity", "multiply-accumulates for each byte of input, output and weights")
    y = log("mac_per_s", "multiply-accumulates a second")
    roof = {
        "data": {"name": "roofs"},
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y, "detail": {"field": "precision"}, "order": {"field": "intensity"}},
    }
    label = {
        "data": {"name": "roofs"},
        "transform": [{"filter": "isValid(datum.label)"}],
        "mark": {"type": "text", "align": "right", "baseline": "middle", "dy": {"expr": "datum.label_offset"}},
        "encoding": {"x": x, "y": y, "text": {"field": "label"}},
    }
    points = {"data": {"name": "rows"}} | marks_of(variants, x, y)
    return Chart(
        "roofline",
        "Roofline",
        "Lines are what this machine was measured to reach: its copy bandwidth, then its rate of multiply-accumulates by precision. "
        "Points count what the row's function needs at least, so a lookup row does less work than Conv2d beside it and lies further "
        "left. Lookups run on the ordinary units: the exact share of the limit is in a point's tip and in the table.",
        ["intensity", "mac_per_s"],
        {"height": 360, "layer": [roof, label, points]},
    )


def rel_err_and_speedup(variants):
    y = log("rel_err", "rel_err against float64", ".0e")
    spec = {"data": {"name": "rows"}, "height": 300} | marks_of(variants, speedup_axis(), y)
    return Chart(
        "error_speedup",
        "Error against measured speed-up",
        "Lower is closer to the float64 reference, further right is faster. The bands are the precisions.",
        ["speedup", "rel_err"],
        spec,
    )


def accuracy_and_speedup(variants):
    y = {"field": "accuracy", "type": "quantitative", "scale": {"zero": False}, "axis": {"format": ".1%"}, "title": "accuracy"}
    spec = {"data": {"name": "rows"}, "height": 300} | marks_of(variants, speedup_axis(), y)
    return Chart(
        "accuracy_speedup",
        "Accuracy against measured speed-up",
        "The accuracy of the trained network that the layer is from.",
        ["speedup", "accuracy"],
        spec,
    )


def operations_and_time(variants):
    x = log("multiply_accumulates", "multiply-accumulates counted")
    spec = {"data": {"name": "rows"}, "height": 320} | marks_of(variants, x, log("median_us", "median time, us"))
    return Chart(
        "operations_time",
        "Operations counted against time measured",
        "Were operations all that counts, points of one precision would lie on a rising line.",
        ["multiply_accumulates"],
        spec,
    )


def memory_items(_variants):
    names = [item.removesuffix("_bytes") for item in MEMORY_ITEMS]
    spec = {
        "data": {"name": "rows"},
        "transform": [
            {"fold": list(MEMORY_ITEMS), "as": ["item", "bytes"]},
            {"calculate": "replace(datum.item, '_bytes', '')", "as": "item"},
            {"calculate": f"indexof({names}, datum.item)", "as": "item_order"},
        ],
        "mark": {"type": "bar"},
        "encoding": {
            "y": {"field": "place_and_variant", "type": "ordinal", "sort": None, "title": None},
            "x": {"field": "bytes", "type": "quantitative", "axis": {"format": ".2~s", "tickCount": 6}, "title": "bytes"},
            "color": {
                "field": "item",
                "scale": {"domain": names, "range": list(COLOURS[: len(names)])},
                "legend": {"title": None},
            },
            "order": {"field": "item_order"},
            "tooltip": [{"field": "name", "title": "row"}, {"field": "item"}, {"field": "bytes", "format": ".4~s"}],
        },
    }
    return Chart(
        "memory_items",
        "Memory, itemised",
        "The fastest Conv2d, lookup variant and peer of each layer and precision.",
        ["peak_bytes"],
        spec,
        only="fastest_of_kind",
        wide=True,
        bars="place_and_variant",
        bar_height=17,
    )


def history(variants):
    x = {"field": "run", "type": "ordinal", "sort": None, "title": None, "axis": {"labelAngle": -40, "labelLimit": 130}}
    y = log("relative", "time, relative to the row's first report", "~g")
    points = marks_of(variants, x, y, tooltip=[{"field": "run"}, {"field": "relative", "format": ".3f"}, *tooltip()])
    line = {
        "mark": {"type": "line", "opacity": 0.5},
        "encoding": {
            "x": x,
            "y": y,
            "color": by_variant(variants, "colours"),
            "detail": {"field": "name"},
        },
    }
    spec = {"data": {"name": "history"}, "height": 320, "layer": [line, points]}
    return Chart(
        "history",
        "History on this machine",
        "Reports of one machine in the order in which they were made; a line is a row, below 1 it has become faster.",
        ["relative"],
        spec,
        wide=True,
    )


def charts(variants):
    """All charts, in the page's order; those that no row has a place in are left out by the page."""
    makers = (
        speedup,
        time_and_memory,
        roofline,
        rel_err_and_speedup,
        accuracy_and_speedup,
        operations_and_time,
        memory_items,
        history,
    )
    return [dataclasses.asdict(maker(variants)) for maker in makers]
