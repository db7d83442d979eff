"""The files of bench/ import each other by their names, as they do when they run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))
