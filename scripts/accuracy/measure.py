"""What one trained network is: accuracy, lookups, operations, bytes, and time beside Conv2d's."""
import dataclasses
import statistics

from .trainings import folder_of


@dataclasses.dataclass(frozen=True)
class Measuring:
    """How networks are measured; `source` and `device` are arguments of lcnn_infer."""

    source: list[str]
    device: list[str]
    batch: int
    images: int
    rounds: int


def checkpoint(out, setting, seed):
    """The state after the last epoch: no validation image chose it."""
    return folder_of(out, setting, seed) / "last.safetensors"


def milliseconds(programs, path, how, gpu):
    arguments = [*how.source, *how.device, f"--batch={how.batch}", f"--subset={how.images}", "--top=1"]
    return programs.json_of("lcnn_infer", path, *arguments, gpu=gpu)["milliseconds_per_image"]


def measure(programs, out, setting, baseline, seed, how, gpu):
    """One network. Its times and Conv2d's of the same seed are taken in turn on the same device."""
    path = checkpoint(out, setting, seed)
    result = programs.json_of("lcnn_infer", path, *how.source, *how.device, f"--batch={how.batch}", "--top=1", gpu=gpu)
    counts = programs.json_of("lcnn_inspect", path, *how.device, "--runs=1", gpu=gpu)["all"]
    times, baseline_times = [], []
    for _ in range(how.rounds):
        baseline_times.append(milliseconds(programs, checkpoint(out, baseline, seed), how, gpu))
        times.append(milliseconds(programs, path, how, gpu))
    return {
        "seed": seed,
        "accuracy": result["accuracy"],
        "lookups": counts.get("lookups"),
        "multiplications": counts["multiplications"],
        "conv2d_multiplications": counts["conv2d_multiplications"],
        "bytes": counts["bytes"],
        "conv2d_bytes": counts["conv2d_bytes"],
        "milliseconds_per_image": times,
        "conv2d_milliseconds_per_image": baseline_times,
        "speedup": statistics.median(baseline_times) / statistics.median(times),
    }


def spread(values):
    """The mean with the standard deviation of the sample, which one value has not."""
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else None}


SUMMARIZED = ("accuracy", "lookups", "multiplications", "bytes", "speedup")


def summary(setting, networks):
    """All seeds of a setting."""
    of_seeds = {field: [network[field] for network in networks] for field in SUMMARIZED}
    return {
        "name": setting.name(),
        "dictionary": setting.dictionary or None,
        "lambda": float(setting.penalty) if setting.penalty else None,
        **{field: None if None in values else spread(values) for field, values in of_seeds.items()},
        "milliseconds_per_image": statistics.median(time for network in networks for time in network["milliseconds_per_image"]),
        "networks": networks,
    }
