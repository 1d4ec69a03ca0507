"""What is the software card's own: golden results, several cards, threads, its name."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from cases import Case
from helpers import random_network
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadParameter
from resnet50_triton.network.parameters import Network
from resnet50_triton.network.reference import ReferenceEngine
from resnet50_triton.runtime.kernel import Kernel, Result
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import write_xclbin


@pytest.mark.parametrize("outputs", ["logits", "top5"])
def test_golden_images(shared_data: Path, tmp_path: Path, outputs: str) -> None:
    network = Network.load(shared_data / "resnet50_w1a2_v1.npz")
    write_xclbin(tmp_path / "card.xclbin", network, outputs)
    golden = np.load(shared_data / "golden.npz")
    weights = load_fc_weights(shared_data / "fcweights.csv")
    with Kernel(tmp_path / "card.xclbin", weights, batch_size=4) as kernel:
        result = kernel.run(golden["images"])
    assert np.array_equal(result.top5, golden["top5"])
    assert (result.logits is not None) == (outputs == "logits")
    if result.logits is not None:
        assert result.logits.dtype == np.int32
        assert np.array_equal(result.logits, golden["logits"])


def test_two_cards_with_different_networks_at_once(software_cases: dict[str, Case], tmp_path: Path) -> None:
    case = software_cases["logits"]
    network = random_network(11)
    write_xclbin(tmp_path / "other.xclbin", network)
    results: dict[str, Result] = {}
    with (
        Kernel(case.xclbin, case.weights, "software:0", batch_size=2) as one,
        Kernel(tmp_path / "other.xclbin", case.weights, "software:1", batch_size=2) as two,
    ):
        threads = [
            threading.Thread(target=lambda k=k: results.update({k.card: k.run(case.pixels[:2])})) for k in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert np.array_equal(results["software:0"].logits, case.logits[:2])
    other = ReferenceEngine(network).logits(case.pixels[:2], case.weights)
    assert np.array_equal(results["software:1"].logits, other)


def test_the_card_says_that_it_is_software(software_cases: dict[str, Case], caplog: pytest.LogCaptureFixture) -> None:
    case = software_cases["top5"]
    with caplog.at_level("INFO"), Kernel(case.xclbin, case.weights, "software:5") as kernel:
        assert kernel.description.startswith("software:5 (software card, ")
        assert f"with the top5 kernel of {case.xclbin}" in kernel.description
    assert "software:5: programmed with" in caplog.text


def test_threads_take_effect_at_programming(software_cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet50_triton.cards import software

    opened: list[int] = []
    real = software.open_engine
    monkeypatch.setattr(software, "open_engine", lambda n, threads: (opened.append(threads), real(n, threads))[1])
    monkeypatch.setenv("RESNET50_THREADS", "1")
    case = software_cases["logits"]
    for threads in (None, 1, 2, None):
        with Kernel(case.xclbin, case.weights, "software:6", threads=threads) as kernel:
            assert np.array_equal(kernel.run(case.pixels[:1]).logits, case.logits[:1])
    assert opened == [1, 2]  # an unchanged number does not load the network again


def test_a_wrong_number_of_threads_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET50_THREADS", "many")
    with pytest.raises(BadParameter, match="environment RESNET50_THREADS is 'many', expected a whole number"):
        open_card("software:9")
