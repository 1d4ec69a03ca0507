"""The W1A2 network: binary weights, 2-bit activations.

parameters.py  what a network consists of, and net.npz      importer.py, hls_source.py  it, read from upstream's sources
reference.py   defines the result, in NumPy                  engine.py, native/          the same bits, fast
"""
