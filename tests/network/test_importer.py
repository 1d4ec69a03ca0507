"""The importer: a checkout in any of upstream's spellings gives the network, any other one an error with its place."""

from __future__ import annotations

import contextlib
import pickle
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hls_checkout import random_network, write_checkout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resnet50_triton.cli import main
from resnet50_triton.errors import BadNetwork
from resnet50_triton.network.hls_source import HlsSource
from resnet50_triton.network.importer import import_checkout
from resnet50_triton.network.parameters import SHAPES, Network

_CONV0 = r"(weights_conv0\[64\]\[49\] = \n\{)\{[^,]*,"  # up to and with its first literal


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkout")
    write_checkout(path, random_network(1), seed=1)
    return path


@pytest.fixture
def edit(checkout: Path) -> Iterator[Callable[[str, str, str], Path]]:
    """Replace text, once, in one file of the checkout; undone after the test."""
    originals: dict[Path, str] = {}

    def replace(name: str, pattern: str, replacement: str) -> Path:
        path = checkout / "src" / "w1a2_v1.0" / name
        originals.setdefault(path, path.read_text())
        text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.DOTALL)
        assert count == 1
        path.write_text(text)
        return path

    yield replace
    for path, text in originals.items():
        path.write_text(text)


def assert_equal(found: Network, expected: Network) -> None:
    for name in SHAPES:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_a_random_network(checkout: Path) -> None:
    started_s = time.process_time()
    assert_equal(import_checkout(checkout), random_network(1))
    assert time.process_time() - started_s < 10


def test_the_class_names_beside_it(checkout: Path, tmp_path: Path) -> None:
    names = [f"thing {i}, no {i}" for i in range(1000)]
    words = ["import-network", str(checkout), "-o", str(tmp_path / "net.npz"), "--names", str(tmp_path / "names.txt")]
    for content, code in ((pickle.dumps(dict(enumerate(names))), 0), (b"cos\nsystem\n.", 1)):
        (checkout / "host").mkdir(exist_ok=True)
        (checkout / "host" / "labels.pkl").write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == code
        assert (tmp_path / "names.txt").read_text().splitlines() == names  # of the first, which stays


def test_another_spelling_of_the_trained_network(tmp_path: Path, shared_data: Path) -> None:
    trained = Network.load(shared_data / "resnet50_w1a2_v1.npz")
    write_checkout(tmp_path, trained, seed=2)
    assert_equal(import_checkout(tmp_path), trained)


def test_literals_as_upstream_writes_them(checkout: Path, edit: Callable[[str, str, str], Path]) -> None:
    """One literal of each kind against values worked out by hand."""
    edit("inpipe/params.h", _CONV0, r"\1{0xf70005,")
    edit("inpipe/params.h", r"(thres_conv0\[64\]\[1\] = \n\{.*?\{).*?\}", r'\1"0xfff95c000849001736"}')
    edit("outpipe/params.h", r"(bias_fc1000 = \{\{\{)[^,]*,", r"\1-13402,")
    network = import_checkout(checkout)
    assert network["conv0.weights"][0, 0, 0].tolist() == [0x05, 0x00, 0xF7 - 256]
    assert network["conv0.thresholds"][0].tolist() == [0x1736, 0x0849, 0xF95C - 65536]
    assert network["fc.bias"][0] == -13402


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "message"),
    [
        ("res2a/config.h", "IFMC 64", "IFMC 32", r":5: RES_2A_IFMC is 32, expected 64: not the network w1a2_v1.0"),
        ("res3a/config.h", "RES_1_STRIDE 2", "RES_1_STRIDE 1", r":16: RES_1_STRIDE is 1, expected 2"),
        (
            "res2b/config.h",
            "#define RES_2C_IFMC.*",
            "",
            r":10: #define RES_2C_IFMC is missing up to the end of the file",
        ),
        (
            "res2a/params.h",
            "thres_FPGAThresholdLayer_top0",
            "x",
            r":\d+: the declaration of thres_FPGAThresholdLayer_top0",
        ),
        (
            "inpipe/params.h",
            r"weights\nconst ap_uint",
            "weights\nconst ap_int",
            r":5: weights_conv0: is of type ap_int",
        ),
        ("inpipe/params.h", _CONV0, r"\1{,", r":6: weights_conv0: found ',', expected a number"),
        ("inpipe/params.h", _CONV0, r"\1{{0,", r":6: weights_conv0: found '{', expected a number"),
        ("inpipe/params.h", _CONV0, r"\1{", r":\d+: weights_conv0: found '}', expected ','"),
        ("inpipe/params.h", _CONV0, r"\1{x7,", r":6: weights_conv0: 'x7' is not an integer literal"),
        ("inpipe/params.h", _CONV0, r"\1{010,", r":6: weights_conv0: '010' is not an integer literal"),
        ("inpipe/params.h", _CONV0, r'\1{"5,', r":6: weights_conv0: found '5', expected ','"),
        ("inpipe/params.h", _CONV0, r"\1{16777216,", r":6: weights_conv0: 16777216 does not fit in 24 bits"),
        ("inpipe/params.h", _CONV0, r"\1{-8388609,", r":6: weights_conv0: -8388609 does not fit in 24 bits"),
        ("outpipe/params.h", r"\}\s*\}\s*\}\s*;$", "", r": bias_fc1000: found its end, expected '}'"),
        ("outpipe/params.h", r"\}\s*\}\s*\}\s*;$", "}}}};", r": bias_fc1000: found '}', expected ';'"),
        ("res2b/params.h", r"BinaryWeights<\d+", "BinaryWeights<48", r": SIMD 48, PE \d+ and \d+ tiles do not make a"),
        ("res2b/params.h", r"BinaryWeights<\d+", "BinaryWeights<0", r": SIMD 0, PE \d+ and \d+ tiles do not make a"),
        (
            "res2b/params.h",
            r"BinaryWeights<",
            "BinaryWeights<RES_2A_SIMD, ",
            r": arguments are <RES_2A_SIMD, .*>, expected",
        ),
        ("res2b/params.h", r"tion<\d+", "tion<7", r": NF 7, PE \d+, N \d+ make \d+ thresholds for"),
        ("res2b/params.h", r"(tion<\d+, \d+, \d+), ap_u?int<16>", r"\1, ap_int<24>", r": arguments are <.*<24>"),
    ],
)
def test_a_malformed_file_is_located(
    checkout: Path, edit: Callable[[str, str, str], Path], name: str, pattern: str, replacement: str, message: str
) -> None:
    path = edit(name, pattern, replacement)
    with pytest.raises(BadNetwork, match=message) as caught:
        import_checkout(checkout)
    assert re.match(re.escape(str(path)) + r":\d+: ", str(caught.value))
    assert len(str(caught.value)) < 300 + len(str(path))


