"""Serve the Xilinx ResNet50-PYNQ accelerator, or a bit-exact software card, under NVIDIA Triton.

Without Triton, from Python:

    from resnet50_triton import decode_image, open_kernel

    with open_kernel("card.xclbin", "fcweights.csv") as kernel:
        print(kernel.run(decode_image(open("photo.jpg", "rb").read())[None]).top5)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["OpenKernel", "__version__", "decode_image", "open_kernel", "read_class_names"]

if TYPE_CHECKING:
    from .class_names import read_class_names
    from .decode import decode_image
    from .standalone.opened import OpenKernel, open_kernel
else:

    def __getattr__(name):
        """Import what is asked for, and PYNQ only with it: serving and decoding do without."""
        places = {"decode_image": "decode", "read_class_names": "class_names"}
        if name not in __all__:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        from importlib import import_module

        return getattr(import_module(f".{places.get(name, 'standalone.opened')}", __name__), name)
