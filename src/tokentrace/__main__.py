"""``python -m tokentrace``."""

from tokentrace.cli import main

if __name__ == "__main__":
    main()
