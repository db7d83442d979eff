"""Every place of the table of hooks is in the SDK that is installed, in the versions that it says."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter

import pytest

from tokentrace.doctor.versions import numbers
from tokentrace.instrument.hooks import HOOKS, SDKS, Hook, Sdk

RUN = {sdk.name: sdk for sdk in SDKS}

pytestmark = pytest.mark.filterwarnings("ignore")  # what SDKs say of themselves at their import


def installed(sdk: Sdk) -> str:
    """Return the installed version where it is one of the table's, or newer; else skip."""
    try:
        found = version(sdk.name)
    except PackageNotFoundError:
        pytest.skip(f"{sdk.name} is not installed")
    if found not in sdk.run and numbers(found) < numbers(sdk.run[-1]):
        pytest.skip(f"{sdk.name} {found} is none of the versions that are told")
    return found


def there(hook: Hook) -> bool:
    try:
        return callable(attrgetter(hook.attr)(import_module(hook.module)))
    except (ImportError, AttributeError):
        return False


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: f"{hook.module}:{hook.attr}")
def test_a_place_is_where_the_table_says(hook):
    """A place is there from the version on, and up to the one, that its row names."""
    found = numbers(installed(RUN[hook.sdk]))
    late = bool(hook.until) and found > numbers(hook.until)
    early = bool(hook.since) and found < numbers(hook.since)
    assert there(hook) is not (late or early)


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
def test_versions_rise(sdk):
    """Versions stand oldest first, and rows name only those."""
    assert sorted(sdk.run, key=numbers) == list(sdk.run)
    rows = [hook for hook in HOOKS if hook.sdk == sdk.name]
    assert rows
    assert {one for hook in rows for one in (hook.since, hook.until)} <= {"", *sdk.run}
