"""Tab, in bash, with the lines of docs/client.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
LINES = re.findall(r'^eval "\$\(register-python-argcomplete .*\)"$', TEXT, re.M)
# What bash does at Tab: it calls the function that is registered for the command.
SCRIPT = """
{lines}
COMP_LINE={line!r} COMP_TYPE=9
COMP_POINT=${{#COMP_LINE}} COMP_WORDS=($COMP_LINE)
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completions(line: str) -> set[str]:
    script = SCRIPT.format(lines="\n".join(LINES), line=line, program=line.split()[0])
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, check=True, timeout=120
    )
    return {word.strip() for word in done.stdout.splitlines()}


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash (apt-get install bash)")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("resnet50-client cl", {"classify"}),
        ("resnet50-client accuracy --re", {"--report", "--resume", "--retry-s"}),
        ("resnet50-client classify --protocol h", {"http"}),
        ("resnet50-pynq ser", {"serve"}),
        ("resnet50-pynq serve --preset t", {"throughput"}),
    ],
)
def test_tab(line: str, expected: set[str]) -> None:
    assert len(LINES) == 2
    assert completions(line) == expected
