"""scripts/nsys and scripts/ncu: the command lines that they show, what they refuse, what they do with a tool's end."""
import os
import pathlib
import shlex
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent
LOOKUP = "Lookup/baked_fused/resnet18/64@56/fast/n32/fp16/nhwc"


class OneRowTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_script(self, name, *arguments, **environment):
        return subprocess.run([SCRIPTS / name, *arguments], cwd=self.folder, capture_output=True, text=True, check=False,
                              env=os.environ | {"LCNN_BUILD_DIR": str(self.folder)} | environment)

    def shown(self, name, *arguments):
        outcome = self.run_script(name, "--dry-run", *arguments)
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        return shlex.split(outcome.stdout)

    def executable(self, path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/bash\n" + text)
        path.chmod(0o755)

    def tools(self, name, text):
        """A tool of this name that runs `text`, and an lcnn_bench."""
        self.executable(self.folder / "bin" / "lcnn_bench", "exit 0\n")
        self.executable(self.folder / "tools" / name, text)
        return {"PATH": f"{self.folder / 'tools'}:{os.environ['PATH']}"}

    def test_the_row_alone_is_measured(self):
        for script in ("nsys", "ncu"):
            words = self.shown(script, LOOKUP, "--timing=hot")
            self.assertEqual(words[0], script)
            for word in (f"{self.folder}/bin/lcnn_bench", f"--benchmark_filter=^{LOOKUP}$", "--workload=resnet18",
                         "--dictionary=fast", "--batch=32", "--precision=fp16", "--layout=nhwc", "--timing=hot"):
                self.assertIn(word, words)

    def test_dictionaries_baselines_and_layer_files(self):
        words = self.shown("nsys", "Peer/sparse_2_4/mine/a.b/d16s1.5/n1/fp32", "--workload=mine.json")
        self.assertIn("--dictionary=16:1.5", words)
        self.assertIn(r"--benchmark_filter=^Peer/sparse_2_4/mine/a\.b/d16s1\.5/n1/fp32$", words)
        self.assertEqual([word for word in words if word.startswith("--workload")], ["--workload=mine.json"])
        words = self.shown("nsys", "Conv2d/cudnn/seed/64-128@224/n1/tf32")
        self.assertIn("--workload=seed", words)
        self.assertFalse([word for word in words if word.startswith("--dictionary")])

    def test_the_measure_phase_alone_is_captured(self):
        words = self.shown("nsys", LOOKUP)
        self.assertIn("--capture-range=nvtx", words)
        self.assertIn("--nvtx-capture=measure-rows@lcnn", words)
        self.assertIn("--output=Lookup_baked_fused_resnet18_64_56_fast_n32_fp16_nhwc", words)
        words = self.shown("ncu", LOOKUP)
        self.assertEqual(words[words.index("--nvtx-include") + 1],
                         r"lcnn@Lookup\/baked_fused\/resnet18\/64\@56\/fast\/n32\/fp16\/nhwc/measure")
        self.assertEqual(words[words.index("--launch-count") + 1], "8")

    def test_the_ranges_are_those_of_the_program(self):
        ranges = (SCRIPTS.parent / "profiles" / "nvtx_ranges.h").read_text()
        for name in ("measure-rows", "measure", "lcnn"):
            self.assertIn(f'{{"{name}"}}', ranges)

    def test_refusals_are_one_line_and_exit_code_2(self):
        for arguments, said in (((), "no row was named"), (("Lookup/fast",), "Lookup/fast"), ((LOOKUP,), "lcnn_bench is not there")):
            outcome = self.run_script("nsys", *arguments)
            self.assertEqual(outcome.returncode, 2)
            self.assertIn(said, outcome.stderr)
            self.assertEqual(outcome.stderr.count("\n"), 1)
        self.assertIn("LCNN_NCU_KERNELS=x", self.run_script("ncu", "--dry-run", LOOKUP, LCNN_NCU_KERNELS="x").stderr)

    def test_a_tool_that_is_not_there_is_named(self):
        self.executable(self.folder / "bin" / "lcnn_bench", "exit 0\n")
        outcome = self.run_script("nsys", LOOKUP, PATH="/usr/bin:/bin")
        self.assertEqual(outcome.returncode, 2)
        self.assertIn("nsys is not on PATH", outcome.stderr)

    def test_a_report_that_is_not_there_is_a_failure(self):
        outcome = self.run_script("nsys", LOOKUP, **self.tools("nsys", "exit 0\n"))
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("was not written", outcome.stderr)
        writes = 'for word; do case $word in --output=*) echo x >"${word#*=}.nsys-rep";; esac; done\n'
        outcome = self.run_script("nsys", LOOKUP, **self.tools("nsys", writes))
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))

    def test_ncu_writes_a_summary_also_when_it_killed_the_program(self):
        writes = """case "$*" in
          *--page\ raw*) printf '  gather (4, 1, 1)x(32, 1, 1), Context 1, Stream 7, Device 0, CC 9.0\n  Metric Name Metric Unit Metric Value\n  dram__bytes_read.sum Mbyte 3\n'
            printf '  smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio inst 1.25\n' ;;
          *--import*) echo "details of $2" ;;
          *) while [[ $1 != --export ]]; do shift; done; echo x >"$2.ncu-rep"; exit 9 ;;
        esac\n"""
        outcome = self.run_script("ncu", LOOKUP, **self.tools("ncu", writes))
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        name = "Lookup_baked_fused_resnet18_64_56_fast_n32_fp16_nhwc"
        summary = (self.folder / f"{name}.ncu.txt").read_text()
        self.assertIn(f"\ndetails of {name}.ncu-rep\n", summary)
        self.assertIn("\nlcnn_bench --benchmark_filter=", summary)
        self.assertTrue(summary.endswith("\n  gather (4, 1, 1)x(32, 1, 1), Context 1, Stream 7, Device 0, CC 9.0\n    barrier 1.25\n"), summary)
        self.assertNotIn(str(self.folder), summary, "it is of any machine")

    def test_a_report_of_an_earlier_run_does_not_pass_for_this_one(self):
        (self.folder / "Lookup_baked_fused_resnet18_64_56_fast_n32_fp16_nhwc.ncu-rep").write_text("old")
        outcome = self.run_script("ncu", LOOKUP, **self.tools("ncu", "exit 1\n"))
        self.assertEqual(outcome.returncode, 1)


if __name__ == "__main__":
    unittest.main()
