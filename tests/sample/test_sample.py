"""The sample's parts; that it names its held-out pictures is measured in test_sample_accuracy.py and by `make run`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from resnet50_triton.errors import SetupError
from resnet50_triton.network.parameters import BLOCKS, Network, convs
from resnet50_triton.network.reference import fully_connected, run_stages, top_k
from resnet50_triton.sample import build
from resnet50_triton.sample.drawings import CLASS_NAMES, SPLITS, contact_sheet, encode
from resnet50_triton.sample.head import fit_head
from resnet50_triton.sample.parameters import ALWAYS, BRANCH_STEPS, NEVER, calibrated_network, conv0_weights
from resnet50_triton.tensors import CLASSES
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin


def few_pixels() -> np.ndarray:
    """Four pictures that differ much: uint8 (4, 224, 224, 3) BGR."""
    names = ("brick wall", "starry sky", "rainbow", "dice")
    return np.stack([build.decode_image(encode(name, "calibration", 0)) for name in names])


@pytest.fixture(scope="module")
def network() -> Network:
    """Parameters calibrated on four pictures, without a head."""
    return calibrated_network(1, few_pixels())


def test_there_are_enough_classes_with_names_of_their_own() -> None:
    assert 20 <= len(CLASS_NAMES) <= CLASSES
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_picture_is_a_jpeg_and_the_same_each_time(name: str) -> None:
    data = encode(name, "training", 1)
    assert data == encode(name, "training", 1)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.mode == "RGB"
        assert 180 <= min(image.size) <= max(image.size) <= 520
        assert np.asarray(image).std() > 8  # something is to be seen


def test_no_two_pictures_of_a_class_are_equal() -> None:
    for name in CLASS_NAMES[::6]:
        files = {encode(name, split, number) for split in SPLITS for number in range(2)}
        assert len(files) == 2 * len(SPLITS)


def test_sizes_vary() -> None:
    sizes = set()
    for number in range(8):
        with Image.open(io.BytesIO(encode("checkerboard", "held out", number))) as image:
            sizes.add(image.size)
    assert len(sizes) == 8


def test_the_contact_sheet_shows_every_class() -> None:
    sheet = np.asarray(contact_sheet(tile=40, columns=8))
    rows = -(-len(CLASS_NAMES) // 8)
    assert sheet.shape == (40 * rows, 320, 3)
    tiles = sheet.reshape(rows, 40, 8, 40, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 40 * 40 * 3)
    assert (tiles[: len(CLASS_NAMES)] < 200).any(axis=1).all()


def test_conv0_filters_use_their_range_and_differ() -> None:
    filters = conv0_weights(np.random.default_rng(0)).reshape(64, -1)
    assert (np.abs(filters.astype(int)).max(axis=1) == 90).all()
    assert len(np.unique(filters, axis=0)) == 64


def test_every_channel_of_every_layer_is_in_use(network: Network) -> None:
    for block in BLOCKS:
        for conv in convs(block):
            thresholds = network[f"{conv.name}.thresholds"].astype(int)
            assert (np.diff(thresholds, axis=1) >= 0).all(), conv.name
            in_play = (thresholds > ALWAYS) & (thresholds < NEVER)
            expected = 2 * BRANCH_STEPS if conv.name.endswith("convc") else conv.levels
            assert (in_play.sum(axis=1) == expected).all(), conv.name
    # The pictures that the thresholds were made from still look different at the end, in nearly every channel.
    last = np.concatenate([dict(run_stages(network, image[None]))["res5c"] for image in few_pixels()])
    assert 2 < last.std() < 5
    assert 6.5 < last.mean() < 8.5
    assert (last.reshape(-1, 2048).std(axis=0) > 0.5).mean() > 0.99


def test_a_branch_moves_the_stream_by_few_steps(network: Network) -> None:
    stages = dict(run_stages(network, few_pixels()[:1]))
    for before, after in (("res2a", "res2b"), ("res4e", "res4f"), ("res5b", "res5c")):
        moved = stages[after].astype(int) - stages[before]
        assert np.abs(moved).max() <= BRANCH_STEPS
        assert moved.any()


def test_calibration_is_deterministic_and_depends_on_the_seed(network: Network) -> None:
    assert calibrated_network(1, few_pixels()).to_bytes() == network.to_bytes()
    other = calibrated_network(2, few_pixels()[:1])
    assert not np.array_equal(other["res2a.conva.weights"], network["res2a.conva.weights"])


def test_the_head_separates_what_can_be_separated_and_never_answers_an_unused_class() -> None:
    rng = np.random.default_rng(5)
    centres = rng.integers(0, 300, (20, 2048))
    classes = np.repeat(np.arange(20), 6)

    def sample() -> np.ndarray:
        return np.clip(centres[classes] + rng.normal(0, 40, (120, 2048)), 0, 343).astype(np.uint16)

    weights, biases = fit_head(sample(), classes)
    assert weights.shape == (1000, 2048)
    assert weights.dtype == np.int8
    assert np.abs(weights.astype(int)).max() == 127
    assert (top_k(fully_connected(sample(), weights, biases))[:, 0] == classes).mean() > 0.95
    # Whatever the features, the mean logit of the drawn classes, and so the best, is above those of the unused ones.
    worst = np.minimum(weights[:20].astype(float).mean(axis=0), 0).sum() * 343 + biases[:20].mean()
    assert worst > biases[20:].max()
    assert not weights[20:].any()


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of six classes and two training pictures each, so that a build takes seconds on any engine."""
    monkeypatch.setattr(build, "CLASS_NAMES", CLASS_NAMES[:6])
    monkeypatch.setattr(build, "TRAINING_PER_CLASS", 2)


