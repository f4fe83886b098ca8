"""All rows of reports as CSV, one line a row."""
import csv
import io

from .row_summary import summaries


def csv_table(reports):
    """The fields of row_summary, after the report that the row is from. Where there is no value, nothing."""
    out = io.StringIO()
    writer = None
    for report in reports:
        origin = {"report": str(report.path), "device": report.device(), "commit": report.commit(), "date": report.context["date"]}
        for record in summaries(report):
            line = origin | record
            if writer is None:
                writer = csv.DictWriter(out, list(line))
                writer.writeheader()
            writer.writerow(line)
    return out.getvalue()
