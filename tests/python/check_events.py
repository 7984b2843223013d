"""Prints the content of DIR according to TensorBoard's reader, as JSON: {tag: [count, last step, last value]}.

Usage: check_events.py DIR      (needs the package tensorboard)
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    events.Reload()
    found = {}
    for tag in sorted(events.Tags()["scalars"]):
        scalars = events.Scalars(tag)
        found[tag] = [len(scalars), scalars[-1].step, scalars[-1].value]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
