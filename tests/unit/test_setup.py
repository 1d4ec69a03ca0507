"""The set-up of a machine: which Python is taken, and that no package is installed past the others' bounds."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Enough of a Python for scripts/setup-machine: its version, and nothing that it lacks.
PYTHON = """#!/bin/sh
case "$1" in
-) case {version} in 3.10|3.11|3.12|3.13) exit 0;; *) echo version >&2; exit 1;; esac ;;
-c) case "$2" in *include*) echo {headers};; *) echo {version};; esac ;;
esac
"""


def machine(folder: Path, *versions: str) -> dict[str, str]:
    """The environment of a machine that has these Pythons and a compiler, and where nobody is root."""
    programs = {f"python{version}": PYTHON.format(version=version, headers=folder) for version in versions}
    programs |= {"c++": "#!/bin/sh\n", "id": "#!/bin/sh\necho 1000\n", "sudo": "#!/bin/sh\nexit 1\n"}
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "Python.h").touch()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "CXX")}
    return {**environment, "PATH": f"{folder}:/usr/bin:/bin"}


def setup_machine(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts/setup-machine"], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (("3.10", "3.11", "3.12", "3.13"), "3.11"),
        (("3.13", "3.12"), "3.12"),
        (("3.13", "3.10"), "3.10"),  # NumPy 1 has a wheel for it
        (("3.13", "3.14"), "3.13"),
    ],
)
def test_a_python_with_wheels_is_preferred(tmp_path: Path, there: tuple[str, ...], taken: str) -> None:
    found = {f"python{version}" for version in there}
    for version in ("3.10", "3.11", "3.12", "3.13"):  # hides those of this machine
        if f"python{version}" not in found:
            (tmp_path / f"python{version}").write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / f"python{version}").chmod(0o755)
    answer = setup_machine(machine(tmp_path, *there))
    assert answer.returncode == 0, answer
    assert answer.stdout == f"{tmp_path}/python{taken}\n"


def test_another_python_is_refused_in_words(tmp_path: Path) -> None:
    environment = machine(tmp_path, "3.14")
    answer = setup_machine({**environment, "PYTHON": str(tmp_path / "python3.14")})
    assert answer.returncode == 1
    assert f"PYTHON={tmp_path}/python3.14 cannot be used: Python 3.10 to 3.13 is needed" in answer.stderr


def test_packages_are_installed_within_the_bounds_of_all() -> None:
    """pip keeps the bounds of what a call names: NumPy 2 came in with the tools of the tests."""
    calls = re.findall(
        r"^\t.*(?:setup-packages \$\(BIN\)|pip install).*$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert len(calls) >= 4
    for call in calls:
        assert "$(INSTALLED)" in call or ('-e "backend' in call and '-e "client' in call), call
