"""Run the benchmarks and write what they say.

    python -m benchmarks [--full] [--out build/bench] [name ...]

Each benchmark runs in a process of its own, so that one that fails, or crashes, costs the others nothing: the report
says that it failed, and why. Without names all are run, one after the other.
"""

from __future__ import annotations

import argparse
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks import report
from benchmarks.figures import Section

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent


def main() -> int:
    """Run, write, and say where. Returns 1 where a benchmark failed."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--full", action="store_true", help="as many samples as the documents show")
    options.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    options.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known())}")
    wanted = options.parse_args()
    if unknown := set(wanted.names) - set(known()):
        options.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(known())}")
    if wanted.into:
        run_here(wanted.names[0], full=wanted.full, into=wanted.into)
        return 0
    wanted.out.mkdir(parents=True, exist_ok=True)
    told = report.Report(report.machine(Path(tempfile.gettempdir())), full=wanted.full)
    for name in wanted.names or known():
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        section, why = run(name, full=wanted.full, out=wanted.out)
        if section:
            told.sections[name] = section
        else:
            told.failures[name] = why
        print(f"{name}: {'done' if section else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)
        told.write(wanted.out)  # each time: what is done is not lost when the next takes the machine down
    print(report.markdown(told))
    print(f"written to {wanted.out}")
    return 1 if told.failures else 0


def known() -> list[str]:
    """The modules beside this one that measure something."""
    return [path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef measure(" in path.read_text()]


def run(name: str, *, full: bool, out: Path) -> tuple[Section | None, str]:
    """One benchmark in a process of its own: what it found, or the end of what it said."""
    kept = out / f"{name}.pickle"
    kept.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks", name, "--into", str(kept), *(["--full"] if full else [])]
    with (out / f"{name}.log").open("w+") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
        log.seek(0)
        said = log.read()
    if code or not kept.exists():
        return None, f"exit code {code}: {said[-1500:].strip()}"
    section: Section = pickle.loads(kept.read_bytes())
    kept.unlink()
    return section, ""


def run_here(name: str, *, full: bool, into: Path) -> None:
    """Measure in this process. SIGTERM ends it as Ctrl-C does, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    section: Section = import_module(f"benchmarks.{name}").measure(full)
    into.write_bytes(pickle.dumps(section))


if __name__ == "__main__":
    sys.exit(main())
