"""A row of a report as one flat record: what tables show and charts draw."""
import math

from .report import UnusableInput, visible

MEMORY_ITEMS = ("weights_bytes", "input_bytes", "output_bytes", "workspace_bytes", "prepared_bytes")


def number(value):
    """A finite number, or nothing."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def ratio(over, under):
    return over / under if number(over) is not None and under else None


def middle_90_percent(samples):
    """What a twentieth of the samples lies below, and above."""
    ordered = sorted(samples)
    left_out = len(ordered) // 20
    return ordered[left_out], ordered[-1 - left_out]


def multiply_accumulates(row):
    """What the function that the row computes takes at least, as bench/ counts it for the roofline."""
    operations = row["operations"]
    if row["computes"] == "training_step":
        return None
    if row["computes"] == "lookups":
        return operations["dictionary_multiplications"] + operations["lookups"]
    return operations["conv2d_multiplications"] / (2 if row["computes"] == "pruned_2_4" else 1)


KINDS = ("lookup", "conv2d", "peer")
TEXT_FIELDS = ("name", "kind", "variant", "set", "layer", "dictionary", "precision", "layout", "disposition")


def summary(row):
    """The flat record of one row. Fields that it has no value for are None."""
    for field in TEXT_FIELDS:
        if not isinstance(row[field], str):
            raise TypeError(f"{field} is no text")
    if row["kind"] not in KINDS:
        raise ValueError(f"kind is none of {', '.join(KINDS)}")
    record = {field: row[field] for field in TEXT_FIELDS} | {
        "batch": number(row["problem"]["batch"]),
        "reason": row["reason"],
        "choice": row["choice"],
        "multiply_accumulates": number(multiply_accumulates(row)),
        "speedup": number(row["speedup"]),
        "memory_ratio": number(row["memory_ratio"]),
        "prepare_ms": number(row["prepare_ms"]),
        "rel_err": number((row["verification"] or {}).get("rel_err")),
        "accuracy": number(row.get("accuracy")),
        "roofline": number((row["roofline"] or {}).get("share")),
        "bound": (row["roofline"] or {}).get("bound"),
        "peak_bytes": number((row["memory"] or {}).get("peak_bytes")),
    }
    for item in MEMORY_ITEMS:
        record[item] = number((row["memory"] or {}).get(item))
    record |= dict.fromkeys(("median_us", "low_us", "high_us", "speedup_low", "speedup_high", "intensity", "mac_per_s"))
    if row["disposition"] == "measured":
        record |= timing_summary(row, record)
    return record


def timing_summary(row, record):
    median = row["timing"]["median_us"]
    low, high = middle_90_percent(row["timing"]["samples_us"])
    fewest_bytes = sum(row["memory"][item] for item in ("weights_bytes", "input_bytes", "output_bytes"))
    operations = record["multiply_accumulates"]
    return {
        "median_us": number(median),
        "low_us": number(low),
        "high_us": number(high),
        "speedup_low": ratio(record["speedup"], high / median),
        "speedup_high": ratio(record["speedup"], low / median),
        "intensity": ratio(operations, fewest_bytes),
        "mac_per_s": ratio(operations, median * 1e-6),
    }


def summaries(report):
    """The records of all rows of a report, with two marks: the fastest of its kind, and of its variant, for one layer,
    dictionary and precision (Conv2d takes no dictionary)."""
    records = []
    for index, row in enumerate(report.rows):
        try:
            records.append(summary(row))
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError) as error:
            raise UnusableInput(
                f"{report.path}: row {index + 1} ({visible(row['name'])}) is not as the schema says: "
                f"{type(error).__name__} {visible(error)}"
            ) from None
    for mark in ("kind", "variant"):
        best = {}
        for record in records:
            record[f"fastest_of_{mark}"] = False
            if record["median_us"] is None:
                continue
            dictionary = "" if record["kind"] == "conv2d" else record["dictionary"]
            key = (*(record[field] for field in ("set", "layer", "batch", "precision", "kind", mark)), dictionary)
            if key not in best or record["median_us"] < best[key]["median_us"]:
                best[key] = record
        for record in best.values():
            record[f"fastest_of_{mark}"] = True
    return records
