"""Trains what is missing, several trainings side by side."""
import concurrent.futures
import json
import sys

from render.replace_file import replace_file

from .programs import Failed


def folder_of(out, setting, seed):
    return out / "trainings" / setting.name() / f"seed{seed}"


def train(programs, out, setting, seed, arguments, machine):
    """Trains, or goes on, until folder_of() has trained.json, the arguments that made what is there. `machine` are those that do
    not matter to it."""
    folder = folder_of(out, setting, seed)
    mark = folder / "trained.json"
    made_by = [*setting.arguments(), f"--seed={seed}", *arguments]
    if mark.exists():
        before = json.loads(mark.read_text(encoding="utf-8"))
        if before != made_by:
            raise Failed(f"{folder}: was trained with {' '.join(before)}, not with {' '.join(made_by)}: give another --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    resume = ["--resume"] if (folder / "last.safetensors").exists() else []
    programs.run("lcnn_train", *made_by, *machine, f"--out={folder}", *resume)
    replace_file(mark, json.dumps(made_by))


def train_all(programs, out, settings, seeds, arguments, machine, jobs):
    """Throws Failed when one of them fails, once the others have been interrupted."""
    progress = sys.stderr.isatty()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        trainings = [pool.submit(train, programs, out, setting, seed, arguments, machine) for seed in seeds for setting in settings]
        try:
            for done, training in enumerate(concurrent.futures.as_completed(trainings), 1):
                training.result()
                if progress:
                    print(f"\r\033[K{done} of {len(trainings)} trained", end="", file=sys.stderr, flush=True)
        except BaseException:
            programs.stop()
            for training in trainings:
                training.cancel()
            raise
        finally:
            if progress:
                print("\r\033[K", end="", file=sys.stderr)
