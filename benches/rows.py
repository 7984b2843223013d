"""The rows of the table and the commands of each side. Flags are those of the program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

STOCKS = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"]
YEARS = ["--start_date", "2018-01-01", "--end_date", "2019-12-31"]
MONTH = ["--start_date", "2019-11-01", "--end_date", "2019-12-31", "--eval_start", "2020-01-02", "--eval_end", "2020-01-10"]
TRAINING_BARS = 98_000_000


def sets(**values):
    """`network__trunk=1` as `--set network.trunk=1`."""
    return [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


# The algorithm of the peers: plain DQN with one-step returns from uniform replay, learning the action taken only.
TEXTBOOK = sets(
    learner__double="false", learner__all_actions="false", learner__relative_values="false",
    learner__prioritized="false", learner__window_bars=1, learner__learning_starts=1000,
)
PLAIN = ["--stocks", "AAPL", *sets(network__attention="false", network__embedding=96, network__trunk=112)]
DEFAULT = ["--stocks", *STOCKS]


@dataclass
class Row:
    name: str
    title: str
    unit: str
    # The first is "ours".
    sides: dict[str, Callable]
    target: str
    # Whether the target is met, from our value and the ratios by side; None if there is no target.
    reached: Callable = lambda ours, ratio: None
    # Higher is better; else the ratio is the peer's value over ours.
    higher: bool = True


def least(**floors):
    """Our value is better than every named side's by its factor."""
    return lambda ours, ratio: all(ratio[side] >= floor for side, floor in floors.items())


def train(*flags, threads=1, wall=False):
    return lambda t: t.ours("train", t.seconds, *flags, "--threads", threads, cores=threads, wall=wall)["value"]


def cleanrl(*options):
    return lambda t: t.peer("cleanrl_loop.py", t.work, "--seconds", t.seconds, *options)


def sb3(*options):
    return lambda t: t.peer("sb3_dqn.py", t.work, "--seconds", t.seconds, *options)


def learn(batch, key="value", wall=False):
    return lambda t: t.ours("learn", t.seconds, *DEFAULT, "--batch-size", batch, wall=wall)[key]


def matrix_rate(t):
    return t.ours("limits")["value"]


def sync(key):
    return lambda t: t.ranks(3, t.args.speed, "sync", t.seconds)[key]


def short_run(*flags, **more):
    return lambda t: t.run(*DEFAULT, *MONTH, "--episodes", 1 if t.quick else 8, "--eval-every", 100, *flags, **more)["rate"]


def beside(slow):
    """Steps per second of one of two asynchronous workers, each on its own core."""
    flags = ["--stocks", "AAPL", "MSFT", *MONTH, "--eval-every", 100, "--sync", "async"]
    env = {"DQN_TRADER_SLOW_STOCK": f"AAPL:{slow}"}
    return lambda t: t.run(*flags, "--episodes", 1 if t.quick else 8, ranks=3, env=env)["rates"]["MSFT"]


def days(t):
    """Day files of two years, or of a month if `quick`; made once."""
    folder = t.work / "days"
    if not folder.exists():
        period = period_of(t)
        t.call([t.program, "synth", "sample", "--quiet", "--data", folder, "--stocks", *STOCKS, *period], cores=2)
    return folder


def period_of(t):
    return MONTH[:4] if t.quick else YEARS


def panel(t):
    cache = Path(t.work / "cache")
    for file in cache.rglob("*.arrow"):
        file.unlink()
    return t.ours("panel", cache, days(t), *DEFAULT, *period_of(t))["value"]


def second_start(t):
    t.ours("panel", t.work / "cache", days(t), *DEFAULT, *period_of(t))
    return t.ours("panel", t.work / "cache", days(t), *DEFAULT, *period_of(t))["value"]


def grown(stocks):
    """Nanoseconds per stock and bar."""
    names = [*STOCKS, *(f"S{i:02}" for i in range(len(STOCKS), stocks))]
    flags = ["--stocks", *names, *MONTH, "--lanes", 16]
    return lambda t: 1e9 / t.ours("train", t.seconds, *flags)["value"]


full_job = {}


def whole_job(t):
    """Minutes for all episodes; also records the memory."""
    period = MONTH if t.quick else []
    found = t.run(*DEFAULT, *period, "--episodes", 1 if t.quick else 3, "--eval-every", 100)
    full_job["memory"] = found["memory_mb"]
    return TRAINING_BARS / found["rate"] / 60


