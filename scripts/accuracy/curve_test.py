"""scripts/accuracy_curve with programs that only write down what they were asked for."""
import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

from accuracy import curve
from accuracy.plan import parse_setting
from render.accuracy_picture import specification, svg
from render.chart_library import vl_convert

# Calls are lines of calls.txt. A training is done when it has last.safetensors; LookupConv2d is twice as fast and less accurate.
PROGRAM = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
here = pathlib.Path(sys.argv[0]).parent
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(here / "calls.txt", "a") as calls:
    calls.write(" ".join([name, *arguments, "on GPU", os.environ.get("CUDA_VISIBLE_DEVICES", "?")]) + "\\n")
if name == "lcnn_train":
    if (here / "fail").exists() and "--lambda=0.5" in arguments:
        sys.exit("lcnn_train: --lambda=0.5: not today")
    if (here / "slow").exists():
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            sys.exit(130)
    out = next(a.removeprefix("--out=") for a in arguments if a.startswith("--out="))
    pathlib.Path(out, "last.safetensors").write_text("")
elif name == "lcnn_infer":
    lookup = "conv2d" not in arguments[0]
    seed = int(arguments[0].split("seed")[1].split("/")[0])
    print(json.dumps({"accuracy": (0.8 if lookup else 0.9) + seed / 100, "milliseconds_per_image": 0.5 if lookup else 1.0}))
else:
    lookups = {} if "conv2d" in arguments[0] else {"lookups": 40}
    print(json.dumps({"all": {**lookups, "multiplications": 100, "conv2d_multiplications": 400, "bytes": 10, "conv2d_bytes": 40}}))
