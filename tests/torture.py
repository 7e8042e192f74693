"""What people and machines do to runs: kills, full and read-only disks, nonsense as input.

    python tests/torture.py --minutes 15 --seed 0          (make torture)

* Kills: five methods are killed (-9 at a random time, at the n-th file operation, in the middle of a file; SIGTERM and
  SIGINT), once or more, and resumed. The finished run must equal one that nobody touched, bit for bit.
* Disks: files may not grow, a disk is full, a run is read-only. One line, and what was there before still works.
* Inputs: nonsense flags, runs and data of every kind that were cut, flipped, emptied or replaced. Each command ends
  within a minute, in success or in one line; damaged weights, arrays and numbers are never taken for good.

Commands run in forked children of one process that has imported everything, so each takes a fraction of a second.
Prints a line of figures for each part, each fault with its command, and exits with status 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torture_inputs as inputs

KILLS, INPUTS, DISKS = 200, 600, 18
LIMIT = 60.0  # seconds of a command that hangs

SHORT = ["--tiny", "--steps", "12", "--checkpoint-every", "3", "--log-every", "2", "--threads", "1", "--device", "cpu"]
METHODS = {
    "latent_prior": ["latent_prior", "--data", "digits", *SHORT],
    "maximum_likelihood": ["maximum_likelihood", "--data", "wide_ring", "--start", "persistent", *SHORT],
    "dual_teaching": ["dual_teaching", "--data", "wide_ring", "--ema", "0.9", *SHORT],
    "alternating_backprop": ["alternating_backprop", "--data", "linear_factors", *SHORT],
    # δ²λ is above this limit from the first update on: it rolls back again and again until δ is short enough.
    "roll-backs": ["latent_prior", "--data", "linear_modes", *SHORT, "--guard-stability", "0.0005"],
}


@dataclass
class Case:
    """A command in a child, and what came of it."""

    argv: list[str]
    folder: Path
    prepare: Callable[[], object] = lambda: None
    """Runs in the child before the command."""
    signal: tuple[float, int] | None = None
    """Seconds after which the parent sends a signal, and which."""
    tell_modules: bool = False
    """Whether the child writes down what it imported."""
    pid: int = 0
    begun: float = 0.0
    status: int | None = None
    """Exit status, or minus the signal that ended the child."""
    out: str = ""
    err: str = ""

    def start(self) -> None:
        for name in ("stdout", "stderr"):  # a signal may come before the child has opened them
            (self.folder / name).touch()
        sys.stdout.flush()
        self.begun, self.pid = time.monotonic(), os.fork()
        if self.pid == 0:
            _child(self)

    def poll(self) -> bool:
        """Whether the child has ended; sends what is due."""
        age = time.monotonic() - self.begun
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
            self.out, self.err = ((self.folder / n).read_text("utf-8", "replace") for n in ("stdout", "stderr"))
            return True
        if self.signal and age > self.signal[0]:
            os.kill(self.pid, self.signal[1])
            self.signal = None
        elif age > LIMIT:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status, self.err = 124, "(it hung)"
            return True
        return False

    def fault(self) -> str:
        """What is wrong with how the command ended; "" if nothing is."""
        if self.status == 124:
            return "hang"
        if "Traceback" in self.out + self.err or self.status not in (0, 2, 3, 130):
            return "traceback"
        if self.status and len(self.err.strip().splitlines()) != 1:
            return "message of several lines"
        return ""

    def __str__(self) -> str:
        lines = self.err.strip().splitlines() or [""]
        return f"absynth {' '.join(self.argv)}  ->  {self.status} {' | '.join(lines[-3:])[:300]}"


def _child(case: Case) -> None:
    status, began = 1, False
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(case.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from absynth.cli import main

        case.prepare()
        began = True
        main(case.argv)
        status = 0
        if case.tell_modules:
            (case.folder / "modules").write_text("\n".join(sys.modules))
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not began:  # the signal came before the command
            status = 130
            (case.folder / "stderr").write_text("interrupted\n")
        else:
            traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def run(argv: list[str], folder: Path, prepare: Callable[[], object] = lambda: None, **named) -> Iterator[Case]:
    """Start a command and wait for it, giving other commands their turns meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    case = Case([str(word) for word in argv], folder, prepare, **named)
    case.start()
    while not case.poll():
        yield case
    return case


# Ways to die, set up in the child -------------------------------------------------------------------------------------


