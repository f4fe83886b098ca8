"""Seeds for report_fuzz: the committed reports, cut into files of one or two rows each.

    python3 reports/fuzz/seeds.py FOLDER DICTIONARY

One seed a report and kind of row (what computed it, precision and what became of it), with few samples, as the fuzzer
learns more from small inputs; one of each report as Google Benchmark would write it; and as they are, the inputs
that once made a reader fail (fixtures/fuzz). DICTIONARY gets the field names of the schema.
"""

import json
import pathlib
import re
import shutil
import sys

REPORTS = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = 6


def short(row):
    row = json.loads(json.dumps(row))
    if row["timing"]:
        row["timing"]["samples_us"] = row["timing"]["samples_us"][:SAMPLES]
    return row


def seeds(report):
    kinds = {}
    for row in report["rows"]:
        kinds.setdefault((row["kind"], row["precision"], row["disposition"], "profiled" in row), []).append(short(row))
    for rows in kinds.values():
        rows = rows[:2]
        names = {row["name"] for row in rows}
        entries = [entry for entry in report["benchmarks"] if entry["name"] in names][: 2 * SAMPLES]
        yield {"context": report["context"], "benchmarks": entries, "rows": rows}
    context = {key: value for key, value in report["context"].items() if key != "lcnn_schema_version"}
    yield {"context": context, "benchmarks": report["benchmarks"][:SAMPLES]}


def main():
    folder, dictionary = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*sorted(REPORTS.glob("fixtures/*.json")), *sorted(REPORTS.glob("reference/*/*.json"))]:
        for number, seed in enumerate(seeds(json.loads(path.read_text()))):
            (folder / f"{path.parent.name}_{path.stem}_{number}.json").write_text(json.dumps(seed))
    for path in sorted(REPORTS.glob("fixtures/fuzz/*")):
        shutil.copy(path, folder)
    names = sorted(set(re.findall(r'^ *"([a-z_]+)": \{', (REPORTS / "schema.json").read_text(), re.MULTILINE)))
    dictionary.write_text("".join(f'"\\"{name}\\":"\n' for name in names))


if __name__ == "__main__":
    main()
