"""Programs that cannot be started, or not be traced: why, and the mend."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

MENDS = {
    errno.ENOEXEC: "put its interpreter before it, or a #! line into it",
    errno.E2BIG: "give what is long on its standard input",
}


def untraced(program: str) -> tuple[str, str]:
    """Return what to say, and the mend, where a program is a Python without tokentrace; else empty texts."""
    found = shutil.which(program) or ""
    elsewhere = os.path.dirname(found) != os.path.dirname(sys.executable)  # noqa: PTH120 - links stay
    if not (Path(found).name.startswith("python") and elsewhere):
        return "", ""
    asked = subprocess.run(  # noqa: S603 - the user's own program
        [found, "-c", "import tokentrace.boot"], check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if not asked.returncode:
        return "", ""
    return f"{found} has no tokentrace: it is not traced", f"{found} -m pip install tokentrace"


def mend(program: str, error: OSError) -> str:
    """Return what to do about a program that could not be started."""
    if error.errno in MENDS:
        return MENDS[error.errno]
    if Path(program).is_dir():
        return "it is a folder"
    if not isinstance(error, FileNotFoundError):
        return f"make it executable: chmod +x {program}, or put its interpreter before it"
    if shutil.which(program):
        return "the interpreter in its #! line is missing"
    if " " in program:
        return "give program and arguments as words, without quotes around all of them"
    return "check the path" if os.sep in program else "install it, or give its path"
