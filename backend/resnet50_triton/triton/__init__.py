"""Triton's side: what the two model.py of `model_repository/` call. The runtime does not know it.

kernel_model.py  resnet50: requests as jobs, results as responses    preprocess_model.py  preprocess: images to pixels
config.py        the configuration, completed from the xclbin        parameters.py        the parameters of each model
inline.py        which requests are run inline                       inflight.py          holds decoding back
metrics.py       the metrics, published through Triton        batch_strategy.cpp   which requests Triton batches
"""
