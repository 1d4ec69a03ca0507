"""The card xrt:0, unchanged, under the genuine XRT: the cards' contract suite, golden vectors, and refused xclbins."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import random_network, random_pixels, random_weights
from resnet50_triton.xclbin.kernel_info import KernelVariant, write_xclbin
from xrt_bench import Bench, BenchOf, OpenBench

CONTRACT = Path(__file__).resolve().parent.parent / "cards" / "test_contract.py"
# XRT's emulation has no device file, no xclGetUsageInfo and no sensors.
NOT_IN_EMULATION = {"test_wait_async", "test_banks_know_what_is_in_them", "test_power"}


def run_on_card(bench: Bench, pixels: Path, output: Path, fcweights: Path, xclbin: Path | None = None) -> str:
    """`resnet50-pynq run` on xrt:0; what it printed."""
    files = ("--xclbin", xclbin or bench.image, "--fcweights", fcweights, "--pixels", pixels, "-o", output)
    outcome = bench.run("-m", "resnet50_triton.cli", "run", "--card", "xrt:0", *files, timeout_s=180)
    assert outcome.code in (0, 1), outcome
    assert (outcome.code == 0) == output.exists(), outcome
    assert not bench.take_errors()
    return outcome.output


@pytest.mark.parametrize("kernel", ["logits", "top5"])
def test_the_contract_suite(random_bench: BenchOf, tmp_path: Path, kernel: KernelVariant) -> None:
    report = tmp_path / "report.xml"
    pytest_options = ("-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}", f"--junitxml={report}")
    bench = random_bench(kernel)
    outcome = bench.run("-m", "pytest", CONTRACT, "-k", "xrt:0", *pytest_options, timeout_s=200)
    assert outcome.code == 0, outcome.output
    assert not bench.take_errors()
    cases = {case.get("name", ""): case for case in ElementTree.parse(report).iter("testcase")}
    skipped = {name.partition("[")[0] for name, case in cases.items() if case.find("skipped") is not None}
    assert skipped == NOT_IN_EMULATION
    assert len(cases) > 20


@pytest.mark.parametrize("kernel", ["logits", "top5"])
def test_golden_vectors(trained_bench: BenchOf, shared_data: Path, tmp_path: Path, kernel: KernelVariant) -> None:
    golden = np.load(shared_data / "golden.npz")
    np.save(tmp_path / "in.npy", golden["images"])
    run_on_card(trained_bench(kernel), tmp_path / "in.npy", tmp_path / "out.npz", shared_data / "fcweights.csv")
    result = np.load(tmp_path / "out.npz")
    assert np.array_equal(result["top5"], golden["top5"])
    assert ("logits" in result) == (kernel == "logits")
    if kernel == "logits":
        assert np.array_equal(result["logits"], golden["logits"])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Pixels, where the results go, FC weights."""
    np.save(tmp_path / "in.npy", random_pixels(1, 1))
    np.save(tmp_path / "weights.npy", random_weights(2))
    return tmp_path / "in.npy", tmp_path / "out.npz", tmp_path / "weights.npy"


def test_an_image_for_software_cards_is_refused(
    random_bench: BenchOf, files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    write_xclbin(tmp_path / "software.xclbin", random_network(1))
    message = run_on_card(random_bench("logits"), *files, tmp_path / "software.xclbin")
    assert "this xclbin is for target software, card 'xrt:0' is XRT's emulation of xilinx_u250_xdma_201830_2" in message
    assert "name card 'software:0'" in message


def test_an_image_for_another_shell_is_refused(open_bench: OpenBench, files: tuple[Path, Path, Path]) -> None:
    message = run_on_card(open_bench(random_network(1), "logits", platform="xilinx_u200_xdma_201830_2"), *files)
    assert "this xclbin is for platform xilinx_u250_xdma_201830_2, card 'xrt:0' has the shell" in message
    assert "xilinx_u200_xdma_201830_2; flash the shell" in message


def test_a_second_card_is_not_there(random_bench: BenchOf, files: tuple[Path, Path, Path]) -> None:
    pixels, output, weights = files
    bench = random_bench("logits")
    arguments = ("--xclbin", bench.image, "--fcweights", weights, "--pixels", pixels, "-o", output)
    outcome = bench.run("-m", "resnet50_triton.cli", "run", "--card", "xrt:1", *arguments, timeout_s=180)
    assert outcome.code == 1
    assert "card 'xrt:1': XRT finds no such card; found: xrt:0; without an Alveo, card 'software:1'" in outcome.output