def die_at_operation(n: int) -> None:
    """SIGKILL at the n-th change of the file system."""
    count = iter(range(1, 1 << 30))
    watched = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in watched) and next(count) >= n:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    sync = os.fsync

    def fsync(handle: int) -> None:
        hook("os.truncate", ())
        sync(handle)

    os.fsync = fsync


def no_larger(size: int, *, deadly: bool) -> None:
    """A file that would grow above ``size`` bytes kills the process, or the write fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def as_nobody() -> None:
    """What root would be allowed is not tried."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


# Kills ---------------------------------------------------------------------------------------------------------------


def contents(run: Path) -> tuple:
    """Everything of a finished run but times."""
    import torch

    last = sorted(p for p in run.glob("step_*"))[-1]
    state = torch.load(last / "state.pt", weights_only=True)
    flat: dict[str, object] = {}

    def walk(value: object, at: str) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            if key != "seconds":
                walk(inner, f"{at}/{key}")
        if isinstance(value, torch.Tensor):
            flat[at] = value.numpy().tobytes()
        elif not isinstance(value, dict | list):
            flat[at] = repr(value)

    walk(state, "")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    left = [p.name for p in run.iterdir() if p.name.endswith(".tmp")]
    return (run / "model.safetensors").read_bytes(), flat, repr(rows), left


def killed(name: str, whole: Path, root: Path, rng: random.Random, seconds: float) -> Iterator[tuple[Counter, list]]:
    """Kill a run of a method one to three times, resume it, and compare it with the whole one."""
    found, faults, out = Counter(), [], root / "run"
    argv = ["train", *METHODS[name], "--out", str(out)]
    largest = max(p.stat().st_size for p in whole.rglob("*") if p.is_file())
    for _ in range(rng.choice((1, 1, 2, 3))):
        way = rng.choice(("time", "operation", "operation", "middle", "SIGTERM", "SIGINT"))
        prepare, sent = (lambda: None), None
        if way == "operation":
            n = rng.randrange(1, 260 if name == "roll-backs" else 120)
            prepare = lambda n=n: die_at_operation(n)  # noqa: E731
        elif way == "middle":
            size = rng.randrange(1, largest)
            prepare = lambda size=size: no_larger(size, deadly=True)  # noqa: E731
        else:
            sent = (rng.uniform(0, seconds), getattr(signal, way if way != "time" else "SIGKILL"))
        case = yield from run(argv, root / "io", prepare, signal=sent)
        found[f"{way}"] += 1
        ended = -case.status if case.status is not None else 0
        if ended not in (signal.SIGKILL, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT) and case.fault():
            faults.append(f"{case.fault()} after {way}: {case}")
    case = yield from run(argv, root / "io")
    if case.status != 0:
        faults.append(f"not resumed: {case}")
    elif contents(out) != contents(whole):
        same = [a == b for a, b in zip(contents(out), contents(whole))]
        faults.append(f"resumed run differs (weights, state, metrics, leftovers equal: {same}): {case} after {found}")
    else:
        found["equal"] += 1
    if not faults:
        shutil.rmtree(root)
    return found, faults


# Disks ---------------------------------------------------------------------------------------------------------------


