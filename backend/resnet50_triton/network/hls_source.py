"""Reads the C++ headers of an HLS project: `#define`s and initialised arrays of integer literals.

This is no C++ parser. It knows the one form that the trained parameters have, `type<arguments> name[dims] = {...};`,
and says file and line of anything else that it meets on the way.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadNetwork

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\d+)[ \t]*$", re.MULTILINE)
# What stands before the first brace: BinaryWeights<32, 8, 16> name =, or const ap_uint<24> name[64][49] =
_HEAD = re.compile(r"(\w+)\s*<([^=]*)>\s*(\w+)\s*((?:\[[^\]]*\]\s*)*)=\s*$")
_TOKEN = re.compile(r'[{},]|"[^"\n]*"|[^\s{},"]+|"')


@dataclass(frozen=True)
class Declaration:
    """One initialised array."""

    source: HlsSource
    offset: int  # of its first character in the source's text
    name: str
    type: str  # "BinaryWeights"
    arguments: str  # "32, 8, 16", or the dimensions "[64][49]" after the arguments of an array of ap_uint
    initialiser: str
    initialiser_offset: int

    def error(self, message: str) -> BadNetwork:
        """An error at the line of the declaration."""
        return self.source.error(self.offset, f"{self.name}: {message}")

    def values(self, shape: tuple[int, ...], bits: int) -> NDArray[np.uint8]:
        """The literals as little-endian bytes.

        Args:
            shape: how many elements each level of braces has, outermost first.
            bits: the width of a literal; negative ones are taken as two's complement.

        Returns:
            uint8 (*shape, bytes) where bytes holds `bits`.

        Raises:
            BadNetwork: with the line of the first brace, comma or literal that does not fit.
        """
        tokens = _TOKEN.findall(self.initialiser)
        found = "".join(token if token in "{}," else "x" for token in tokens)
        expected = _skeleton(shape)
        if found != expected:
            at = len(os.path.commonprefix([found, expected]))  # noqa: RUF071 - by characters is what is meant
            actual = ascii(tokens[at][:40]) if at < len(tokens) else "its end"
            wanted = {"x": "a number", "": "';'"}.get(expected[at : at + 1], f"'{expected[at : at + 1]}'")
            raise self._error_at(at, f"found {actual}, expected {wanted} (in braces of shape {shape})")
        size_bytes = -(-bits // 8)
        lowest, beyond = -(1 << (bits - 1)), 1 << bits
        packed = bytearray()
        for index, token in enumerate(tokens):
            if token in "{},":
                continue
            try:
                value = int(token.strip('"'), 0)
            except ValueError:
                raise self._error_at(index, f"{token[:40]!a} is not an integer literal") from None
            if not lowest <= value < beyond:
                raise self._error_at(index, f"{token[:40]} does not fit in {bits} bits")
            packed += (value % beyond).to_bytes(size_bytes, "little")
        return np.frombuffer(packed, np.uint8).reshape(*shape, size_bytes)

    def _error_at(self, token: int, message: str) -> BadNetwork:
        match = next(islice(_TOKEN.finditer(self.initialiser), token, None), None)
        offset = match.start() if match else len(self.initialiser)
        return self.source.error(self.initialiser_offset + offset, f"{self.name}: {message}")


class HlsSource:
    """A header file, read whole."""

    def __init__(self, path: Path) -> None:
        """Read a header.

        Raises:
            BadNetwork: the file cannot be read.
        """
        self.path = path
        try:
            text = path.read_bytes().decode("latin-1")
        except OSError as error:
            raise BadNetwork(
                f"{path}: cannot read it: {error.strerror or error}; a whole checkout of Xilinx/ResNet50-PYNQ is needed"
            ) from error
        # Comments and directives become as many line ends, so that offsets still tell lines.
        self._text = _COMMENT.sub(_blank, text)
        self._code = _DIRECTIVE.sub(_blank, self._text) if "#" in self._text else self._text

    def error(self, offset: int, message: str) -> BadNetwork:
        """An error at the line of a place in the text."""
        line = self._text.count("\n", 0, offset) + 1
        return BadNetwork(f"{self.path}:{line}: {message}")

    def missing(self, what: str) -> BadNetwork:
        """An error at the end of the file, where `what` should have come at the latest."""
        return self.error(len(self._text.rstrip()), f"{what} is missing up to the end of the file")

    def defines(self) -> dict[str, tuple[int, int]]:
        """Value and offset of every `#define` of a number."""
        return {match[1]: (int(match[2]), match.start()) for match in _DEFINE.finditer(self._text)}

    def declarations(self) -> dict[str, Declaration]:
        """Every initialised array by name."""
        result: dict[str, Declaration] = {}
        offset = 0
        for statement in self._code.split(";"):
            head, brace, _ = statement.partition("{")
            match = _HEAD.search(head)
            if brace and match:
                kind, arguments, name, dims = match.groups()
                start = len(head)
                result[name] = Declaration(
                    self,
                    offset + match.start(),
                    name,
                    kind,
                    (arguments + dims).strip(),
                    statement[start:],
                    offset + start,
                )
            offset += len(statement) + 1
        return result


def _skeleton(shape: tuple[int, ...]) -> str:
    """The initialiser of an array of this shape with x for each number: (1, 2) gives {{x,x}}."""
    text = "x"
    for count in reversed(shape):
        text = "{" + ",".join([text] * count) + "}"
    return text


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])
