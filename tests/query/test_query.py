"""`tokentrace query`: the tables, what may be asked of them, and the forms of an answer."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tokentrace import schema
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.prompt import CallRecord, ContextRecord, Event, Usage
from tokentrace.query import engine, tables
from tokentrace.report import answers
from tokentrace.telemetry.local import line as _line  # noqa: F401 - replaced below
