"""Benchmarks this program against its peers in interleaved repeats, and prints a table of medians and ratios.

Called by scripts/bench.sh with the paths it needs. docs/performance.md describes the rows and what is equal on both
sides; the table is written there between its two markers.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rows

BEGIN, END = "<!-- bench.sh: begin -->", "<!-- bench.sh: end -->"
ROOT = Path(__file__).resolve().parent.parent


class Tools:
    """Runs each side. Every call returns the numbers that the side printed."""

    def __init__(self, args, work):
        self.args, self.work, self.quick = args, work, args.quick
        self.seconds = 1 if args.quick else args.seconds
        self.program = ROOT / "target/release/dqn-trader"
        # What rows measured or made once.
        self.kept = {}

    def call(self, command, cores=1, wall=False, **more):
        """`cores` 1: pinned to one core, so that no side gains from additional threads. Measures wall-clock time if `wall`
        is set or there are several cores."""
        pinned = ["taskset", "-c", "0", *command] if cores == 1 else command
        if wall or cores != 1:
            more["env"] = {key: value for key, value in os.environ.items() if key != "BENCH_CPU_TIME"}
        done = subprocess.run([str(part) for part in pinned], capture_output=True, text=True, **more)
        if done.returncode:
            sys.exit(f"error: {' '.join(map(str, command))}\n{done.stderr[-2000:]}")
        return done.stdout

    def told(self, *args, **more):
        return json.loads(self.call(*args, **more).strip().splitlines()[-1])

    def ours(self, *command, cores=1, wall=False):
        return self.told([self.args.speed, *command], cores, wall)

    def peer(self, script, *options):
        return self.told([sys.executable, ROOT / "benches/peers" / script, *options])["value"]

    def ranks(self, count, *command):
        text = self.call(["mpirun", "-n", count, *command], cores=2)
        return json.loads(next(line for line in text.splitlines() if line.startswith("{")))

    def run(self, *flags, ranks=1, cores=2, env=None):
        """A whole run of the program: environment steps per second (per stock if asynchronous), and memory of all its
        processes in MB."""
        output = Path(tempfile.mkdtemp(dir=self.work))
        command = [self.program, "--quiet", "--output", output, *flags]
        if ranks > 1:
            command = ["mpirun", "-n", ranks, *command, "--mode", "parallel"]
        else:
            command += ["--mode", "single", "--threads", cores]
        command = [str(part) for part in command]
        if cores == 1:
            command = ["taskset", "-c", "0", *command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, memory_of(process.pid))
            time.sleep(0.2)
        if process.returncode:
            sys.exit(f"error: {' '.join(command)}\n{process.stderr.read()[-2000:]}")
        summary = json.loads((output / "summary.json").read_text())["run"]
        shutil.rmtree(output)
        seconds = summary["env_steps"] / summary["env_steps_per_s"]
        rates = {stock: steps / seconds for stock, steps in summary.get("env_steps_by_stock", {}).items()}
        return {"rate": summary["env_steps_per_s"], "rates": rates, "memory_mb": memory}


    def whole(self, *command, cores=1):
        """A whole command of the program: seconds of CPU, or of the clock on several cores; seconds of the clock; and its
        memory at most, in MB."""
        own = () if command[:2] == ("strategies", "list") else ("--quiet", "--ledger", "none", "--cache", self.work / "cache")
        command = [str(part) for part in (self.program, *command, *own)]
        pinned = ["taskset", "-c", "0", *command] if cores == 1 else command
        done = subprocess.run([sys.executable, "-c", USED, *pinned], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"error: {' '.join(command)}\n{done.stderr[-2000:]}")
        cpu, wall, kilobytes = map(float, done.stdout.split())
        return {"seconds": cpu if cores == 1 else wall, "wall": wall, "memory_mb": kilobytes / 1000}


# A process of its own, for the most memory that a command uses is at least what its parent has when it is started.
USED = """
import os, subprocess, sys, time
since = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
wall = time.monotonic() - since
print(used.ru_utime + used.ru_stime, wall, used.ru_maxrss)
sys.exit(1 if status else 0)
"""


def memory_of(pid):
    """Megabytes of a process and its descendants; shared memory counts once."""
    total = 0.0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) / 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return total
    return total + sum(memory_of(int(child)) for child in children)


def number(value):
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def measure(row, tools, repeats):
    """Medians by side. The sides are interleaved, so that all run under the same machine load."""
    values = {side: [] for side in row.sides}
    for _ in range(repeats):
        for side, work in row.sides.items():
            values[side].append(work(tools))
    return {side: statistics.median(found) for side, found in values.items()}


def line(row, medians):
    ours = medians.pop("ours")
    ratio = {side: (ours / value if row.higher else value / ours) for side, value in medians.items()}
    reached = row.reached(ours, ratio)
    cells = [
        row.title,
        f"{number(ours)} {row.unit}",
        ", ".join(f"{side} {number(value)}" for side, value in medians.items()),
        ", ".join(f"{value:.2f}" for value in ratio.values()),
        row.target,
        "" if reached is None else "yes" if reached else "no",
    ]
    return "| " + " | ".join(cells) + " |"


def machine():
    about = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((text.split(":")[1].strip() for text in about if text.startswith("model name")), "unknown")
    kernel = " ".join(os.uname().release.split("-")[:1])
    return f"{os.cpu_count()} cores of {name}, Linux {kernel}, Python {sys.version.split()[0]}"


def write(table):
    path = ROOT / "docs/performance.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("--speed", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="per side and repeat")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help=", ".join(row.name for row in rows.ROWS))
    parser.add_argument("--quick", action="store_true", help="one short repeat of each, to see that all works; no table is kept")
    parser.add_argument("--cpu-time", action="store_true", help="one-core rows by CPU time: for a machine in use")
    args = parser.parse_args()
    if args.cpu_time:
        os.environ["BENCH_CPU_TIME"] = "1"
    wanted = [row for row in rows.ROWS if not args.rows or row.name in args.rows]
    unknown = set(args.rows or []) - {row.name for row in rows.ROWS}
    if unknown or not wanted:
        sys.exit(f"error: no row is called {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in rows.ROWS)}")
    repeats = 1 if args.quick else args.repeats
    head = [
        "| what | this program | beside | ratio | target | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as work:
        tools = Tools(args, Path(work))
        rows.prepare(tools)
        lines = []
        for row in wanted:
            print(f"== {row.name}", file=sys.stderr, flush=True)
            lines.append(line(row, measure(row, tools, repeats)))
            print(lines[-1], file=sys.stderr, flush=True)
            loads.append(os.getloadavg()[0])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    about = (
        f"Commit {commit}; {machine()}; medians of {repeats} repeats in turn, {tools.seconds:g} s each; "
        f"{'one-core rows by CPU time; ' if args.cpu_time else ''}load of the machine {min(loads):.1f} to {max(loads):.1f}, of which the measured work is 1 to 2."
    )
    table = "\n".join([about, "", *head, *lines])
    print(table)
    if not args.quick and not args.rows:
        write(table)


if __name__ == "__main__":
    main()
