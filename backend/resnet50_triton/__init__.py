"""Serve the Xilinx ResNet50-PYNQ accelerator, or a bit-exact software card, under NVIDIA Triton."""

__version__ = "0.1.0"