ROWS = [
    Row("plain", "plain network, batch 64, a gradient step every step, 1 core", "steps/s",
        {"ours": train(*PLAIN, *TEXTBOOK, "--lanes", 1, "--batch-size", 64, "--replay-ratio", 64),
         "CleanRL": cleanrl(), "SB3": sb3(), "sbx": sb3("--library", "sbx")},
        "4x CleanRL, 5x SB3, ahead of sbx", least(CleanRL=4, SB3=5, sbx=1)),
    Row("plain-lanes", "the same at the same replay ratio in our batches: 64 lanes, batch 1,024", "steps/s",
        {"ours": train(*PLAIN, *TEXTBOOK, "--lanes", 64, "--batch-size", 1024, "--replay-ratio", 64),
         "CleanRL": cleanrl(), "SB3": sb3()}, ""),
    Row("ratio-8", "plain network, replay ratio 8: 64 lanes and batch 512 beside batch 32 every 4 steps, 1 core", "steps/s",
        {"ours": train(*PLAIN, *TEXTBOOK, "--lanes", 64, "--batch-size", 512, "--replay-ratio", 8),
         "SB3": sb3("--batch", 32, "--train-every", 4)}, "15x", least(SB3=15)),
    Row("attention", "the network with attention at its defaults, replay ratio 1, 1 core", "steps/s",
        {"ours": train(*DEFAULT),
         "CleanRL": cleanrl("--network", "attention", "--train-every", 64),
         "SB3": sb3("--network", "attention", "--train-every", 64)},
        "4x both", least(CleanRL=4, SB3=4)),
    Row("original", "the same beside the original system's loop (26 steps/s on such a machine)", "steps/s",
        {"ours": train(*DEFAULT), "original": lambda t: 26.0}, "1,000x", least(original=1000)),
    Row("two-cores", "the same on 2 cores over 1", "steps/s",
        {"ours": train(*DEFAULT, threads=2), "1 core": train(*DEFAULT, wall=True)}, "1.8x", lambda _, r: r["1 core"] >= 1.8),
    Row("arithmetic", "gradients with attention at default sizes, batch 64, beside matrix products", "GFLOP/s",
        {"ours": learn(64), "matrix rate": matrix_rate}, "0.60", lambda _, r: r["matrix rate"] >= 0.6),
    Row("arithmetic-1024", "the same, batch 1,024", "GFLOP/s",
        {"ours": learn(1024), "matrix rate": matrix_rate}, "", ),
    Row("acting", "acting only, plain network, 64 lanes, 1 core", "steps/s",
        {"ours": lambda t: t.ours("act", t.seconds, *PLAIN, *TEXTBOOK)["value"],
         "CleanRL": cleanrl("--train-every", 0)}, "20x", least(CleanRL=20)),
    Row("replay", "prioritized replay: sample and update 256 of 1,000,000", "us",
        {"ours": lambda t: t.ours("replay", t.seconds, 100_000 if t.quick else 1_000_000)["value"],
         "cpprb": lambda t: t.peer("cpprb_replay.py", "--seconds", t.seconds,
                                   "--capacity", 100_000 if t.quick else 1_000_000)},
        "8x", least(cpprb=8), higher=False),
    Row("replay-bytes", "replay memory per window (about 9 more for its priority)", "bytes",
        {"ours": lambda t: t.ours("replay", 0.1, 1 << 16)["bytes"]}, "32", lambda ours, _: ours <= 32, higher=False),
    Row("sync", "one synchronisation: 50,000 parameters, 3 ranks on 2 cores", "us",
        {"ours": sync("value"), "raw MPI": sync("bare"), "a gradient": learn(64, "microseconds", wall=True)},
        "100 us, 1.5x raw MPI", lambda ours, r: ours <= 100 and r["raw MPI"] >= 1 / 1.5, higher=False),
    Row("ranks", "6 ranks on 2 cores beside one process with 2 threads", "steps/s",
        {"ours": short_run(ranks=6), "2 threads": short_run()}, "0.85", lambda _, r: r["2 threads"] >= 0.85),
    Row("async", "without lockstep, 3 ranks on 2 cores: a worker's steps while the other takes three times as long, beside none slow",
        "steps/s", {"ours": beside(3), "none slow": beside(1)}, "0.85", lambda _, r: r["none slow"] >= 0.85),
    Row("panel", "Parquet to feature panel, 5 stocks, 2 years of minutes, 1 core", "s",
        {"ours": panel, "pandas + TA-Lib": lambda t: t.peer("features_talib.py", days(t), *STOCKS)},
        "20x", lambda _, r: r["pandas + TA-Lib"] >= 20, higher=False),
    Row("second-start", "the same from the cache", "s", {"ours": second_start}, "1 s", lambda ours, _: ours <= 1, higher=False),
    Row("reading", "reading the day files alone, 1 core", "s",
        {"ours": lambda t: t.ours("read", days(t), *DEFAULT, *period_of(t))["value"],
         "pyarrow": lambda t: t.peer("features_talib.py", days(t), *STOCKS, "--read")}, "", higher=False),
    Row("logging", "files and checkpoints at their defaults, beside no checkpoints", "steps/s",
        {"ours": short_run(), "off": short_run("--checkpoint-every", "inf")}, "0.99", lambda _, r: r["off"] >= 0.99),
    Row("stocks", "time per stock and bar, 8 peers, 50 stocks beside fewer, 1 core", "ns",
        {"ours": grown(50), "20": grown(20), "10": grown(10), "5 (4 peers)": grown(5)},
        "within 15 % of 10", lambda _, r: abs(1 / r["10"] - 1) <= 0.15, higher=False),
    Row("job", "the full default job on 2 cores, from 3 of its 100 episodes", "min",
        {"ours": whole_job}, "40 min", lambda ours, _: ours <= 40, higher=False),
    Row("memory", "its memory at most, all processes", "MB",
        {"ours": lambda t: full_job.get("memory") or (whole_job(t), full_job["memory"])[1]},
        "4,000 MB", lambda ours, _: ours <= 4000, higher=False),
]


def prepare(t):
    """Writes the panel that the peers train on."""
    t.ours("prepare", t.work, *DEFAULT, *MONTH[:4], cores=2)
