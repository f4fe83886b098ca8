"""The roofs of the roofline chart, from the limits that a report's machine was measured to have."""
from .row_summary import number

RATE_OF_PRECISION = {"fp32": "fp32_fma_per_s", "tf32": "tf32_mac_per_s", "fp16": "fp16_mac_per_s", "bf16": "bf16_mac_per_s"}


def roofs(limits, records):
    """For each precision that was measured, the points of its roof over the intensities of the rows: up the bandwidth to the
    knee, then level."""
    bandwidth = number(limits.get("copy_bytes_per_s"))
    if not bandwidth:
        return []
    intensities = [record["intensity"] for record in records if record["intensity"]]
    precisions = {record["precision"] for record in records if record["intensity"]}
    rates = {precision: number(limits.get(RATE_OF_PRECISION.get(precision))) for precision in precisions}
    points = []
    for rate, precision in sorted((rate, precision) for precision, rate in rates.items() if rate):
        knee = rate / bandwidth
        for intensity in sorted({min(intensities) / 1.5, knee, max(max(intensities), knee) * 1.5}):
            points.append({"precision": precision, "intensity": intensity, "mac_per_s": min(rate, bandwidth * intensity)})
        points[-1] |= {"label": f"{precision} {rate / 1e12:.3g} T/s", "label_offset": 9}
    if points:
        points[-1]["label_offset"] = -9  # pixels: above the highest roof, the others' below theirs
    return points
