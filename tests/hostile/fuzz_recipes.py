"""Load randomly mutated recipes: ``python fuzz_recipes.py FIRST COUNT`` prints a JSON line for each fault and a summary.

Each case depends on its number only: ``python fuzz_recipes.py 1234 1 --show`` repeats one. A case is a bundled recipe,
mutated as text or as data, sometimes with overrides. It must load, or raise a `RecipeError` whose problems all have a
place, with bounded time and memory, and without writing files, starting processes or using the network.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recipe_mutations import RECIPES, case

import gankit

SECONDS = 10.0  # of CPU time, which other work on the machine increases
WALL_SECONDS = 40.0
BYTES = 1 << 30  # by which one case may raise the peak memory
LONGEST_PROBLEM = 2_000


class TimeLimitError(BaseException):
    """The case ran too long. A BaseException, so that ``except Exception`` does not catch it."""


class AuditMonitor:
    """Records audit events of the interpreter that write files, start processes or open connections."""

    FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "socket.connect", "socket.getaddrinfo", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink", "shutil.rmtree", "pickle.find_class", "ctypes.dlopen", "os.kill")  # fmt: skip

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or (event, args) == ("ctypes.dlopen", (None,)):  # the process itself, to set its allocator
            return
        if event in self.FORBIDDEN or (event == "open" and args[2] & 0o3):
            self.seen.append(f"{event} {args!r:.200}")


def load_and_check(path: Path, words: list[str], runtime: gankit.Runtime, monitor: AuditMonitor) -> tuple[str, str]:
    """Load one case. Returns: ``accepted`` or ``refused``, and the fault, if there is one."""
    monitor.seen, before, start = [], _peak(), time.process_time()
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    monitor.on, fault, verdict = True, "", "refused"
    try:
        runtime.load(path, words)
        verdict = "accepted"
        text = runtime.check(gankit.Recipe.load(path, words)).recipe.to_yaml()
        monitor.on = False
        path.write_text(text, encoding="utf-8")
        if runtime.check(gankit.Recipe.load(path)).recipe.to_yaml() != text:
            fault = "the resolved recipe changes when it is written and read"
    except gankit.RecipeError as error:
        wrong = [
            problem
            for problem in error.problems
            if not problem.place or not problem.message or len(str(problem)) > LONGEST_PROBLEM
        ]
        if verdict == "accepted":
            fault = f"accepted, but its resolved form is refused: {error}"
        elif wrong or not error.problems:
            fault = f"a problem without place or message, or too long: {wrong[:1]!s:.3000}"
    except TimeLimitError:
        fault = f"took longer than {WALL_SECONDS} s"
    except BaseException as error:
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        fault = f"{type(error).__name__}: {error!s:.300} ({' '.join(frames[-6:])})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        monitor.on = False
    seconds = time.process_time() - start
    fault = fault or (f"took {seconds:.1f} s" if seconds > SECONDS else "")
    fault = fault or (f"needs {(_peak() - before) >> 20} MiB" if _peak() - before > BYTES else "")
    return verdict, fault or "; ".join(monitor.seen)


def _peak() -> int:  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _raise_time_limit(*_: object) -> None:
    raise TimeLimitError


def sandbox(folder: Path) -> Path:
    """Fill a folder with recipes and other files to extend. Returns: the path for the mutated recipe."""
    for recipe in RECIPES.glob("*.yaml"):
        (folder / recipe.name).write_bytes(recipe.read_bytes())
    (folder / "circle_a.yaml").write_text("extends: circle_b.yaml\n")
    (folder / "circle_b.yaml").write_text("extends: circle_a.yaml\n")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("quickstart.yaml")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    os.chdir(folder)
    return Path("fuzz.yaml")


def play(folder: Path, first: int, count: int, show: bool = False) -> Iterator[dict[str, Any]]:
    """Each fault in these cases, and the summary. The folder becomes the working directory."""
    runtime, monitor = gankit.Runtime(), AuditMonitor()
    signal.signal(signal.SIGALRM, _raise_time_limit)
    counts = {"accepted": 0, "refused": 0}
    slowest = (0.0, 0)
    path = sandbox(folder)
    # load lazily imported modules before time and memory are measured
    for name, words in (
        ("dcgan_cifar10", ["generator.width=3000"]),
        ("dcgan_cifar10", ["augmentations=[{name: kornia, transforms: [{name: ColorJitter}]}]"]),
        ("projected_cifar10", []),
    ):
        runtime.load(RECIPES / f"{name}.yaml", words)
    for number in range(first, first + count):
        text, words = case(number, runtime)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        if show:
            print(text[:3000], words, file=sys.stderr)
        start = time.monotonic()
        verdict, fault = load_and_check(path, words, runtime, monitor)
        slowest = max(slowest, (time.monotonic() - start, number))
        counts[verdict] += 1
        if fault:
            yield {"case": number, "fault": fault, "words": words}
        if Path("owned").exists():
            yield {"case": number, "fault": "code was run"}
    yield {**counts, "slowest": slowest, "peak_mib": _peak() >> 20}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in play(Path(folder), options.first, options.count, options.show):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
