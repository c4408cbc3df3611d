"""``python -m tests.fuzz TARGET --seconds N --seed N``: exit status 1, and a file, for a text that fails."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS, corpus


def main() -> int:
    """Give mutated texts to one target until the time is over or a text fails."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="default: %(default)g")
    parser.add_argument("--seed", type=int, default=time.time_ns(), metavar="N", help="default: the clock")
    options = parser.parse_args()
    print(f"{options.target}: seed {options.seed}")
    end = time.monotonic() + options.seconds
    count = 0
    for text in mutations(corpus(options.target), options.seed):
        if time.monotonic() > end:
            break
        try:
            TARGETS[options.target](text)
        except Exception:  # noqa: BLE001 - whatever a text brings about is what is looked for
            found = Path(f"fuzz-{options.target}-{options.seed}-{count}")
            found.write_bytes(text)
            traceback.print_exc()
            print(f"text {count} failed, and is in {found}")
            return 1
        count += 1
    print(f"{count} texts, none failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
