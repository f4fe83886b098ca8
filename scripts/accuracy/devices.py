"""The devices of this machine that trainings and measurements are dealt to."""
import contextlib
import os
import pathlib
import subprocess
import threading


def devices(kind):
    """Names by which CUDA_VISIBLE_DEVICES tells GPUs apart, [None] for what needs no name: the CPU, a machine's only GPU."""
    if kind != "cuda":
        return [None]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(len(gpu_names()))] if visible is None else [name.strip() for name in visible.split(",")]
    return names if len(names) > 1 else [None]


def gpu_names():
    try:
        listed = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return listed.stdout.splitlines() if listed.returncode == 0 else []


def device_name(kind):
    if kind == "cuda":
        return (gpu_names() or ["a CUDA GPU"])[0]
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "a CPU")


class Dealer:
    """Gives each work the device on which the fewest run."""

    def __init__(self, names):
        self.lock = threading.Lock()
        self.running = dict.fromkeys(names, 0)

    @contextlib.contextmanager
    def device(self):
        with self.lock:
            name = min(self.running, key=self.running.get)
            self.running[name] += 1
        try:
            yield name
        finally:
            with self.lock:
                self.running[name] -= 1
