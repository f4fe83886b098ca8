#!/usr/bin/env python3
"""Reads a report of lcnn_bench as Google Benchmark's tools/compare.py does, and holds it against Google Benchmark's own.

    reports/read_as_google_benchmark_test.py build/bin/lcnn_bench

One run writes both: --report is ours, --benchmark_out is what Google Benchmark's own reporter wrote of the same rows.
The functions follow gbench/util.py and gbench/report.py (1.7.1 and 1.8.3), which need SciPy; here is none.
"""
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

LCNN_BENCH = None  # set from the command line

UTEST_OPTIMAL_REPETITIONS = 9
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

LAYERS = [
    {"name": name, "in_channels": 8, "out_channels": 8, "kernel": 3, "padding": 1, "height": size, "width": size,
     "dictionary_size": 4}
    for name, size in (("a", 8), ("b", 12))
]


def sort_benchmark_results(benchmarks):
    """compare.py reads repetitions in this order, aggregates after them."""
    return sorted(benchmarks, key=lambda entry: (
        entry.get("family_index", -1),
        entry.get("per_family_instance_index", -1),
        1 if entry.get("run_type") == "aggregate" else 0,
        entry.get("repetition_index", -1),
    ))


def unique_names(report):
    return list(dict.fromkeys(entry["name"] for entry in report["benchmarks"]))


def partition_benchmarks(old, new):
    """Repetitions of the names that both have, by the time unit of the first: [(old entries, new entries)]."""
    partitions = []
    for name in unique_names(old):
        if name not in unique_names(new):
            continue
        unit = next((entry["time_unit"] for entry in old["benchmarks"]
                     if entry["name"] == name and {"time_unit", "real_time", "cpu_time"} <= entry.keys()), None)
        if unit is None:
            continue
        partitions.append(tuple(
            [entry for entry in report["benchmarks"] if entry["name"] == name and entry["time_unit"] == unit]
            for report in (old, new)))
    return partitions


def seconds(entry, field):
    return entry[field] * SECONDS[entry["time_unit"]]


def geometric_mean(report, field):
    return statistics.geometric_mean(
        seconds(entry, field) for entry in report["benchmarks"] if entry.get("run_type") != "aggregate")


def mann_whitney_p_value(old, new):
    """Two-sided, by the normal approximation with corrections for ties and continuity."""
    n, m = len(old), len(new)
    smaller = sum(1.0 if x > y else 0.5 if x == y else 0.0 for x in old for y in new)
    pooled = [*old, *new]
    ties = sum(count**3 - count for count in (pooled.count(value) for value in set(pooled)))
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if variance == 0:
        return 1.0
    z = max(abs(smaller - n * m / 2) - 0.5, 0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


class ReadAsGoogleBenchmark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "mine.json").write_text(json.dumps(LAYERS))
            subprocess.run(
                [LCNN_BENCH, "--device=cpu", "--threads=1", f"--workload={folder / 'mine.json'}",
                 "--benchmark_filter=shared_tiled", "--benchmark_min_time=0.01", f"--report={folder / 'report.json'}",
                 f"--benchmark_out={folder / 'benchmark.json'}"],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            cls.report = json.loads((folder / "report.json").read_text())
            cls.google = json.loads((folder / "benchmark.json").read_text())

    def test_context_has_the_fields_that_readers_use(self):
        for field in ("date", "host_name", "executable", "num_cpus", "mhz_per_cpu", "cpu_scaling_enabled", "caches",
                      "load_avg", "library_build_type"):
            self.assertIn(field, self.google["context"], "Google Benchmark itself does not write it")
            self.assertIs(type(self.report["context"][field]), type(self.google["context"][field]), field)

    def test_entries_have_google_benchmarks_fields_and_types(self):
        ours, theirs = (next(entry for entry in report["benchmarks"] if entry["run_type"] == "iteration")
                        for report in (self.report, self.google))
        for field in ("name", "run_name", "run_type", "repetitions", "repetition_index", "family_index",
                      "per_family_instance_index", "threads", "iterations", "real_time", "cpu_time", "time_unit"):
            self.assertIs(type(ours[field]), type(theirs[field]), field)

    def test_names_and_repetitions_are_google_benchmarks(self):
        def names(report):
            return [(entry["name"], entry["repetition_index"]) for entry in sort_benchmark_results(report["benchmarks"])
                    if entry["run_type"] == "iteration"]

        self.assertEqual(names(self.report), names(self.google))
        self.assertIn("Lookup/shared_tiled/mine/b/d4s1/n1/fp32", unique_names(self.report))
        self.assertIn("Conv2d/onednn/mine/a/n1/fp32", unique_names(self.report))

    def test_times_are_those_that_google_benchmark_wrote(self):
        partitions = partition_benchmarks(self.report, self.google)
        self.assertEqual(len(partitions), len(unique_names(self.report)))
        for ours, theirs in partitions:
            for entry, other in zip(ours, theirs, strict=True):
                self.assertTrue(math.isclose(seconds(entry, "real_time"), seconds(other, "real_time"), rel_tol=1e-6), entry)

    def test_aggregates_can_be_told_from_repetitions(self):
        """Ours has none: readers compute them. None of Google Benchmark's own has the name of a row."""
        self.assertEqual({entry["run_type"] for entry in self.report["benchmarks"]}, {"iteration"})
        aggregates = [entry for entry in self.google["benchmarks"] if entry["run_type"] == "aggregate"]
        self.assertEqual({entry["aggregate_name"] for entry in aggregates} & {"mean", "median"}, {"mean", "median"})
        self.assertFalse({entry["name"] for entry in aggregates} & set(unique_names(self.report)))

    def test_there_are_enough_repetitions_for_the_u_test(self):
        for ours, _ in partition_benchmarks(self.report, self.report):
            self.assertGreaterEqual(len(ours), UTEST_OPTIMAL_REPETITIONS, ours[0]["name"])
            self.assertEqual([entry["repetition_index"] for entry in ours], list(range(len(ours))))
            self.assertEqual({entry["repetitions"] for entry in ours}, {len(ours)})

    def test_a_report_differs_from_a_slower_one_and_not_from_itself(self):
        slower = json.loads(json.dumps(self.report))
        for entry in slower["benchmarks"]:
            entry["real_time"] *= 10
            entry["cpu_time"] *= 10
        for field in ("real_time", "cpu_time"):
            self.assertAlmostEqual(geometric_mean(slower, field) / geometric_mean(self.report, field), 10)
            for old, same in partition_benchmarks(self.report, self.report):
                times = [entry[field] for entry in old]
                self.assertGreater(mann_whitney_p_value(times, [entry[field] for entry in same]), 0.9)
            for old, new in partition_benchmarks(self.report, slower):
                p = mann_whitney_p_value([entry[field] for entry in old], [entry[field] for entry in new])
                self.assertLess(p, 0.01, old[0]["name"])


if __name__ == "__main__":
    LCNN_BENCH = sys.argv.pop(1)
    unittest.main()
