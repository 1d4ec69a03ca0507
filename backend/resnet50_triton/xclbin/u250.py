"""The platform of the Alveo U250, as kernel_info.py writes it into an xclbin.

Addresses, sizes and names are those of the shell xilinx_u250_xdma_201830_2, with PLRAM[0] enlarged to 2 MB for the
weights, as the published build does (link/setup_plram.tcl of Xilinx/ResNet50-PYNQ).
"""

from __future__ import annotations

from .container import Clock, Connection, Memory, MemType

PLATFORM = "xilinx_u250_xdma_201830_2"
KERNEL_ADDRESS = 0x1800000
FEATURE_ROM_TIME = 1561656294
_GB, _KB = 2**30, 2**10
MEMORIES = (
    *(Memory(f"bank{i}", MemType.DDR4, i == 0, 0x4000000000 + i * 0x1000000000, 16 * _GB) for i in range(4)),
    Memory("PLRAM[0]", MemType.DRAM, True, 0x3000000000, 2048 * _KB),
    *(Memory(f"PLRAM[{i}]", MemType.DRAM, False, 0x3000000000 + i * 0x200000, 128 * _KB) for i in range(1, 4)),
)
CONNECTIONS = (Connection(0, 0, 0), Connection(1, 0, 0), Connection(2, 0, 4))  # in, out: bank0; weightsmem: PLRAM[0]
CLOCKS = (Clock("DATA_CLK", 1, 250), Clock("KERNEL_CLK", 2, 250), Clock("dma_pcie_aclk", 3, 50))
# EMBEDDED_METADATA: PYNQ finds the kernel, its arguments and its address in it.
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<project name="resnet50">
  <platform vendor="xilinx" boardid="u250" name="xdma" featureRomTime="1561656294">
    <version major="201830" minor="2"/>
    <board name="xilinx.com:au250:1.2" vendor="xilinx.com" fpga="xcu250-figd2104-2L-e"/>
    <host arch="pcie"/>
    <device name="fpga0" fpgaDevice="virtexuplus:xcu250:figd2104:-2L:e" addrWidth="0">
      <core name="OCL_REGION_0" target="software" type="clc_region" clockFreq="0MHz" numComputeUnits="60">
        <kernelClocks>
          <clock port="KERNEL_CLK" frequency="250MHz"/>
          <clock port="DATA_CLK" frequency="250MHz"/>
        </kernelClocks>
        <kernel name="resnet50" language="ip" vlnv="xilinx.com:hls:resnet50:1.0" attributes="" workGroupSize="1"
                preferredWorkGroupSizeMultiple="0" interrupt="false" hwControlProtocol="ap_ctrl_hs">
          <port name="M_AXI_GMEM0" mode="master" range="0xFFFFFFFF" dataWidth="512" portType="addressable" base="0x0"/>
          <port name="M_AXI_GMEM1" mode="master" range="0xFFFFFFFF" dataWidth="32" portType="addressable" base="0x0"/>
          <port name="M_AXI_GMEM2" mode="master" range="0xFFFFFFFF" dataWidth="512" portType="addressable" base="0x0"/>
          <port name="S_AXI_CONTROL" mode="slave" range="0x1000" dataWidth="32" portType="addressable" base="0x0"/>
          <arg name="in" addressQualifier="1" id="0" port="M_AXI_GMEM0" size="0x8" offset="0x10"
               hostOffset="0x0" hostSize="0x8" type="ap_uint&lt;512>*"/>
          <arg name="out" addressQualifier="1" id="1" port="M_AXI_GMEM1" size="0x8" offset="0x1C"
               hostOffset="0x0" hostSize="0x8" type="{out_type}"/>
          <arg name="weightsmem" addressQualifier="1" id="2" port="M_AXI_GMEM2" size="0x8" offset="0x28"
               hostOffset="0x0" hostSize="0x8" type="ap_uint&lt;512>*"/>
          <arg name="numReps" addressQualifier="0" id="3" port="S_AXI_CONTROL" size="0x4" offset="0x34"
               hostOffset="0x0" hostSize="0x4" type="uint"/>
          <compileWorkGroupSize x="1" y="1" z="1"/>
          <maxWorkGroupSize x="1" y="1" z="1"/>
          <instance name="resnet50_1">
            <addrRemap base="0x1800000" range="0x1000" port="S_AXI_CONTROL"/>
          </instance>
        </kernel>
      </core>
    </device>
  </platform>
</project>
"""
