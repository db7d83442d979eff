"""Build the wheel twice, from two places, and look at it: ``python scripts/wheel.py`` (needs `build`).

It fails where the two differ in a byte, where the wheel is larger than it should be, or where it holds
something that is not the package's own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TOP = Path(__file__).parents[1]
MOMENT = "1767225600"  # 2026-01-01: what the files in the wheel are dated, whenever it is built
LARGEST = 3_000_000  # bytes; 2.2 million on 2026-11-30, most of it vocabularies
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "dist", "build", "site")
SUFFIXES = frozenset(
    {".css", ".csv", ".j2", ".jinja", ".html", ".ini", ".md", ".js", ".json", ".py", ".toml", ".txt", ".typed", ".yaml", ".zlib"}
)  # fmt: skip


def built(folder: Path) -> Path:
    """Return the wheel of a copy of the sources in a folder."""
    copy = folder / "sources"
    shutil.copytree(TOP, copy, ignore=LEFT_OUT)
    environ = {**os.environ, "SOURCE_DATE_EPOCH": MOMENT}
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(copy)]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def foreign(names: list[str]) -> list[str]:
    """Return what in a wheel is neither the package's nor about it."""
    own = [name for name in names if name.startswith("tokentrace/")]
    about = [name for name in names if name.partition("/")[0].endswith(".dist-info")]
    odd = [name for name in own if Path(name).suffix not in SUFFIXES or "__pycache__" in name]
    return sorted({*names} - {*own} - {*about}) + odd


def main() -> None:
    """Build, compare, look."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        wheels = [built(Path(folder)) for folder in (first, second)]
        digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
        size = wheels[0].stat().st_size
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = wheel.namelist()
        print(f"{wheels[0].name}: {size:,} bytes, {len(names)} files, sha256 {digests[0]}")
    sources = {
        f"tokentrace/{path.relative_to(TOP / 'src/tokentrace')}"
        for path in (TOP / "src/tokentrace").rglob("*.py")
    }
    # a source that is missing would be seen only by whoever installs it
    complaints = [
        *(["two builds differ"] if len(set(digests)) > 1 else []),
        *([f"larger than {LARGEST:,} bytes"] if size > LARGEST else []),
        *(f"foreign: {name}" for name in foreign(names)),
        *(f"missing: {name}" for name in sorted(sources - {*names})),
    ]
    print("\n".join(complaints) or "both builds are the same, and nothing foreign is in them")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
