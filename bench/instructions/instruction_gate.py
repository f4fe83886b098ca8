#!/usr/bin/env python3
"""Counts the instructions of each CPU kernel with valgrind and compares them with the committed counts.

    instruction_gate.py PROGRAM --compiler=NAME            exits 1 where a kernel takes over 1% more, 77 where it cannot say
    instruction_gate.py PROGRAM --compiler=NAME --renew    writes the counts: a change that takes more says why in its commit
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

COUNTS = pathlib.Path(__file__).resolve().parent / "counts.json"
TOLERANCE = 0.01
SKIPPED = 77
NOT_SUPPORTED = 3


def count(program, variant, granularity):
    """Instructions of one run, or None where the kernel does not support the layer."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--toggle-collect=counted_run"]
        command += ["--toggle-collect=uncounted_gemm", program, variant, granularity]
        # One thread; the library's functions take the same path on every processor.
        tunables = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM", "OMP_NUM_THREADS": "1"}
        outcome = subprocess.run(command, env=os.environ | tunables, capture_output=True, text=True, check=False)
        if outcome.returncode == NOT_SUPPORTED:
            return None
        if outcome.returncode != 0:
            sys.exit(f"{variant} {granularity}: valgrind's exit code was {outcome.returncode}:\n{outcome.stderr[-2000:]}")
        return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE).group(1))


def judge(committed, counted):
    """Lines that say what takes more, and lines that say what takes less or is new."""
    worse, other = [], []
    for name, now in counted.items():
        before = committed.get(name)
        if before is None:
            other.append(f"{name}: {now:,} instructions, none committed")
        elif not now <= before * (1 + TOLERANCE):
            worse.append(f"{name}: {before:,} to {now:,} instructions ({now / before - 1:+.1%})")
        elif now < before * (1 - TOLERANCE):
            other.append(f"{name}: {before:,} to {now:,} instructions ({now / before - 1:+.1%}): renew the counts")
    worse += [f"{name}: not counted any more" for name in committed if name not in counted]
    return worse, other


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--renew", action="store_true")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind was not found (Debian: valgrind)")
        return SKIPPED
    committed = json.loads(COUNTS.read_text()) if COUNTS.exists() else {"compiler": None, "counts": {}}
    if not options.renew and committed["compiler"] != options.compiler:
        print(f"skipped: the committed counts are {committed['compiler']}'s, this is {options.compiler}")
        return SKIPPED
    listed = subprocess.run([options.program], capture_output=True, text=True, check=True).stdout
    counted = {}
    for line in listed.splitlines():
        instructions = count(options.program, *line.split())
        if instructions is not None:
            counted[line.replace(" ", "/")] = instructions
    if options.renew:
        COUNTS.write_text(json.dumps({"compiler": options.compiler, "counts": counted}, indent=2) + "\n")
        return 0
    worse, other = judge(committed["counts"], counted)
    print("\n".join(worse + other) or f"{len(counted)} counts are as committed")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
