"""Records as tables, and questions to them in SQL: `tables` says which columns, `engine` asks DuckDB."""

from __future__ import annotations
