"""What the tests of render/ share: reports as files, altered as a test needs them."""
import copy
import json
import pathlib
import tempfile
import unittest

REPORTS = pathlib.Path(__file__).resolve().parents[1]
FIXTURE = REPORTS / "fixtures" / "version1.json"
HOSTILE = "Lookup/<img src=x onerror=alert(1)></script><!--|*b*`c`\n@someone"


class ReportsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.document = json.loads(FIXTURE.read_text())

    def write(self, name, document=None):
        path = self.folder / name
        path.write_text(json.dumps(self.document if document is None else document))
        return path

    def of_another_day(self, commit, day, factor):
        """The fixture as a later commit would have written it, `factor` times as slow."""
        document = copy.deepcopy(self.document)
        document["context"]["git"]["commit"] = commit
        document["context"]["date"] = f"2026-12-{day:02}T10:00:00+00:00"
        for row in document["rows"]:
            if row["timing"]:
                row["timing"]["median_us"] *= factor
                row["timing"]["samples_us"] = [factor * sample for sample in row["timing"]["samples_us"]]
        return document
