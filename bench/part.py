"""Run one part of the bench in this interpreter, and print its rows as one JSON document.

    python bench/part.py PART ROUNDS [NAME…]

A part is a file beside this one with ``measure(rounds, *names)``. It runs in whichever environment has
what it measures; `python bench` makes those environments and starts this in each.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import tempfile
import warnings


def main() -> None:
    """Run the part named on the command line."""
    part, rounds, *names = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable()
    os.environ["OTEL_SDK_DISABLED"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENTRACE_DIR"] = folder
        rows = importlib.import_module(part).measure(int(rounds), *names)
    print(json.dumps(rows))
    sys.stdout.flush()
    os._exit(0)  # what a peer left running on a thread is not waited for


if __name__ == "__main__":
    main()
