"""Trains a network with Conv2d and with LookupConv2d at several settings, measures what each is, and writes OUT/curve.json,
OUT/curve.md and OUT/curve.svg. What is finished in OUT is kept; interrupted, it goes on where it was.

Exit codes: 0 written, 1 a program failed, 2 the input cannot be used, 130 interrupted."""
import argparse
import json
import pathlib
import sys

from render.accuracy_picture import svg
from render.chart_library import WHEEL
from render.replace_file import replace_file
from render.report import UnusableInput

from .devices import Dealer, device_name, devices
from .measure import Measuring, measure, summary
from .plan import CONV2D, DEFAULT_SETTINGS, parse_setting
from .programs import INTERRUPTED, Failed, Programs
from .table import table
from .trainings import folder_of, side_by_side, train_all

FAILED, UNUSABLE = 1, 2


def count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is accepted")
    return value


def setting(text):
    try:
        return parse_setting(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def parse(arguments):
    parser = argparse.ArgumentParser(prog="accuracy_curve", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--out", required=True, type=pathlib.Path, metavar="FOLDER")
    add("--programs", required=True, metavar="FOLDER", help="of lcnn_train, lcnn_infer and lcnn_inspect")
    add("--setting", action="append", type=setting, metavar="DICTIONARY:LAMBDA",
        help=f"LookupConv2d's, as often as wanted; by default those of the network cnn: {' '.join(DEFAULT_SETTINGS)}")
    add("--seeds", type=count, default=3, help="trainings of each setting (3)")
    add("--dataset", default="fashion-mnist", help="as lcnn_train's (fashion-mnist)")
    add("--data", metavar="FOLDER", help="of the data set's files; where the distribution installs it by default")
    add("--model", default="cnn", help="as lcnn_train's (cnn)")
    add("--epochs", type=count, default=16, help="of each training (16)")
    add("--batch", type=count, default=64, help="of each training (64)")
    add("--learning-rate", type=float, default=0.03, help="the highest (0.03)")
    add("--subset", type=int, default=0, help="train on the first N images; 0, the default: all")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="that trains and is measured (cpu); of several GPUs, those of CUDA_VISIBLE_DEVICES, all")
    add("--jobs", type=count, default=1, help="trainings side by side (1)")
    add("--threads", type=int, default=0, help="of each program on the CPU; 0, the default: all cores")
    add("--inference-batch", type=count, default=32, help="images in a batch that is timed (32)")
    add("--inference-images", type=count, default=2000, help="images that are timed in a round (2000)")
    add("--rounds", type=count, default=5, help="in which each network and Conv2d are timed in turn (5)")
    return parser.parse_args(arguments)


def training_arguments(options):
    # Conv2d's cnn reached 92.4% so in 10 epochs and 92.9% in 16; with images shifted, too, at batch 128, 92.3% in 12.
    return [f"--dataset={options.dataset}", f"--model={options.model}", f"--epochs={options.epochs}", f"--batch={options.batch}",
            f"--learning-rate={options.learning_rate}", "--schedule=cosine", "--warm-up=1", "--flip=0.5", f"--subset={options.subset}"]


def measure_all(programs, options, settings, seeds, how):
    """What measured each of the networks, by setting and seed. Each one's numbers are kept beside it; none is measured twice in
    the same way. One network at a time is measured on a device."""
    names = devices(options.device)
    dealer = Dealer(names)

    def measured(each):
        setting, seed = each
        kept = folder_of(options.out, setting, seed) / "measured.json"
        key = vars(how)
        before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        if before.get("how") != key or "device_name" not in before:
            with dealer.device() as gpu:
                network = measure(programs, options.out, setting, CONV2D, seed, how, gpu)
            before = {"how": key, "device_name": device_name(options.device), "network": network}
            replace_file(kept, json.dumps(before, indent=1))
        return before

    todo = [(setting, seed) for setting in settings for seed in seeds]
    return dict(zip(todo, side_by_side(programs, len(names), "measured", measured, todo)))


def write_curve(options):
    programs = Programs(options.programs)
    settings = [CONV2D, *dict.fromkeys(options.setting or map(parse_setting, DEFAULT_SETTINGS))]
    seeds = range(1, options.seeds + 1)
    data = [f"--data={options.data}"] if options.data else []
    device = [f"--device={options.device}", f"--threads={options.threads}"]
    how = Measuring([f"--dataset={options.dataset}", *data], device, options.inference_batch, options.inference_images, options.rounds)
    arguments = training_arguments(options)
    try:
        train_all(programs, options.out, settings, seeds, arguments, [*data, *device], options.jobs, Dealer(devices(options.device)))
        measured = measure_all(programs, options, settings, seeds, how)
    except KeyboardInterrupt:
        programs.stop()
        raise
    rows = [summary(each, [measured[each, seed]["network"] for seed in seeds]) for each in settings]
    context = {"model": options.model, "dataset": options.dataset, "epochs": options.epochs, "seeds": options.seeds,
               "subset": options.subset, "device": options.device,
               "device_name": ", ".join(dict.fromkeys(each["device_name"] for each in measured.values())),
               "inference_batch": options.inference_batch, "training": arguments}
    curve = {"version": 1, "context": context, "rows": rows}
    replace_file(options.out / "curve.json", json.dumps(curve, indent=1))
    replace_file(options.out / "curve.md", table(curve))
    print(table(curve), end="")
    try:
        replace_file(options.out / "curve.svg", svg(curve))
    except ImportError:
        print(f"accuracy_curve: curve.svg is not drawn: that needs {WHEEL}; the same command draws it then", file=sys.stderr)


def main(arguments=None):
    try:
        write_curve(parse(arguments))
    except KeyboardInterrupt:
        print("accuracy_curve: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except Failed as error:
        print(f"accuracy_curve: {error}", file=sys.stderr)
        return FAILED
    except (UnusableInput, OSError, ValueError) as error:  # files that cannot be read or written, or are no JSON
        print(f"accuracy_curve: {error}", file=sys.stderr)
        return UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