"""


class AccuracyCurveTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("lcnn_train", "lcnn_infer", "lcnn_inspect"):
            path = self.folder / name
            path.write_text(PROGRAM)
            path.chmod(0o755)
        self.out = self.folder / "out"
        self.arguments = [f"--programs={self.folder}", f"--out={self.out}", "--setting=1,8:0.5", "--setting=fast:0", "--seeds=2", "--rounds=3"]

    def run_curve(self, *more):
        """The exit code and what stands on both outputs. The picture is another library's."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), unittest.mock.patch.object(curve, "svg", lambda _: "<svg/>"):
            code = curve.main([*self.arguments, *more])
        return code, out.getvalue(), err.getvalue()

    def calls(self, name):
        path = self.folder / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1:] for line in lines if line.startswith(name)]

    def test_every_setting_is_trained_from_every_seed_and_measured_beside_conv2d(self):
        code, out, err = self.run_curve("--jobs=3", "--epochs=7", "--data=somewhere")
        self.assertEqual((code, err), (0, ""))
        trained = self.calls("lcnn_train")
        self.assertEqual(len(trained), 6)
        for arguments in trained:
            self.assertIn("--epochs=7", arguments)
            self.assertIn("--data=somewhere", arguments)
        self.assertEqual(sum("--lambda=0.5" in arguments and "--dictionary=1,8" in arguments for arguments in trained), 2)

        document = json.loads((self.out / "curve.json").read_text())
        conv2d, lookup, _ = document["rows"]
        self.assertEqual(conv2d["speedup"]["mean"], 1)
        self.assertEqual((lookup["dictionary"], lookup["lambda"]), ("1,8", 0.5))
        self.assertEqual((lookup["speedup"]["mean"], lookup["lookups"]["mean"], lookup["multiplications"]["mean"]), (2, 40, 100))
        self.assertAlmostEqual(lookup["accuracy"]["mean"], 0.815)
        self.assertAlmostEqual(lookup["accuracy"]["deviation"], 0.00707, 5)
        self.assertEqual(out, (self.out / "curve.md").read_text())
        self.assertIn("| LookupConv2d 1,8 | 0.5 | 81.50% ± 0.71% | 40 ± 0 | 25.0% | 0.5000 | 2.00x ± 0.00x | 10 |", out)
        # Times are taken in turn.
        timed = [arguments[0].split("/")[-3] for arguments in self.calls("lcnn_infer") if any("--subset" in a for a in arguments)]
        self.assertEqual(timed[6 * 2 : 6 * 2 + 6], ["conv2d", "d1-8_lambda0.5"] * 3)

    def test_trainings_and_measurements_are_dealt_to_all_gpus(self):
        with unittest.mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "2,5"}):
            self.assertEqual(self.run_curve("--device=cuda", "--jobs=4")[0], 0)
        for name in ("lcnn_train", "lcnn_infer", "lcnn_inspect"):
            self.assertEqual({call[-1] for call in self.calls(name)}, {"2", "5"}, name)
        # A single device keeps the name by which the caller chose it.
        (self.folder / "calls.txt").unlink()
        with unittest.mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "7"}):
            self.assertEqual(self.run_curve("--device=cuda", f"--out={self.folder / 'single'}")[0], 0)
        self.assertEqual({call[-1] for call in self.calls("lcnn_train")}, {"7"})

    def test_without_the_charts_library_the_picture_alone_is_left_out(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(out):
            with unittest.mock.patch.object(curve, "svg", side_effect=ImportError):
                self.assertEqual(curve.main(self.arguments), 0)
        self.assertEqual(out.getvalue().count("\n"), 1)
        self.assertIn("curve.svg is not drawn", out.getvalue())
        self.assertTrue((self.out / "curve.md").exists())
        before = (self.out / "curve.json").read_text()
        self.assertEqual(self.run_curve()[0], 0)
        self.assertEqual((self.out / "curve.json").read_text(), before)
        self.assertTrue((self.out / "curve.svg").exists())

    def test_what_is_finished_is_kept(self):
        self.run_curve("--seeds=1")
        before = (self.out / "curve.json").read_text()
        (self.folder / "calls.txt").unlink()
        self.assertEqual(self.run_curve("--seeds=1")[0], 0)
        self.assertEqual((self.calls("lcnn_train"), self.calls("lcnn_infer")), ([], []))
        self.assertEqual((self.out / "curve.json").read_text(), before)
        self.assertEqual(self.run_curve("--seeds=2", "--threads=1")[0], 0)
        self.assertEqual(len(self.calls("lcnn_train")), 3, "the second seed's")

    def test_another_training_in_the_same_folder_is_refused(self):
        self.run_curve()
        before = (self.out / "curve.json").read_text()
        code, out, err = self.run_curve("--epochs=3")
        self.assertEqual((code, out, err.count("\n")), (1, "", 1))
        self.assertIn("give another --out", err)
        self.assertEqual((self.out / "curve.json").read_text(), before)

    def test_a_program_that_fails_is_named_with_its_reason_and_the_rest_is_kept(self):
        (self.folder / "fail").touch()
        code, _, err = self.run_curve()
        self.assertEqual((code, err), (1, "accuracy_curve: lcnn_train ended with 1: lcnn_train: --lambda=0.5: not today\n"))
        self.assertFalse((self.out / "curve.json").exists())
        (self.folder / "fail").unlink()
        self.assertEqual(self.run_curve()[0], 0)

    def test_ctrl_c_interrupts_the_trainings_and_the_same_command_goes_on(self):
        (self.folder / "slow").touch()
        scripts = pathlib.Path(__file__).resolve().parents[1]
        environment = os.environ | {"PYTHONPATH": f"{scripts}:{scripts.parent / 'reports'}"}
        process = subprocess.Popen([sys.executable, "-m", "accuracy.curve", *self.arguments, "--jobs=2"], env=environment,
                                   stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while len(self.calls("lcnn_train")) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        self.assertEqual((process.returncode, err), (130, "accuracy_curve: interrupted; the same command goes on from here\n"))
        (self.folder / "slow").unlink()
        self.assertEqual(self.run_curve()[0], 0)

    def test_input_that_cannot_be_used_is_refused_in_one_line(self):
        (self.folder / "lcnn_infer").unlink()
        self.assertIn("there is no lcnn_infer", self.run_curve()[2])
        for text in ("1,8", "1,8:", ":0", "1,8:-1", "best:0"):
            with self.assertRaises(ValueError, msg=text):
                parse_setting(text)
        self.out.write_text("a file")
        (self.folder / "lcnn_infer").touch()
        code, _, err = self.run_curve()
        self.assertEqual((code, err.count("\n")), (2, 1))

    def test_the_picture_has_a_point_for_each_row(self):
        self.run_curve()
        spec = specification(json.loads((self.out / "curve.json").read_text()))
        points = spec["data"]["values"]
        self.assertEqual([point["label"] for point in points], ["Conv2d", "1,8, λ 0.5", "fast, λ 0"])
        self.assertEqual([point["speedup"] for point in points], [1, 2, 2])

    def test_the_picture_is_drawn(self):
        try:
            vl_convert()
        except ImportError:
            self.skipTest("vl-convert-python is not installed")
        self.run_curve()
        drawn = svg(json.loads((self.out / "curve.json").read_text()))
        for text in ("<svg", "Conv2d", "λ 0.5", "times the speed of Conv2d"):
            self.assertIn(text, drawn)


if __name__ == "__main__":
    unittest.main()
