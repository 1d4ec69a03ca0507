"""Xclbins: the files that program a card.

container.py   the file format, read and written
kernel_info.py the kernel in it: which one, its ports, the platform, the UUID
u250.py        the platform of the published xclbin
"""
