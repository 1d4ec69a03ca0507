"""Triton's side: what the two model.py of `model_repository/` call. The runtime does not know it.

kernel_model.py  resnet50: requests as jobs, results as responses    preprocess_model.py  preprocess: images to pixels
config.py        the configuration, completed from the xclbin        parameters.py        the parameters of each model
inflight.py      holds decoding back                                 metrics.py           publishes the metrics
batch_strategy.cpp   which requests Triton batches
"""
