"""Every command in the documents is one that the programs understand, or says before it why nobody tried.

What is run, with its results looked at, is in test_tutorial.py, tests/e2e/test_readme.py, tests/client/test_docs.py
and tests/standalone/test_application_docs.py. Here each command of each document is held to the program's own options.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shlex
import textwrap
from argparse import ArgumentParser, _SubParsersAction
from dataclasses import dataclass
from pathlib import Path

import pytest
from resnet50_client.cli import build_parser as client_parser
from resnet50_triton.cli import build_parser as backend_parser
from resnet50_triton.triton.parameters import PREPROCESS, RESNET50, Parameter

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "backend/*.md", "client/*.md")
    for path in ROOT.glob(pattern)
)
PARSERS = {"resnet50-pynq": backend_parser(), "resnet50-client": client_parser()}
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.M))
COMMANDS = {"console", "bash", "sh", "shell"}
SCRIPTS = {"client.md"}  # its "bash" fences are programs, which other tests run
FOLDERS = ("deploy/", "docs/", "model_repository/", "tests/")
MARK = re.compile(r"^\s*\*Not run by a test: [^*]+\*$")
# Programs of the machine, whose options are not ours to check: harmless, and the same everywhere.
FAMILIAR = {".", "source", "export", "cd", "ls", "mkdir", "cat", "touch", "curl", "pip", "jupyter", "perf_analyzer"}
FAMILIAR |= {"eval"}  # of the completion of commands, which test_completion.py runs
FAMILIAR |= {"python3.10", "tritonserver"}  # of "a Triton of your own", which test_own_triton.py runs
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.M | re.S)


@dataclass(frozen=True)
class Line:
    """A command, and where it stands."""

    document: Path
    marked: bool
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}: {self.text}"


def lines_of(document: Path) -> list[Line]:
    """The commands in the fences of a document, continued lines joined."""
    text, found = document.read_text(), []
    for fence in _FENCE.finditer(text):
        if fence[2] not in COMMANDS or (fence[2] == "bash" and document.name in SCRIPTS):
            continue
        before = text[: fence.start()].rstrip().splitlines()
        marked = bool(before and MARK.match(before[-1]))
        for line in re.sub(r"\\\n\s*", "", fence[3]).splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                found.append(Line(document, marked, line.strip()))
    return found


LINES = [line for document in DOCUMENTS for line in lines_of(document)]


def words_of(part: str) -> list[str]:
    """The words of a command without the variables set before it, comments and redirections."""
    words = shlex.split(part, comments=True)
    while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
        words.pop(0)
    return words[: next((i for i, word in enumerate(words) if word in ("<", ">", ">>", "&")), len(words))]


def check(words: list[str], marked: bool = False) -> None:
    """Fail where a command is not understood; `marked`: programs that are not ours need not be known."""
    for word in words:
        path = re.split(r"\s|::", word.rpartition("=")[2])[0]
        assert not path.startswith(FOLDERS) or (ROOT / path).exists(), f"there is no {path}"
    name = words[0].rpartition("/")[2]
    if name in PARSERS:
        with contextlib.suppress(SystemExit) if "--help" in words else contextlib.nullcontext():
            PARSERS[name].parse_args(words[1:])  # ends with its reason where it does not understand
    elif name == "make":
        for word in words[1:]:
            variable = re.fullmatch(r"([A-Z_]+)=.*", word)
            assert f"$({variable[1]})" in MAKEFILE if variable else word in TARGETS, f"the Makefile has no {word}"
    elif name.startswith("python") and words[1] == "-c":
        compile(words[2], str(words), "exec")
    elif name.startswith("python") and words[1] != "-m":
        script = ROOT / words[1]
        known = script.read_text()
        for word in words[2:]:
            option = word.partition("=")[0]
            assert not option.startswith("--") or f'"{option}"' in known, f"{words[1]} knows no {option}"
    elif not marked and not (ROOT / words[0]).is_file():
        assert name in FAMILIAR, (
            f"`{name}` is not known to this test: a line before its fence has to say why it is not run, as "
            "*Not run by a test: needs a card.*"
        )


def test_there_is_something_to_check() -> None:
    assert len(LINES) > 50
    assert {line.document.name for line in LINES} >= {"README.md", "tutorial.md", "client.md", "real-card.md"}


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_command_is_understood(line: Line) -> None:
    for part in re.split(r"\s(?:\||&&|;)\s", line.text):
        if words := words_of(part):
            check(words, line.marked)


PROGRAMS = [
    pytest.param(textwrap.dedent(fence[3]), id=f"{document.relative_to(ROOT)}: {fence[3].strip().splitlines()[0]}")
    for document in DOCUMENTS
    for fence in _FENCE.finditer(document.read_text())
    if fence[2] == "python"
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_imports_is_there(program: str) -> None:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def subcommands(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    (action,) = (action for action in parser._actions if isinstance(action, _SubParsersAction))
    return action.choices


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_prose_names_exists(document: Path) -> None:
    """In running text: `make TARGET`, and `resnet50-... SUBCOMMAND --option` without what else it needs."""
    for code in re.findall(r"`([^`\n]+)`", _FENCE.sub("", document.read_text())):
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            assert words[1] in TARGETS, code
        elif words[0] in PARSERS and len(words) > 1 and words[1][0] != "-":
            known = subcommands(PARSERS[words[0]])
            assert words[1] in known, code
            for option in re.findall(r"(?<=\s)--[a-z][\w-]*", code.partition(" -- ")[0]):
                assert option in known[words[1]]._option_string_actions, code


RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def test_there_is_a_recipe_for_each_subcommand() -> None:
    for name, parser in PARSERS.items():
        for subcommand in subcommands(parser):
            assert f"`{name} {subcommand}" in RECIPES, f"{name} {subcommand}"


def test_the_recipes_are_whole() -> None:
    rows = re.findall(r"^\|([^|]*)\| `([^`]+)`", RECIPES, re.M)
    assert len(rows) > 25
    for job, command in rows:
        check(words_of(command), marked="needs a" in job)


@pytest.mark.parametrize(("page", "parameters"), [("preprocessing.md", PREPROCESS), ("serving.md", RESNET50)])
def test_the_table_of_parameters_is_that_of_the_program(page: str, parameters: tuple[Parameter, ...]) -> None:
    table = (ROOT / "docs" / page).read_text().partition("## Parameters")[2].partition("\n##")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ?`?(\S*?)`? \|", table, re.M)
    written = {name: default for names, default in rows for name in re.findall(r"\w+", names)}
    none = {"": "none", None: ""}
    expected = {p.name: none.get(p.default, p.default) for p in parameters}
    assert written == expected


def test_the_defaults_that_help_tells_are_those_of_the_program() -> None:
    """As far as they are numbers; a subcommand may set others for options that several share."""
    for name, parser in PARSERS.items():
        for subcommand, known in subcommands(parser).items():
            for action in known._actions:
                told = re.search(r"\(default:? ([\d.]+)[);]", (action.help or "") % vars(action))
                if told and isinstance(action.default, int | float):
                    assert float(told[1]) == action.default, f"{name} {subcommand} {action.option_strings}"