def disk(name: str, whole: Path, root: Path, rng: random.Random, number: int) -> Iterator[tuple[Counter, list]]:
    """Train, resume and use runs where nothing can be written, or files may not grow."""
    found, faults, out = Counter(), [], root / "run"
    root.mkdir(parents=True, exist_ok=True)
    argv = ["train", *METHODS[name], "--out", str(out)]
    way = ("limit", "read-only", "read-only task", "full", "home", "taken")[number % 6]
    found[way] += 1
    largest = max(p.stat().st_size for p in whole.rglob("*") if p.is_file())
    expected: tuple[int, ...] = (2,)
    if way == "limit":
        size = rng.randrange(1, largest)
        case = yield from run(argv, root / "io", lambda: no_larger(size, deadly=False))
    elif way == "full":
        case = yield from run([*argv[:-1], "/dev/full/run"], root / "io")
    elif way == "taken":
        out.write_text("a file")
        case = yield from run(argv, root / "io")
    elif way == "home":
        expected = (0,)
        case = yield from run(argv, root / "io", lambda: os.environ.update(HOME="/dev/null", XDG_CACHE_HOME="/proc/1"))
    else:
        shutil.copytree(whole, out)
        for path in [out, *out.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        task = ["sample", str(out), "--n", "4"]
        command = [*argv, "--steps", "14"] if way == "read-only" else task
        case = yield from run(command, root / "io", as_nobody)
        if way == "read-only task" and not case.fault():
            (root / "out").mkdir(mode=0o777)
            (root / "out").chmod(0o777)
            again = yield from run([*task, "--out", str(root / "out")], root / "io", as_nobody)
            if again.status != 0:
                faults.append(f"--out does not help: {again}")
    if case.fault() or case.status not in expected:
        faults.append(f"{way}: {case.fault() or 'status'}: {case}")
    if way == "limit" and not faults:
        case = yield from run(argv, root / "io")
        if case.status != 0 or contents(out) != contents(whole):
            faults.append(f"resumed after a full disk, it differs: {case}")
    return found, faults


# Inputs --------------------------------------------------------------------------------------------------------------


def nonsense(make: inputs.Make, root: Path, rng: random.Random) -> Iterator[tuple[Counter, list]]:
    """One malformed input: flags, a damaged run, or data."""
    root.mkdir(parents=True)
    what, argv, refused = make(root, rng)
    case = yield from run(argv, root / "io", lambda: os.chdir(root))
    fault = case.fault() or ("accepted nonsense" if refused and case.status == 0 else "")
    if not fault:
        shutil.rmtree(root, ignore_errors=True)
    return Counter([what]), [f"{fault}: {what}: {case}"] if fault else []


# All of it -----------------------------------------------------------------------------------------------------------


def together(jobs: Iterator[Iterator], end: float, workers: int) -> tuple[Counter, list]:
    """Run jobs, a few at a time, until they are done or the time is up; no job is begun after ``end``."""
    found, faults, active = Counter(), [], []
    while True:
        while len(active) < workers and time.monotonic() < end:
            job = next(jobs, None)
            if job is None:
                break
            active.append(job)
        if not active:
            return found, faults
        for job in list(active):
            try:
                next(job)
            except StopIteration as done:
                active.remove(job)
                found += done.value[0] + Counter(all=1)
                for fault in done.value[1]:
                    print(f"  {fault}", flush=True)
                    faults.append(fault)
        time.sleep(0.01)


def finish(job: Iterator) -> Case:
    """Run one job to its end."""
    while True:
        try:
            next(job)
            time.sleep(0.01)
        except StopIteration as done:
            return done.value


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=("kills", "disks", "inputs"), default=None)
    given = parser.parse_args()
    print("loading", flush=True)
    inputs.load_everything()
    # Where another user can look: read-only runs are tried as nobody.
    root = Path(tempfile.mkdtemp(prefix="absynth-torture-"))
    root.chmod(0o755)
    whole, seconds, faults = {}, {}, []
    for name, argv in METHODS.items():
        whole[name] = root / name.replace("-", "_")
        for command in (
            ["train", *argv, "--out", whole[name]],
            ["sample", whole[name], "--n", "4", "--out", root / "s"],
        ):
            begun = time.monotonic()
            case = finish(run(command, root / "io" / name, tell_modules=True))
            seconds.setdefault(name, time.monotonic() - begun)
            if case.status != 0:
                print(f"an undisturbed run fails: {case}")
                return 1
            inputs.load((root / "io" / name / "modules").read_text().splitlines())
    begun, end = time.monotonic(), time.monotonic() + 60 * given.minutes
    names, makes = list(METHODS), inputs.makes(whole["latent_prior"])

    def job(part: str, i: int) -> Iterator:
        rng, name, folder = random.Random(f"{given.seed} {part} {i}"), names[i % len(names)], root / f"{part}{i}"
        if part == "kills":
            return killed(name, whole[name], folder, rng, seconds[name])
        return disk(name, whole[name], folder, rng, i) if part == "disks" else nonsense(makes[i % 8], folder, rng)

    for part, count, share in (("kills", KILLS, 0.5), ("disks", DISKS, 0.58), ("inputs", INPUTS, 1.0)):
        if given.only in (None, part):
            until = end if given.only else begun + share * (end - begun)
            found, bad = together((job(part, i) for i in range(count)), until, given.workers)
            kinds = ", ".join(f"{k} {n}" for k, n in sorted(found.items()) if k != "all")
            print(f"{part}: {found['all']} of {count} ({kinds}): {len(bad)} faults", flush=True)
            faults += bad
    print(
        f"{len(faults)} faults in {(time.monotonic() - begun) / 60:.1f} minutes"
        + (f"; kept in {root}" if faults else "")
    )
    if not faults:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
