"""Colours and shapes of the charts. A variant keeps both through all charts of a page."""

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which colour-blind people can tell apart, without yellow and
# black, which vanish on a white and on a black page; a test measures how far apart they stay.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#747474")
SHAPE_OF_KIND = {"lookup": "circle", "conv2d": "square", "peer": "triangle-up"}
# A colour used again within a kind comes with another shape.
FURTHER_SHAPES = {"lookup": "diamond", "conv2d": "cross", "peer": "triangle-down"}


def variant_scale(records):
    """The domain of variants with the range of their colours and of their shapes: colour and shape together are unique."""
    kinds = {}
    for record in records:
        kinds.setdefault(record["kind"], {})[record["variant"]] = None
    scale = {"domain": [], "colours": [], "shapes": []}
    for kind in sorted(kinds, key=list(SHAPE_OF_KIND).index):
        for index, variant in enumerate(kinds[kind]):
            shapes = SHAPE_OF_KIND if index < len(COLOURS) else FURTHER_SHAPES
            scale["domain"].append(variant)
            scale["colours"].append(COLOURS[index % len(COLOURS)])
            scale["shapes"].append(shapes[kind])
    return scale
