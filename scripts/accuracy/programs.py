"""Runs lcnn_train, lcnn_infer and lcnn_inspect."""
import json
import os
import pathlib
import signal
import subprocess
import threading

INTERRUPTED = 130


class Failed(Exception):
    """A program that did not do what was asked; its text is one line."""


class Programs:
    """The programs of one folder. stop() interrupts those that run, and no further one starts."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.lock = threading.Lock()
        self.running, self.stopped = set(), False
        for name in ("lcnn_train", "lcnn_infer", "lcnn_inspect"):
            if not (self.folder / name).is_file():
                raise Failed(f"--programs={folder}: there is no {name}; scripts/accuracy_curve builds it")

    def run(self, name, *arguments, gpu=None):
        """The program's standard output; it sees `gpu` alone. Throws Failed with its last line on the standard error."""
        environment = None if gpu is None else os.environ | {"CUDA_VISIBLE_DEVICES": gpu}
        with self.lock:
            if self.stopped:
                raise Failed("interrupted")
            # A session of its own: Ctrl-C reaches it through stop() only, once.
            process = subprocess.Popen([self.folder / name, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
            self.running.add(process)
        try:
            out, err = process.communicate()
        finally:
            with self.lock:
                self.running.discard(process)
        if process.returncode == INTERRUPTED:
            raise Failed("interrupted")
        if process.returncode != 0:
            raise Failed(f"{name} ended with {process.returncode}: {(err.strip().splitlines() or ['it said nothing'])[-1]}")
        return out

    def json_of(self, name, *arguments, gpu=None):
        return json.loads(self.run(name, *arguments, "--json", gpu=gpu))

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.send_signal(signal.SIGINT)
