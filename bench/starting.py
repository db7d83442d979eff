"""Measure what begins once: importing tokentrace, and its first vocabulary. Minima of fresh processes.

python bench/part.py starting ROUNDS
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from interleaved import take_turns

# Of the resident pages the kernel's count of now: the largest size (ru_maxrss) begins with the parent's.
FIGURES = """
import resource
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[1])
used = resource.getrusage(resource.RUSAGE_SELF)
print(1e3 * (used.ru_utime + used.ru_stime), pages * resource.getpagesize() / 1e6)
"""
VOCABULARY = """
import time
import tiktoken
from tokentrace.counting import vocab
begun = time.process_time()
vocab.load("{name}")
print(1e3 * (time.process_time() - begun), 0)
"""
NAMES = ("o200k_base", "cl100k_base")


def run(code: str) -> tuple[float, float]:
    """Return what a fresh process prints: milliseconds of CPU, MB resident."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"a fresh process failed: {ran.stderr.strip()[-300:]}")
    cpu, size = map(float, ran.stdout.split())
    return cpu, size


def import_cost(rounds: int) -> dict[str, float]:
    """Return a bare interpreter's CPU and size, and what `import tokentrace` adds to both."""
    ways = {"bare": partial(run, FIGURES), "ours": partial(run, f"import tokentrace\n{FIGURES}")}
    found = take_turns(ways, rounds, 1)
    (bare, bare_mb), (ours, ours_mb) = (
        tuple(map(min, zip(*found[way], strict=True))) for way in ways
    )
    return {
        "bare_ms": round(bare, 2),
        "added_ms": round(ours - bare, 2),
        "bare_mb": round(bare_mb, 2),
        "added_mb": round(ours_mb - bare_mb, 2),
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return all rows."""
    rows = {"import tokentrace": import_cost(rounds)}
    ways = {name: partial(run, VOCABULARY.format(name=name)) for name in NAMES}
    for name, found in take_turns(ways, max(3, rounds // 4)).items():
        rows[f"vocabulary, {name}"] = {"load_ms": round(min(cpu for cpu, _ in found), 1)}
    return rows
