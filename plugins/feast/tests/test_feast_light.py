"""Feast is imported without torch and without typeguard's compiling; both are as they were
afterwards. Where it has no such parts, it is imported as it comes.
"""

import subprocess
import sys
from importlib import metadata

import pytest
from framework_feast import private_parts

PROGRAM = """
import sys, typeguard
checked = typeguard.typechecked
from framework_feast.repository.store import open_store
assert "torch" not in sys.modules
assert typeguard.typechecked is checked
import importlib.util
from feast.torch_wrapper import TORCH_AVAILABLE, get_torch
installed = importlib.util.find_spec("torch") is not None
assert TORCH_AVAILABLE is installed, "a name that only Feast's own file has"
if installed:
    assert get_torch().tensor([1]).item() == 1
print("done")
"""

#: Both parts are gone from the installed Feast, which then works by itself.
WITHOUT_PARTS = """
from framework_feast import private_parts
private_parts.find_wrapper = private_parts.find_decorator = lambda: None
from framework_feast.light import Field, FeatureView, Float64
import feast.torch_wrapper
assert feast.torch_wrapper.__file__, "Feast's own"
try:
    Field(name=1, dtype=Float64)
except Exception as error:
    print(type(error).__name__)
"""


def run(program: str) -> tuple[str, int, str]:
    process = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=180
    )
    return process.stdout, process.returncode, process.stderr


@pytest.mark.stress
def test_torch_and_typeguard_are_left_out_of_the_import() -> None:
    output, code, errors = run(PROGRAM)
    assert (output, code) == ("done\n", 0), errors


@pytest.mark.stress
def test_a_feast_without_the_parts_is_imported_as_it_comes() -> None:
    """typeguard checks again, as it does where Feast is imported by itself."""
    output, code, errors = run(WITHOUT_PARTS)
    assert (output, code) == ("TypeCheckError\n", 0), errors


def test_the_installed_feast_is_a_tested_one_and_has_the_parts() -> None:
    """After an update of Feast: try the parts, then widen ``TESTED``."""
    assert metadata.version("feast") in private_parts.TESTED
    assert private_parts.find_wrapper() is not None
    assert private_parts.find_decorator() is not None


def test_a_part_that_is_gone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_parts, "find_spec", lambda name: None)
    assert private_parts.find_wrapper() is None


def test_no_other_online_store_is_imported_to_read_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast looks whether a store is one of those that read versions, and imports them all."""
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    store = SqliteOnlineStore()
    monkeypatch.setattr(store, "_is_versioned_read_supported", lambda: pytest.fail("it looked"))
    private_parts.ask_for_no_versions(store)
    store._check_versioned_read_support([])
