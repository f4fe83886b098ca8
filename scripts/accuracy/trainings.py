"""Trains what is missing, several trainings side by side."""
import concurrent.futures
import json
import sys

from render.replace_file import replace_file

from .programs import Failed


def folder_of(out, setting, seed):
    return out / "trainings" / setting.name() / f"seed{seed}"


def train(programs, out, setting, seed, arguments, machine, dealer):
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
    with dealer.device() as gpu:
        programs.run("lcnn_train", *made_by, *machine, f"--out={folder}", *resume, gpu=gpu)
    replace_file(mark, json.dumps(made_by))


def train_all(programs, out, settings, seeds, arguments, machine, jobs, dealer):
    """Throws Failed when one of them fails, once the others have been interrupted."""
    todo = [(setting, seed) for seed in seeds for setting in settings]
    side_by_side(programs, jobs, "trained", lambda each: train(programs, out, *each, arguments, machine, dealer), todo)


def side_by_side(programs, jobs, done, work, todo):
    """work(each) of all of todo, in its order, `jobs` at a time. Throws what one of them throws, once the others have been interrupted."""
    progress = sys.stderr.isatty()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work, each) for each in todo]
        try:
            for count, finished in enumerate(concurrent.futures.as_completed(running), 1):
                finished.result()
                if progress:
                    print(f"\r\033[K{count} of {len(todo)} {done}", end="", file=sys.stderr, flush=True)
        except BaseException:
            programs.stop()
            for each in running:
                each.cancel()
            raise
        finally:
            if progress:
                print("\r\033[K", end="", file=sys.stderr)
    return [each.result() for each in running]
