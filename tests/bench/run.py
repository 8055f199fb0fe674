#!/usr/bin/env python3
"""Tarn beside its peers, in one run on one machine; prints times and ratios.

    python3 tests/bench/run.py                     everything, TPC-H scale 1
    python3 tests/bench/run.py --only tpch lookup  some of it
    python3 tests/bench/run.py --scale 0.1         a quick look; never quote its figures

The first run makes a Python environment and the data under `target/bench`. See README.md beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


def enter_environment(folder: Path) -> None:
    """Starts this script again with the pinned peers, which it installs when they are missing."""
    python = folder / "bin" / "python"
    if Path(sys.prefix) == folder:
        return
    wanted = (HERE / "requirements.txt").read_text()
    installed = folder / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
        installed.write_text(wanted)
    os.execv(python, [str(python), str(HERE / "run.py"), *sys.argv[1:]])


def main() -> None:
    """Reads the options, runs the parts that were asked for, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="parts to run: tpch copy export lookup insert asof change files dashboard")
    parser.add_argument("--scale", type=float, default=1.0, help="scale of TPC-H and, relative to it, of the rest (1)")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "tarn", help="the server")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "target" / "bench", help="data and environment")
    parser.add_argument("--repeat", type=int, default=3, help="times each query runs; the best counts (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a load test (5)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    enter_environment(folder / "python")

    import parts
    from peers import machine

    bench = parts.Bench(folder, options.binary.resolve(), options.scale, options.repeat, options.seconds)
    about = machine(REPOSITORY, options.binary)
    print(about, flush=True)
    try:
        for name, part in parts.PARTS.items():
            if not options.only or name in options.only:
                print(f"\n{name}", flush=True)
                try:
                    part(bench)
                except Exception as error:  # one part that breaks must not hide the others
                    bench.report.broken(name, error)
    finally:
        bench.close()
    print("\n" + bench.report.table())
    if options.json:
        figures = {"machine": about, "scale": options.scale, "figures": bench.report.figures}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