@pytest.mark.usefixtures("small_sample")
def test_a_sample_is_complete_and_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "build" / "sample"
    lines: list[str] = []
    assert build.build_sample(directory, 2, lines.append)
    assert lines
    assert {path.name for path in directory.iterdir()} == {
        *("card.xclbin", "net.npz", "fcweights.csv", "labels.txt", "images", "README.txt", "sample.json")
    }
    network = Network.load(directory / "net.npz")
    info = read_xclbin(directory / "card.xclbin")
    assert info.kernel == "logits"
    assert info.network_bytes() == network.to_bytes()
    assert load_fc_weights(directory / "fcweights.csv")[:6].any(axis=1).all()

    names = (directory / "labels.txt").read_text().splitlines()
    assert len(names) == CLASSES
    assert names[:7] == [*CLASS_NAMES[:6], "(unused 6)"]
    labels = dict(line.split(" ") for line in (directory / "images" / "labels.txt").read_text().splitlines())
    assert len(labels) == 12
    assert {path.name for path in (directory / "images").iterdir()} == {"labels.txt", *labels}
    assert all(file.startswith(names[int(label)].replace(" ", "_")) for file, label in labels.items())
    # None of the held-out pictures was trained or calibrated on.
    seen = {encode(name, split, i) for name in CLASS_NAMES[:6] for split in ("calibration", "training") for i in (0, 1)}
    assert not seen & {path.read_bytes() for path in (directory / "images").glob("*.JPEG")}

    times = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert not build.build_sample(directory, 2)
    assert times == {path: path.stat().st_mtime_ns for path in directory.rglob("*")}

    content = {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    monkeypatch.setattr(build, "RECIPE", build.RECIPE + 1)
    assert build.build_sample(directory, 2)
    again = {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert content.pop("sample.json") != again.pop("sample.json")
    assert content == again
    assert not list(directory.parent.glob("*.partial"))


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SetupError, match="holds something else"):
        build.build_sample(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sample").write_text("")
    with pytest.raises(SetupError, match="cannot write"):
        build.build_sample(tmp_path / "sample")


@pytest.mark.parametrize("count", [0, -1, 100])
def test_the_number_of_held_out_pictures_is_checked(tmp_path: Path, count: int) -> None:
    with pytest.raises(SetupError, match="held_out_per_class"):
        build.build_sample(tmp_path / "sample", count)


@pytest.mark.usefixtures("small_sample")
def test_a_build_that_fails_leaves_nothing_that_looks_like_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "make_network", fail)
    with pytest.raises(SetupError, match="No space left"):
        build.build_sample(tmp_path / "sample")
    assert not (tmp_path / "sample").exists()
