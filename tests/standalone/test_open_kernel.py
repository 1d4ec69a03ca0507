"""`open_kernel`, the Python interface without Triton."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import random_pixels
from resnet50_triton import decode_image, open_kernel, read_class_names
from resnet50_triton.errors import BadParameter, BadPixels, CardError
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "application.md").read_text()


def test_pixels_in_logits_out(sample: Path) -> None:
    pixels, weights = random_pixels(8, 5), load_fc_weights(sample / "fcweights.csv")
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    with open_kernel(sample / "card.xclbin", weights, "software:1", batch_size=2) as kernel:  # in three runs
        result = kernel.run(pixels)
        assert np.array_equal(result.logits, open_engine(network).logits(pixels, weights))
        assert result.top5.shape == (5, 5)
        assert (kernel.card, kernel.batch_size, kernel.xclbin.kernel) == ("software:1", 2, "logits")
        assert kernel.description.startswith("software:1 (software card")
        with pytest.raises(BadPixels, match=r"uint8 \(224, 224, 3\)"):
            kernel.run(pixels[0])
    with pytest.raises(CardError, match="is not open"):
        kernel.run(pixels)
    kernel.close()  # again is harmless


def test_a_card_is_opened_once(sample: Path) -> None:
    files = (sample / "card.xclbin", sample / "fcweights.csv")
    with open_kernel(*files) as kernel, open_kernel(*files, "software:1", batch_size=1) as other:
        assert kernel.card == "software:0"  # that of the xclbin
        with pytest.raises(CardError, match="'software:0' is open in this process already; close that kernel first"):
            open_kernel(*files)
        assert other.run(random_pixels(1, 1)).top5.shape == (1, 5)
    open_kernel(*files).close()


def test_figures_of_the_published_times(sample: Path) -> None:
    with open_kernel(sample / "card.xclbin", sample / "fcweights.csv", "timing:0", batch_size=10) as kernel:
        assert kernel.time_run(10) >= 5.3e-3
        figures = kernel.measure(10, runs=3)
        assert (figures.batch_size, figures.runs) == (10, 3)
        assert figures.images_per_s == pytest.approx(10 / figures.latency_s)
        assert figures.power_w == {"fpga": pytest.approx(33.7), "board": pytest.approx(50.4)}
        assert kernel.tells_power
        assert "as published for a U250" in kernel.power_source
        assert kernel.measure(1, seconds=0).runs == 1
        with kernel.record_power() as recorder:
            kernel.time_run(1)
        assert recorder.readings[-1].watts["board"] > 0
        for size in (0, 11):
            with pytest.raises(BadParameter, match=f"batch size is {size}, expected 1 to 10"):
                kernel.time_run(size)
        with pytest.raises(BadParameter, match="without a limit"):
            kernel.measure(1)


def test_the_documents_program(sample: Path, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    for name in ("card.xclbin", "fcweights.csv", "labels.txt"):
        (tmp_path / name).symlink_to(sample / name)
    (tmp_path / "photo.jpg").symlink_to(sample / "images" / "zebra_stripes_03.JPEG")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "['zebra stripes'," in done.stdout


def test_the_package_alone_loads_no_pynq() -> None:
    program = "import sys, resnet50_triton; resnet50_triton.decode_image; print('pynq' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"
    with pytest.raises(ImportError, match="cannot import name 'open_card'"):
        from resnet50_triton import open_card  # type: ignore[attr-defined]  # noqa: F401


def test_pictures_have_names(sample: Path) -> None:
    names = read_class_names(sample / "labels.txt")
    with open_kernel(sample / "card.xclbin", sample / "fcweights.csv") as kernel:
        (path, *_) = sorted((sample / "images").glob("zebra_stripes_*.JPEG"))
        (best, *_) = kernel.run(decode_image(path.read_bytes())[None]).top5[0]
    assert names[best] == "zebra stripes"
