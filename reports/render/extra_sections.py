"""Sections of the page that are not made of reports: what lcnn_inspect, lcnn_bench --profile and accuracy_curve write."""
import base64
import html
import json
import pathlib

from .accuracy_picture import svg
from .report import UnusableInput, refuse_constant, visible

PICTURES = ("dictionary", "filters", "lookups")  # as lcnn_inspect --out names them
PNG = b"\x89PNG\r\n\x1a\n"
MOST_PICTURE_BYTES = 32 << 20  # a browser still opens the page


def read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror}") from None


def read_object(path):
    try:
        document = json.loads(read(path), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnusableInput(f"{path}: is no JSON: {visible(error)}") from None
    if not isinstance(document, dict):
        raise UnusableInput(f"{path}: is no JSON object")
    return document


def text_of(value):
    if value is None:
        return ""
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else visible(value)


def cell(value):
    """Numbers keep their exact value for sorting, texts that may be cut off show all of themselves under the pointer."""
    text = html.escape(text_of(value), quote=True)
    if type(value) in (int, float):
        return f'<td class="number" data-value="{value!r}">{text}</td>'
    return f'<td title="{text}">{text}</td>' if len(text) > 30 else f"<td>{text}</td>"


def sortable_table(records):
    """A column for each field of the records (dicts of numbers and texts) in the order in which they first occur."""
    fields = list(dict.fromkeys(field for record in records for field in record))
    numbers = {field for field in fields if all(type(record.get(field, 0)) in (int, float) for record in records)}
    headings = "".join(
        f'<th scope="col"{" class=number" if field in numbers else ""}><button type="button">{html.escape(visible(field).replace("_", " "))}</button></th>'
        for field in fields
    )
    lines = "".join(f"<tr>{''.join(cell(record.get(field)) for field in fields)}</tr>" for record in records)
    return f'<div class="scroll"><table class="sortable"><thead><tr>{headings}</tr></thead><tbody>{lines}</tbody></table></div>'


def section(title, text, *content):
    return f"<section><h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>{''.join(content)}</section>"


def records_of(path, document, field):
    records = document.get(field)
    if not isinstance(records, list) or not all(isinstance(record, dict) and isinstance(record.get("name"), str) for record in records):
        raise UnusableInput(f"{path}: has no list of {field} with names")
    return records


def profile_section(path):
    """NAME.table.json of lcnn_bench --profile=NAME."""
    path = pathlib.Path(path)
    rows = records_of(path, read_object(path), "rows")
    return section(f"Profile: {visible(path.name)}", "A click on a heading sorts.", sortable_table(rows))


ACCURACY_MEANS = ("accuracy", "speedup", "lookups", "multiplications", "bytes")


def accuracy_record(row):
    """A row of curve.json as a row of the table."""
    record = {"dictionary": row["dictionary"] or "Conv2d", "lambda": row["lambda"]}
    for field in ACCURACY_MEANS:
        of_seeds = row[field] or {"mean": None, "deviation": None}  # Conv2d has no lookups
        record[field] = of_seeds["mean"]
        if field in ("accuracy", "speedup"):
            record[f"{field}_deviation"] = of_seeds["deviation"]
    return record


def accuracy_section(path):
    """OUT/curve.json of scripts/accuracy_curve."""
    path = pathlib.Path(path)
    curve = read_object(path)
    try:
        table = sortable_table([accuracy_record(row) for row in curve["rows"]])
        image = f'<img alt="accuracy against measured speed-up" src="data:image/svg+xml;base64,{base64.b64encode(svg(curve).encode()).decode()}">'
    except (KeyError, TypeError, ValueError):
        raise UnusableInput(f"{path}: is no curve.json of accuracy_curve") from None
    text = "A point is a setting, its bar one standard deviation of its seeds; speed is an image's measured time against Conv2d's."
    return section(f"Accuracy of trained networks: {visible(path.resolve().parent.name)}", text, f"<figure>{image}</figure>", table)


def picture(path, most_bytes):
    content = read(path)
    if not content.startswith(PNG):
        raise UnusableInput(f"{path}: is no PNG")
    if len(content) > most_bytes:
        raise UnusableInput(f"{path}: the pictures have more than {MOST_PICTURE_BYTES >> 20} MiB; lcnn_inspect --filters writes fewer tiles")
    name = html.escape(visible(path.stem), quote=True)
    image = f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
    return len(content), f"<figure><figcaption>{name}</figcaption>{image}</figure>"


def pictures_of(folder):
    """The pictures of each LAYER.json of lcnn_inspect --out=folder."""
    figures, left = [], MOST_PICTURE_BYTES
    for layer in sorted(folder.glob("*.json")):
        for kind in PICTURES:
            path = layer.with_name(f"{layer.stem}_{kind}.png")
            if path.exists():
                size, figure = picture(path, left)
                left -= size
                figures.append(figure)
    if not figures:
        raise UnusableInput(f"{folder}: has no pictures of lcnn_inspect --out (LAYER.json and LAYER_dictionary.png)")
    return figures


def inspect_section(path):
    """The folder of lcnn_inspect --out, or what lcnn_inspect --json printed."""
    path = pathlib.Path(path)
    title = f"Checkpoint: {visible(path.resolve().name)}"
    if path.is_dir():
        text = "A row of each dictionary picture is an entry with a tile a channel; of filters and lookups, a row is a filter."
        return section(title, text, f'<div class="pictures">{"".join(pictures_of(path))}</div>')
    return section(title, "Milliseconds are a whole batch's. A click on a heading sorts.", sortable_table(records_of(path, read_object(path), "layers")))
