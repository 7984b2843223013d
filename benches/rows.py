"""The rows of the table and the commands of each side. Flags are those of the program."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

STOCKS = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"]
YEARS = ["--start_date", "2018-01-01", "--end_date", "2019-12-31"]
MONTH = ["--start_date", "2019-11-01", "--end_date", "2019-12-31", "--eval_start", "2020-01-02", "--eval_end", "2020-01-10"]


def sets(**values):
    """`network__trunk=1` as `--set network.trunk=1`."""
    return [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


# The algorithm of the peers: plain DQN with one-step returns from uniform replay, learning the action taken only.
TEXTBOOK = sets(
    learner__double="false", learner__all_actions="false", learner__relative_values="false",
    learner__prioritized="false", learner__window_bars=1, learner__learning_starts=1000,
)
# Half-hour bars, of which a window has 16 and a minibatch 64, as the peers' minibatches; a bar of a minute is a thirtieth of
# that to the learner.
HALF_HOURS = [*sets(data__bar_minutes=30), "--start_date", "2010-01-01", "--end_date", "2019-12-31"]
PLAIN = ["--stocks", "AAPL", *HALF_HOURS, *sets(network__attention="false", network__embedding=96, network__trunk=112)]
DEFAULT = ["--stocks", *STOCKS]
LEARNED = [*DEFAULT, *HALF_HOURS]


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
    return lambda t: t.ours("learn", t.seconds, *LEARNED, "--batch-size", batch, wall=wall)[key]


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
    flags = ["--stocks", *names, *HALF_HOURS, "--lanes", 16]
    return lambda t: 1e9 / t.ours("train", t.seconds, *flags)["value"]


def whole_job(t):
    """Minutes of the default job, all of its episodes, by the clock; also the memory of all its processes."""
    if "job" not in t.kept:
        period = MONTH if t.quick else []
        since = time.monotonic()
        found = t.run(*DEFAULT, *period, *(["--episodes", 1] if t.quick else []))
        t.kept["job"] = ((time.monotonic() - since) / 60, found["memory_mb"])
    return t.kept["job"]


def model(t):
    """A model of five stocks and one-minute bars."""
    folder = t.work / "model"
    if not folder.exists():
        flags = ["--mode", "single", "--data", days(t), *DEFAULT, *month_of(t), "--episodes", 1]
        t.whole(*flags, "--output", folder, cores=2)
    return folder


def month_of(t):
    return ["--start_date", "2019-11-01", "--end_date", "2019-11-29", "--eval_start", "2019-12-02", "--eval_end", "2019-12-31"]


def evaluation(t, cores=1, years=2):
    """Of the whole command, with features in the cache: stock-bars, seconds and memory."""
    start = "2019-12-02" if t.quick else f"{2020 - years}-01-02"
    period = ["--eval_start", start, "--eval_end", "2019-12-31", "--allow-overlap"]
    flags = ["evaluate", "--model", model(t), "--data", days(t), *period, "--output", t.work / "evaluation"]
    if ("panel", start) not in t.kept:
        t.whole(*flags, cores=2)
        rows = (t.work / "evaluation/portfolio.csv").read_text().count("\n") - 1
        t.kept["panel", start] = rows * len(STOCKS)
    return t.kept["panel", start], t.whole(*flags, "--threads", cores, cores=cores)


def evaluated(cores=1, wall=False):
    def rate(t):
        bars, found = evaluation(t, cores)
        return bars / found["wall" if wall else "seconds"]

    return rate


def evaluation_bytes(t):
    """Bytes per further stock-bar."""
    (long, of_long), (short, of_short) = evaluation(t), evaluation(t, years=1)
    return 1e6 * (of_long["memory_mb"] - of_short["memory_mb"]) / max(long - short, 1)


def strategies(t):
    """Nanoseconds of each further strategy and bar."""
    names = ["rsi", "macd", "bollinger", "momentum", "mean_reversion"]
    flags = ["strategies", "run", "--data", days(t), *DEFAULT, *period_of(t), "--output", t.work / "strategies"]
    seconds = [t.whole(*flags, "--strategies", *some, "--threads", 1)["seconds"] for some in (names[:1], names)]
    stock_bars = (t.work / "strategies/signals.csv").read_text().count("\n") - 1
    return 1e9 * (seconds[1] - seconds[0]) / (stock_bars * (len(names) - 1))


def other_features(t):
    """As a cold panel, but the bars were read before with other features."""
    panel(t)
    return t.ours("panel", t.work / "cache", days(t), *DEFAULT, *period_of(t), *sets(features__rsi_bars=21))["value"]


def jax(*options):
    return lambda t: t.peer("jax_scan.py", t.work, "--seconds", t.seconds, *options)


def torch_lanes(*options):
    return lambda t: t.peer("torch_lanes.py", t.work, "--seconds", t.seconds, *options)


def reading(library):
    return lambda t: t.peer("read_days.py", library, days(t), *STOCKS)


def of_peer(script):
    return lambda t: t.peer(script, days(t), *STOCKS)


def gradient(embedding, trunk):
    """Microseconds of this program and of PyTorch, at the same sizes."""
    flags = sets(network__embedding=embedding, network__trunk=trunk)
    return {
        "ours": lambda t: t.ours("learn", t.seconds, *LEARNED, *flags, "--batch-size", 64)["microseconds"],
        "PyTorch autograd": lambda t: t.peer(
            "torch_gradient.py", t.work, "--embedding", embedding, "--trunk", trunk, "--seconds", t.seconds
        ),
    }


ROWS = [
    Row("plain", "plain network, batch 64, a gradient step every step, 1 core", "steps/s",
        {"ours": train(*PLAIN, *TEXTBOOK, "--lanes", 1, "--batch-size", 64, "--replay-ratio", 64),
         "CleanRL": cleanrl(), "SB3": sb3(), "sbx": sb3("--library", "sbx")},
        "4x CleanRL, 5x SB3, ahead of sbx", least(CleanRL=4, SB3=5, sbx=1)),
    Row("ratio-8", "plain network, replay ratio 8, 64 lanes, batch 512, 1 core", "steps/s",
        {"ours": train(*PLAIN, *TEXTBOOK, "--lanes", 64, "--batch-size", 512, "--replay-ratio", 8),
         "JAX scan": jax("--batch", 512), "PyTorch lanes": torch_lanes("--batch", 512),
         "SB3 with 64 environments": sb3("--envs", 64, "--batch", 512)},
        "2x JAX scan", least(**{"JAX scan": 2})),
    Row("attention", "the network with attention at its defaults, replay ratio 1, 1 core, beside the same network", "steps/s",
        {"ours": train(*LEARNED), "JAX scan": jax("--network", "attention"),
         "PyTorch lanes": torch_lanes("--network", "attention"),
         "SB3 with 64 environments": sb3("--network", "attention", "--envs", 64),
         "CleanRL": cleanrl("--network", "attention", "--train-every", 64)},
        "4x JAX scan, 8x PyTorch lanes", least(**{"JAX scan": 4, "PyTorch lanes": 8})),
    Row("two-cores", "the same on 2 cores over 1", "steps/s",
        {"ours": train(*LEARNED, threads=2), "1 core": train(*LEARNED, wall=True)}, "1.9x", lambda _, r: r["1 core"] >= 1.9),
    Row("gradient", "a gradient of four windows of 16 bars, 50 thousand parameters, 1 core", "us",
        gradient(64, 128), "5x", least(**{"PyTorch autograd": 5}), higher=False),
    Row("gradient-0.5M", "the same, 0.5 million", "us", gradient(208, 448), "3x", least(**{"PyTorch autograd": 3}), higher=False),
    Row("gradient-5M", "the same, 5 million", "us", gradient(704, 1472), "2x", least(**{"PyTorch autograd": 2}), higher=False),
    Row("arithmetic", "gradients with attention at default sizes, batch 64, beside matrix products", "GFLOP/s",
        {"ours": learn(64), "matrix rate": matrix_rate}, "0.60", lambda _, r: r["matrix rate"] >= 0.6),
    Row("acting", "acting only, plain network, 64 lanes, 1 core", "steps/s",
        {"ours": lambda t: t.ours("act", t.seconds, *PLAIN, *TEXTBOOK)["value"],
         "JAX scan": jax("--batch", 0), "CleanRL": cleanrl("--train-every", 0)}, ""),
    Row("replay", "prioritized replay: sample and update 256 of 1,000,000", "us",
        {"ours": lambda t: t.ours("replay", t.seconds, 100_000 if t.quick else 1_000_000)["value"],
         "torchrl's tree": lambda t: t.peer("torchrl_tree.py", "--seconds", t.seconds,
                                            "--capacity", 100_000 if t.quick else 1_000_000),
         "cpprb": lambda t: t.peer("cpprb_replay.py", "--seconds", t.seconds,
                                   "--capacity", 100_000 if t.quick else 1_000_000)},
        "5x torchrl's tree", least(**{"torchrl's tree": 5}), higher=False),
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
        {"ours": panel, "polars + TA-Lib": of_peer("features_polars.py"), "pandas + TA-Lib": of_peer("features_talib.py")},
        "4x polars, 13x pandas", least(**{"polars + TA-Lib": 4, "pandas + TA-Lib": 13}), higher=False),
    Row("other-features", "the same with other features of bars that were read before", "s",
        {"ours": other_features, "cold": panel}, "10x", least(cold=10), higher=False),
    Row("second-start", "the same from the cache", "s", {"ours": second_start}, "1 s", lambda ours, _: ours <= 1, higher=False),
    Row("reading", "reading the day files alone, 1 core", "s",
        {"ours": lambda t: t.ours("read", days(t), *DEFAULT, *period_of(t))["value"],
         "polars": reading("polars"), "DuckDB": reading("duckdb"), "pyarrow": reading("pyarrow")}, "", higher=False),
    Row("evaluation", "`evaluate`, whole: 5 stocks, 2 years of minutes, features in the cache, 1 core", "stock-bars/s",
        {"ours": evaluated()}, "500,000", lambda ours, _: ours >= 500_000),
    Row("evaluation-cores", "the same on 2 cores over 1", "stock-bars/s",
        {"ours": evaluated(2, wall=True), "1 core": evaluated(wall=True)}, "1.8x", lambda _, r: r["1 core"] >= 1.8),
    Row("evaluation-memory", "its memory per further stock-bar, the mapped features included", "bytes",
        {"ours": evaluation_bytes}, "50", lambda ours, _: ours <= 50, higher=False),
    Row("strategies", "`strategies run`, each further strategy, per stock and bar, 1 core", "ns",
        {"ours": strategies}, "50", lambda ours, _: ours <= 50, higher=False),
    Row("start", "start of a command that does not learn: `strategies list`", "ms",
        {"ours": lambda t: 1e3 * t.whole("strategies", "list")["wall"]}, "20", lambda ours, _: ours <= 20, higher=False),
    Row("start-memory", "its memory", "MB",
        {"ours": lambda t: t.whole("strategies", "list")["memory_mb"]}, "20", lambda ours, _: ours <= 20, higher=False),
    Row("logging", "files and checkpoints at their defaults, beside no checkpoints", "steps/s",
        {"ours": short_run(), "off": short_run("--checkpoint-every", "inf")}, "0.99", lambda _, r: r["off"] >= 0.99),
    Row("stocks", "time per stock and bar, 8 peers, 50 stocks beside fewer, 1 core", "ns",
        {"ours": grown(50), "20": grown(20), "10": grown(10), "5 (4 peers)": grown(5)},
        "within 15 % of 10", lambda _, r: abs(1 / r["10"] - 1) <= 0.15, higher=False),
    Row("job", "the default job on 2 cores, all 100 episodes, by the clock (once)", "min",
        {"ours": lambda t: whole_job(t)[0]}, "8 min", lambda ours, _: ours <= 8, higher=False),
    Row("memory", "its memory at most, all processes", "MB",
        {"ours": lambda t: whole_job(t)[1]}, "4,000 MB", lambda ours, _: ours <= 4000, higher=False),
]


def prepare(t):
    """Writes the panel that the peers train on."""
    t.ours("prepare", t.work, *LEARNED, cores=2)