def test_the_line_is_that_of_the_bad_literal(checkout: Path, edit: Callable[[str, str, str], Path]) -> None:
    path = edit("res2b/params.h", r"(weights_FPGABipolarConvThresholdLayer_br22 = \{\s*\{\{)[^,]*,", r"\1\n0xg,")
    line = path.read_text().partition("\n0xg")[0].count("\n") + 2
    with pytest.raises(BadNetwork, match=rf"params.h:{line}: weights_FPGABipolarConvThresholdLayer_br22: '0xg' is not"):
        import_checkout(checkout)


@pytest.mark.parametrize("name", ["inpipe/params.h", "res3a/config.h", "res3a/params.h", "outpipe/params.h"])
def test_a_missing_file_is_named(tmp_path: Path, checkout: Path, name: str) -> None:
    original = checkout / "src" / "w1a2_v1.0" / name
    aside = original.rename(tmp_path / "aside")
    try:
        with pytest.raises(
            BadNetwork, match=re.escape(f"{original}: cannot read it: No such file or directory; a whole")
        ):
            import_checkout(checkout)
    finally:
        aside.rename(original)


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_located(checkout: Path, edit: Callable[[str, str, str], Path], cut: float) -> None:
    path = checkout / "src" / "w1a2_v1.0" / "res3a" / "params.h"
    keep = int(path.stat().st_size * cut)
    edit("res3a/params.h", rf"(.{{{keep}}}).*", r"\1")
    with pytest.raises(BadNetwork, match=re.escape(str(path)) + r":\d+: "):
        import_checkout(checkout)


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(
        BadNetwork, match=r"no checkout of Xilinx/ResNet50-PYNQ: there is no folder src/w1a2_v1.0 in it"
    ):
        import_checkout(tmp_path)


_HEADER = """#define N 7
// c
BinaryWeights<8, 2, 2> a = {
{{0xff, "0x01"},
 {3, /* ; */ 4}}};
const ap_uint<8> b[1][2] = {{1, 2}};
"""


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_header_gives_values_or_bad_network(tmp_path: Path, data: st.DataObject) -> None:
    """A header damaged in any way gives values of the asked shape or BadNetwork, nothing else."""
    text = _HEADER
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(text)))
        insert = data.draw(
            st.one_of(st.text(alphabet='{},;"/*-0x1<>[]=#\n a', max_size=4), st.characters(codec="utf-8"))
        )
        text = text[:at] + insert + text[at + data.draw(st.integers(0, 3)) :]
    path = tmp_path / "params.h"
    path.write_text(text, encoding="utf-8")
    source = HlsSource(path)
    source.defines()
    for declaration in source.declarations().values():
        with contextlib.suppress(BadNetwork):
            assert declaration.values((1, 2, 2), 8).shape == (1, 2, 2, 1)


def test_the_undamaged_header(tmp_path: Path) -> None:
    path = tmp_path / "params.h"
    path.write_text(_HEADER)
    source = HlsSource(path)
    assert source.defines()["N"][0] == 7
    declarations = source.declarations()
    assert declarations["a"].values((1, 2, 2), 8).ravel().tolist() == [255, 1, 3, 4]
    assert declarations["b"].values((1, 2), 16).tolist() == [[[1, 0], [2, 0]]]
