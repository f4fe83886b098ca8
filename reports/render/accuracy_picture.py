"""What scripts/accuracy_curve measured as a picture: accuracy against measured speed-up."""
import json

from .chart_library import VEGA_LITE, vl_convert
from .palette import COLOURS


def specification(curve):
    """Vega-Lite. A point is a setting, its bar one standard deviation of the seeds."""
    points = []
    for row in curve["rows"]:
        accuracy, deviation = row["accuracy"]["mean"], row["accuracy"]["deviation"] or 0
        points.append(
            {
                "label": f"{row['dictionary']}, λ {row['lambda']:g}" if row["dictionary"] else "Conv2d",
                "kind": "LookupConv2d" if row["dictionary"] else "Conv2d",
                "speedup": row["speedup"]["mean"],
                "accuracy": accuracy,
                "low": accuracy - deviation,
                "high": accuracy + deviation,
            }
        )
    x = {"field": "speedup", "type": "quantitative", "scale": {"zero": False, "padding": 20}, "title": "times the speed of Conv2d"}
    y = {"type": "quantitative", "scale": {"zero": False, "padding": 12}, "axis": {"format": ".1%"}, "title": "accuracy"}
    colour = {"field": "kind", "scale": {"domain": ["LookupConv2d", "Conv2d"], "range": list(COLOURS[:2])}, "legend": {"title": None}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": "Accuracy against measured speed-up",
        "background": "white",
        "width": 560,
        "height": 340,
        "data": {"values": points},
        "encoding": {"x": x, "color": colour},
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 70}, "encoding": {"y": y | {"field": "accuracy"}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 8, "dy": -6},
                "encoding": {"y": y | {"field": "accuracy"}, "text": {"field": "label"}},
            },
        ],
    }


def svg(curve):
    return vl_convert().vegalite_to_svg(json.dumps(specification(curve)), vl_version=VEGA_LITE)
