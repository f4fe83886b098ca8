"""Reads reports of lcnn_bench and refuses, in one line, what is none."""
import dataclasses
import json
import pathlib

SCHEMA_VERSION = 1


class UnusableInput(Exception):
    """Input that cannot be used; its text is one line that names the file."""


@dataclasses.dataclass
class Report:
    path: pathlib.Path
    context: dict
    rows: list[dict]

    def commit(self):
        git = self.context["git"]
        return git["commit"][:12] + (" with changes" if git["dirty"] else "")

    def threads(self):
        """Of a processor, how many were used; of a GPU nothing."""
        return f", {self.context['timing']['threads']} threads" if self.context["device"]["kind"] == "cpu" else ""

    def device(self):
        return self.context["device"]["name"] + self.threads()

    def machine(self):
        """What has to be the same for times of two reports to stand in one history."""
        return f"{self.device()}, {self.context['timing']['mode']} buffers"

def visible(text):
    """Control characters as \\x1b: nothing in a name ends a line or moves a terminal's cursor."""
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 else c for c in str(text))


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def read_report(path):
    """The report at `path`, of the schema version that is read, with unique row names."""
    try:
        document = json.loads(pathlib.Path(path).read_bytes(), parse_constant=refuse_constant)
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError, too
        raise UnusableInput(f"{path}: is no JSON: {visible(error)}") from None
    rows = document.get("rows") if isinstance(document, dict) else None
    context = document.get("context") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not isinstance(context, dict):
        raise UnusableInput(f"{path}: is no report of lcnn_bench: it has no context or no rows")
    version = context.get("lcnn_schema_version")
    if version != SCHEMA_VERSION:
        raise UnusableInput(f"{path}: has schema version {visible(version)}, version {SCHEMA_VERSION} is read")
    rows = [row for row in rows if not isinstance(row, dict) or "profiled" not in row]  # they are compared with none
    report = Report(pathlib.Path(path), context, rows)
    try:
        report.machine(), report.commit(), context["date"] + context["timing"]["mode"], context["limits"].keys()
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableInput(f"{path}: its context is not as the schema says: {visible(error)}") from None
    names = set()
    for index, row in enumerate(rows):
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise UnusableInput(f"{path}: row {index + 1} has no name")
        if name in names:
            raise UnusableInput(f"{path}: two rows are named {visible(name)}")
        names.add(name)
    return report


def read_reports(paths):
    """The reports at `paths`, in the order in which they were made; of a folder, all its *.json."""
    files = []
    for path in map(pathlib.Path, paths):
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not found:
            raise UnusableInput(f"{path}: holds no *.json")
        files += found
    return sorted(map(read_report, files), key=lambda report: report.context["date"])
