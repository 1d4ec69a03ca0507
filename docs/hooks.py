"""What mkdocs adds to docs/ to make the site: pages made from the programs, the README and its fellows, their links.

Links between files of the repository are written as GitHub reads them. On the site a link that leaves docs/ leads to
the page made of that file: the README is the first page, others are shown as they are. One to a folder becomes text.
"""

from __future__ import annotations

import argparse
import logging
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from resnet50_client.cli import build_parser as client_parser
from resnet50_triton.cli import build_parser as backend_parser
from resnet50_triton.runtime.metrics import FAMILIES
from resnet50_triton.triton.parameters import PREPROCESS, RESNET50, Parameter

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs/"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/docker/README.md": "images.md",
    "deploy/helm/resnet50-pynq/README.md": "chart.md",
}
MODULES = [
    "runtime.instance", "runtime.kernel", "cards", "xclbin.container", "xclbin.kernel_info", "weights", "class_names",
    "decode", "network.parameters", "network.engine", "standalone.opened", "standalone.infer", "standalone.bench",
    "server.deploy", "server.process", "triton.parameters", "tensors", "ranking", "errors",
]  # fmt: skip

_log = logging.getLogger("mkdocs.hooks")  # whose warnings fail a strict build
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.M | re.S)
_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    os.environ["COLUMNS"] = "100"  # how wide argparse writes
    made = {page: (ROOT / name).read_text() for name, page in PAGES.items()}
    made["reference/resnet50-pynq.md"] = _command(backend_parser())
    made["reference/resnet50-client.md"] = _command(client_parser())
    made["reference/parameters.md"] = _parameters(preprocess=PREPROCESS, resnet50=RESNET50)
    made["reference/metrics.md"] = _metrics()
    made["reference/python-client.md"] = "# Python: resnet50_client\n\n::: resnet50_client\n"
    made["reference/python-backend.md"] = "# Python: resnet50_triton\n\n" + "\n\n".join(
        f"::: resnet50_triton.{module}" for module in MODULES
    )
    texts = {page.src_uri: page.content_string for page in files.documentation_pages()} | made
    for target in sorted({target for page, text in texts.items() for target in _shown(page, text)}):
        suffix, text = Path(target).suffix.lstrip("."), (ROOT / target).read_text()
        made[_page(target)] = f"---\nsearch: {{exclude: true}}\n---\n# {target}\n\n`````{suffix}\n{text}\n`````\n"
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn the links to files of the repository into links of the site."""
    here = page.file.src_uri

    def on_site(link: re.Match[str]) -> str:
        target = _target(here, link[2])
        if (ROOT / target).is_dir():
            return link[1]
        if not (ROOT / target).exists():
            return link[0]  # within the reference, or an error that mkdocs reports
        return f"[{link[1]}]({posixpath.relpath(_page(target), posixpath.dirname(here) or '.')}{link[3] or ''})"

    def prose(part: str) -> str:
        # GitHub begins a list without an empty line before it, Python-Markdown does not.
        part = re.sub(r"^((?!\s|[-*] |\d+\. )[^\n]+\n)(?=- |\d+\. )", r"\1\n", part, flags=re.M)
        return _LINK.sub(on_site, part)

    # The highlighter takes what stands in a "console" for a program's output, unless a prompt says otherwise.
    markdown = re.sub(r"^( *)```console$", r"\1```bash", markdown, flags=re.M)
    return "".join(part if _FENCE.fullmatch(part) else prose(part) for part in _FENCE.split(markdown))


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Refuse what a browser would load from elsewhere: the site is to work without a network."""
    for tag in re.findall(r"<(?:script|link|img|iframe)[^>]* (?:src|href)=\"(?:https?:)?//[^>]*>", output):
        _log.warning("%s: loaded from elsewhere: %s", page.file.src_uri, tag)
    return output


def _target(page: str, link: str) -> str:
    """The path in the repository that a link on a page of the site means."""
    source = next((name for name, made in PAGES.items() if made == page), DOCS + page)
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _page(target: str) -> str:
    """The page of the site that shows a file of the repository."""
    if target.startswith(DOCS):
        return target.removeprefix(DOCS)
    return PAGES.get(target, f"repository/{target}.md")


def _shown(page: str, text: str) -> set[str]:
    """The files that a page links to and that have no page yet."""
    targets = {_target(page, link[2]) for link in _LINK.finditer(_FENCE.sub("", text))}
    return {t for t in targets if (ROOT / t).is_file() and not t.startswith(DOCS) and t not in PAGES}


def _command(parser: argparse.ArgumentParser) -> str:
    """A page of a command: for each subcommand its usage, a table of its options, and the examples of `--help`."""
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [f"# {parser.prog}", parser.description or ""]
    for name, sub in action.choices.items():
        parts += [f"## {name}", sub.description or "", f"```text\n{sub.format_usage()}```"]
        for group in sub._action_groups:
            rows = [_option(a, sub) for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
            if rows:
                parts.append("\n".join([f"| {group.title} | |", "|---|---|", *rows]))
        if sub.epilog:
            parts.append(f"```text\n{sub.epilog}\n```")
    if parser.epilog:
        parts += ["## Examples and exit codes", f"```text\n{parser.epilog}\n```"]
    return "\n\n".join(parts)


def _option(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """A row of a command's table."""
    formatter = parser._get_formatter()
    metavar = (
        formatter._format_args(action, formatter._get_default_metavar_for_optional(action)) if action.nargs != 0 else ""
    )
    name = f"{', '.join(action.option_strings)} {metavar}" if action.option_strings else action.metavar or action.dest
    if not action.help:
        _log.warning("%s: %s has no description", parser.prog, name)
    text = formatter._expand_help(action) if action.help else ""
    text = text.replace("<", "&lt;").replace("|", "&#124;")
    return f"| `{str(name).strip()}` | {text} |"


def _parameters(**models: tuple[Parameter, ...]) -> str:
    """A page of the models' parameters."""
    lines = ["# Model parameters", "", "They are set in the `config.pbtxt` of the model, each as a string."]
    for model, table in models.items():
        lines += ["", f"## {model}", "", "| parameter | meaning | default |", "|---|---|---|"]
        for parameter in table:
            default = {None: "must be given", "": "none"}.get(parameter.default, f"`{parameter.default}`")
            lines.append(f"| `{parameter.name}` | {parameter.help} | {default} |")
    return "\n".join(lines)


def _metrics() -> str:
    """A page of what the model `resnet50` adds to `/metrics`."""
    lines = ["# Metrics", "", "What `resnet50` adds to Triton's own on `/metrics`.", ""]
    lines += ["| metric | kind | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {family.kind} | {family.help} |" for name, family in FAMILIES.items()]
    return "\n".join(lines)
