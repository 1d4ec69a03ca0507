"""The xclbin container: what is written is read back, PYNQ reads it alike, and every damage has its own message."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynq.pl_server.xclbin_parser import XclBin
from resnet50_triton.errors import BadXclbin, SetupError
from resnet50_triton.network.parameters import SHAPES, Network
from resnet50_triton.xclbin import u250
from resnet50_triton.xclbin.container import (
    Connection,
    Ip,
    Kind,
    Mode,
    build_xclbin,
    open_xclbin,
    pack_connections,
    pack_ips,
)
from resnet50_triton.xclbin.kernel_info import (
    KernelInfo,
    KernelVariant,
    read_xclbin,
    software_xclbin,
    write_xclbin,
)


@pytest.fixture(scope="module")
def network() -> Network:
    # All but the biases zero: it compresses to little, and the container does not look inside.
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in SHAPES.items()}
    arrays["fc.bias"] = np.arange(1000, dtype=np.int32)
    return Network.check(arrays)


@pytest.fixture(scope="module")
def xclbin(network: Network) -> bytes:
    return software_xclbin(network)


def sections_of(xclbin: bytes) -> dict[Kind, bytes]:
    opened = open_xclbin(io.BytesIO(xclbin), "xclbin")
    return {Kind(section.kind): opened.find(Kind(section.kind)) for section in opened.sections}


def rebuild(xclbin: bytes, changes: dict[Kind, bytes | None], mode: Mode = Mode.SW_EMU) -> bytes:
    """The same xclbin with some sections replaced, or dropped where the change is None."""
    sections: dict[Kind, bytes | None] = {**sections_of(xclbin), **changes}
    kept: Iterable[tuple[Kind, bytes]] = ((kind, data) for kind, data in sections.items() if data is not None)
    return build_xclbin(kept, u250.PLATFORM, mode, u250.FEATURE_ROM_TIME)


def replace_in_metadata(xclbin: bytes, old: str, new: str, mode: Mode = Mode.SW_EMU) -> bytes:
    metadata = sections_of(xclbin)[Kind.EMBEDDED_METADATA].decode()
    assert old in metadata
    return rebuild(xclbin, {Kind.EMBEDDED_METADATA: metadata.replace(old, new).encode()}, mode)


def read(tmp_path: Path, data: bytes) -> KernelInfo:
    path = tmp_path / "card.xclbin"
    path.write_bytes(data)
    return read_xclbin(path)


def message_of(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(BadXclbin) as caught:
        read(tmp_path, data)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'card.xclbin'}: ")
    return message


@pytest.mark.parametrize("kernel", ["logits", "top5"])
def test_what_is_written_is_read(tmp_path: Path, network: Network, kernel: KernelVariant) -> None:
    path = tmp_path / "card.xclbin"
    write_xclbin(path, network, kernel)
    info = read_xclbin(path)
    assert info.path == path
    assert info.platform == "xilinx_u250_xdma_201830_2"
    assert (info.target, info.kernel, info.kernel_name) == ("software", kernel, "resnet50_1")
    assert [memory.name for memory in info.memories] == [
        *(f"bank{i}" for i in range(4)),
        *(f"PLRAM[{i}]" for i in range(4)),
    ]
    assert {name: bank.name for name, bank in info.banks.items()} == {
        "in": "bank0",
        "out": "bank0",
        "weightsmem": "PLRAM[0]",
    }
    assert info.banks["weightsmem"].size_bytes >= 1000 * 2048
    loaded = Network.from_bytes(info.network_bytes())
    for name in SHAPES:
        np.testing.assert_array_equal(loaded[name], network[name])
    assert len(repr(info)) < 2000  # the network stays out of log lines


def test_equal_networks_give_equal_bytes(network: Network, xclbin: bytes) -> None:
    assert software_xclbin(network) == xclbin
    other = Network.check({**network.arrays, "fc.bias": network["fc.bias"] + 1})
    uuids = {open_xclbin(io.BytesIO(data), "").uuid for data in (xclbin, software_xclbin(other))}
    uuids.add(open_xclbin(io.BytesIO(software_xclbin(network, "top5")), "").uuid)
    assert len(uuids) == 3


@pytest.mark.parametrize("kernel", ["logits", "top5"])
def test_pynq_reads_the_same(tmp_path: Path, network: Network, kernel: KernelVariant) -> None:
    path = tmp_path / "card.xclbin"
    write_xclbin(path, network, kernel)
    ours, pynqs = read_xclbin(path), XclBin(str(path))
    (name,) = pynqs.ip_dict
    ip = pynqs.ip_dict[name]
    assert (name, ip["xclbin_uuid"]) == (ours.kernel_name, ours.uuid)
    assert (ip["phys_addr"], ip["addr_range"], ip["hw_control_protocol"]) == (0x1800000, 0x1000, "ap_ctrl_hs")
    registers = ip["registers"]
    assert {name: registers[name]["address_offset"] for name in registers} == {
        "CTRL": 0,
        "in": 0x10,
        "out": 0x1C,
        "weightsmem": 0x28,
        "numReps": 0x34,
    }
    assert [registers[name]["size"] for name in ("in", "out", "weightsmem", "numReps")] == [64, 64, 64, 32]
    assert {name: registers[name]["memory"] for name in ours.banks} == {k: m.name for k, m in ours.banks.items()}
    assert "memory" not in registers["numReps"]
    assert list(pynqs.mem_dict) == [memory.name for memory in ours.memories]
    for memory in ours.memories:
        theirs = pynqs.mem_dict[memory.name]
        assert (theirs["base_address"], theirs["size"], theirs["used"], theirs["raw_type"]) == (
            memory.base_address,
            memory.size_bytes,
            memory.used,
            memory.type,
        )
    assert [clock["frequency"] for clock in pynqs.clock_dict.values()] == [250, 250, 50]


def test_a_hardware_image_of_the_published_kernel(tmp_path: Path, network: Network) -> None:
    data = software_xclbin(network, "top5")
    data = rebuild(data, {Kind.BITSTREAM: b"\x00\x09\x0f\xf0" * 1000})
    info = read(tmp_path, replace_in_metadata(data, 'target="software"', 'target="bitstream"', Mode.FLAT))
    assert (info.target, info.kernel) == ("hw", "top5")
    with pytest.raises(BadXclbin, match=r"no network in BITSTREAM: this xclbin is for target hw, a software card"):
        info.network_bytes()


@pytest.mark.parametrize(("mode", "target"), [(Mode.PR, "hw"), (Mode.HW_EMU, "hw_emu"), (Mode.SW_EMU, "sw_emu")])
def test_targets(tmp_path: Path, xclbin: bytes, mode: Mode, target: str) -> None:
    data = replace_in_metadata(xclbin, 'target="software"', 'target="hw_em"', mode)
    assert read(tmp_path, data).target == target


def test_grouped_sections_stand_in(tmp_path: Path, xclbin: bytes) -> None:
    sections = sections_of(xclbin)
    grouped = rebuild(
        xclbin,
        {
            Kind.MEM_TOPOLOGY: None,
            Kind.CONNECTIVITY: None,
            Kind.GROUP_TOPOLOGY: sections[Kind.MEM_TOPOLOGY],
            Kind.GROUP_CONNECTIVITY: sections[Kind.CONNECTIVITY],
        },
    )
    assert read(tmp_path, grouped).banks["weightsmem"].name == "PLRAM[0]"


@pytest.mark.parametrize("start", [b"", b"\x7fELF" + bytes(500), b"xclbin2", b"PK\x03\x04" + bytes(500), b"xclbin0\0"])
def test_foreign_files(tmp_path: Path, start: bytes) -> None:
    assert f"not an xclbin: it starts with {start[:8].hex(' ')}, expected 78 63 6c 62 69 6e 32 00" in message_of(
        tmp_path, start
    )


def test_truncated(tmp_path: Path, xclbin: bytes) -> None:
    size = len(xclbin)
    assert "truncated: 100 bytes, the headers alone take 456" in message_of(tmp_path, xclbin[:100])
    message = message_of(tmp_path, xclbin[:-1])
    assert f"truncated: {size - 1} bytes, its header says {size}; copy it again" in message
    many = bytearray(xclbin)
    struct.pack_into("<I", many, 448, 2**32 - 1)  # m_numSections
    assert f"truncated: {size} bytes cannot hold the 4294967295 sections" in message_of(tmp_path, bytes(many))


def test_a_section_out_of_bounds(tmp_path: Path, xclbin: bytes) -> None:
    damaged = bytearray(xclbin)
    struct.pack_into("<Q", damaged, 456 + 40 + 24, 2**63)  # m_sectionOffset of the second section
    assert f"section MEM_TOPOLOGY is out of bounds: bytes {2**63}.." in message_of(tmp_path, bytes(damaged))


@pytest.mark.parametrize("kind", [Kind.EMBEDDED_METADATA, Kind.IP_LAYOUT, Kind.BITSTREAM])
def test_a_missing_section(tmp_path: Path, xclbin: bytes, kind: Kind) -> None:
    message = message_of(tmp_path, rebuild(xclbin, {kind: None}))
    assert f"section {kind.name} is missing (sections found: " in message
    assert kind.name not in message.partition("found:")[2]


def test_missing_memories(tmp_path: Path, xclbin: bytes) -> None:
    message = message_of(tmp_path, rebuild(xclbin, {Kind.MEM_TOPOLOGY: None}))
    assert "section MEM_TOPOLOGY or GROUP_TOPOLOGY is missing" in message
    message = message_of(tmp_path, rebuild(xclbin, {Kind.CONNECTIVITY: None}))
    assert "section CONNECTIVITY or GROUP_CONNECTIVITY is missing" in message


def test_another_kernel(tmp_path: Path, xclbin: bytes) -> None:
    message = message_of(tmp_path, replace_in_metadata(xclbin, 'kernel name="resnet50"', 'kernel name="vadd"'))
    assert "no kernel named resnet50 (kernels found: vadd)" in message
    assert "(kernels found: none)" in message_of(tmp_path, rebuild(xclbin, {Kind.EMBEDDED_METADATA: b"<project/>"}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'offset="0x28"',
            'offset="0x24"',
            "has the arguments in at 0x10, out at 0x1C, weightsmem at 0x24, numReps at 0x34",
        ),
        (
            'name="weightsmem"',
            'name="weights"',
            "weights at 0x28, numReps at 0x34 with ids [0, 1, 2, 3], expected in at 0x10",
        ),
        ('id="3"', 'id="4"', "with ids [0, 1, 2, 4], expected"),
        ('offset="0x34"', 'offset=""', "has an id or offset that is no number"),
        (
            'type="int*"',
            'type="float*"',
            "argument out of kernel resnet50 has type 'float*', expected 'int*' (logits) or",
        ),
        ("instance", "example", "kernel resnet50 has no instance"),
        (
            'instance name="resnet50_1"',
            'instance name="resnet50_2"',
            "resnet50:resnet50_2 is not in section IP_LAYOUT (found: ",
        ),
        ("</project>", "", "section EMBEDDED_METADATA is not XML"),
    ],
)
def test_wrong_metadata(tmp_path: Path, xclbin: bytes, old: str, new: str, message: str) -> None:
    assert message in message_of(tmp_path, replace_in_metadata(xclbin, old, new))


def test_wrong_tables(tmp_path: Path, xclbin: bytes) -> None:
    some = pack_connections([Connection(0, 0, 0), Connection(3, 0, 0)])
    message = message_of(tmp_path, rebuild(xclbin, {Kind.CONNECTIVITY: some}))
    assert "connects no memory to argument out, weightsmem" in message
    beyond = pack_connections([Connection(0, 0, 8)])
    assert "names memory 8 of 8" in message_of(tmp_path, rebuild(xclbin, {Kind.CONNECTIVITY: beyond}))
    other = pack_ips([Ip("vadd:vadd_1", 1, 0)])
    assert "(found: vadd:vadd_1)" in message_of(tmp_path, rebuild(xclbin, {Kind.IP_LAYOUT: other}))
    cut = sections_of(xclbin)[Kind.MEM_TOPOLOGY][:-1]
    assert "announces 8 entries and has room for 7" in message_of(tmp_path, rebuild(xclbin, {Kind.MEM_TOPOLOGY: cut}))
    assert "has 3 bytes, too few" in message_of(tmp_path, rebuild(xclbin, {Kind.MEM_TOPOLOGY: b"abc"}))


def test_an_unknown_mode(tmp_path: Path, xclbin: bytes) -> None:
    data = bytearray(replace_in_metadata(xclbin, 'target="software"', 'target="bitstream"'))
    struct.pack_into("<H", data, 332, 9)  # m_mode
    assert "header mode is 9, expected 0..5" in message_of(tmp_path, bytes(data))


def test_a_software_xclbin_without_a_network(tmp_path: Path, xclbin: bytes) -> None:
    info = read(tmp_path, rebuild(xclbin, {Kind.BITSTREAM: b""}))
    with pytest.raises(BadXclbin, match=r"no network in BITSTREAM: it has 0 bytes and starts with '', expected"):
        info.network_bytes()


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(BadXclbin, match=r"cannot read xclbin .*absent.xclbin: No such file"):
        read_xclbin(tmp_path / "absent.xclbin")
    with pytest.raises(BadXclbin, match=r"cannot read xclbin .*: Is a directory"):
        read_xclbin(tmp_path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "card.xclbin"
    path.write_bytes(b"old")

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SetupError, match=re.escape(f"cannot write {path}: No space left on device")):
        write_xclbin(path, network)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_give_an_xclbin_or_bad_xclbin(tmp_path: Path, xclbin: bytes, data: st.DataObject) -> None:
    """Any damage to headers, tables or metadata gives a KernelInfo or BadXclbin, nothing else."""
    bitstream = len(sections_of(xclbin)[Kind.BITSTREAM])
    damaged = bytearray(xclbin)
    # The network's bytes are not looked at, so damage elsewhere.
    places = st.one_of(st.integers(0, 456 + 6 * 40), st.integers(456 + 6 * 40 + bitstream, len(xclbin) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(places)
        patch = data.draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8), b"&#0;"]))
        )
        damaged[place : place + len(patch)] = patch
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    with contextlib.suppress(BadXclbin):
        assert read(tmp_path, bytes(damaged)).kernel in ("logits", "top5")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.one_of(st.binary(max_size=200), st.text(alphabet="<>/&;! []?=\"'abc", max_size=60).map(str.encode)))
def test_any_metadata(tmp_path: Path, xclbin: bytes, metadata: bytes) -> None:
    """No section EMBEDDED_METADATA but the right one gives anything but BadXclbin."""
    message_of(tmp_path, rebuild(xclbin, {Kind.EMBEDDED_METADATA: metadata}))


def test_the_trained_network(tmp_path: Path, shared_data: Path) -> None:
    trained = Network.load(shared_data / "resnet50_w1a2_v1.npz")
    write_xclbin(tmp_path / "a.xclbin", trained)
    shutil.move(tmp_path / "a.xclbin", tmp_path / "b.xclbin")
    loaded = Network.from_bytes(read_xclbin(tmp_path / "b.xclbin").network_bytes())
    for name in SHAPES:
        np.testing.assert_array_equal(loaded[name], trained[name])
