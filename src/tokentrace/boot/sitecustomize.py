"""Run by Python at its start, in any Python that the program starts: the standard library only.

First comes the sitecustomize that would have been found without this one, under its own name; what
it raises goes on to Python, which tells of it as ever. Then tokentrace begins, where it is installed.
This folder leaves ``sys.path``, so that imports are as they were; on PYTHONPATH it stays for child
processes.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - light: pathlib is not loaded yet


def theirs() -> None:
    """Import what would have been found; where that is nothing, it cannot be imported later either."""
    sys.path[:] = [entry for entry in sys.path if entry != HERE]
    ours = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - another one
    except ImportError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = None  # type: ignore[assignment]
    finally:
        sys.modules.setdefault(__name__, ours)


def trace() -> None:
    """Begin, where tokentrace can be imported."""
    try:
        from tokentrace.boot import begin
    except (ImportError, SyntaxError):  # another Python, with no tokentrace or one of another age
        return
    begin()


if __name__ == "sitecustomize":
    try:
        theirs()
    finally:
        trace()
