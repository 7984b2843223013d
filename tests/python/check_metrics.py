"""Counts the lines of DIR/metrics.jsonl as pandas reads them: intervals and events.

Usage: check_metrics.py DIR      (needs the package pandas)
"""

import sys
from pathlib import Path

import pandas


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines = pandas.read_json(Path(sys.argv[1]) / "metrics.jsonl", lines=True)
    intervals = lines[lines.event.isna()]
    events = lines[lines.event.notna()]
    assert intervals.reward.notna().all() and intervals.env_steps.is_monotonic_increasing
    assert events.z_score.abs().min() >= 2 and events.reward.isna().all()
    print(f"{len(intervals)} intervals, {len(events)} events")


if __name__ == "__main__":
    main()
