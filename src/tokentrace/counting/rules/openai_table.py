"""Placeholder."""
LEARNED = "2026-11-22"
HOSTS = (("", (1.0, 3.0, 4.0, 0.0, 1.0, 0.0), 0.5, 0.5, 0),)
SEEN: dict[str, dict[str, tuple[int, int]]] = {}
