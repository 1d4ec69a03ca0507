"""Make probabilities of the logits that `resnet50-client accuracy --logits logits.npy` wrote, by temperature scaling.

    pip install scipy
    python examples/probabilities.py

The temperature fits the ground truth in logits.files.csv (C. Guo et al., 2017): the first class of each image that has
a label.
"""

import csv
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

logits = np.load("logits.npy").astype(float)
with Path("logits.files.csv").open(newline="", errors="replace") as file:
    truth = [row["label"].split() for row in csv.DictReader(file)]
rows = [i for i, classes in enumerate(truth) if classes]
labels = [int(truth[i][0]) for i in rows]


def loss(log_t: float) -> float:
    """The mean negative log-likelihood at a temperature, given by its logarithm."""
    return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean())


log_t = minimize_scalar(loss, bounds=(0, np.log(np.abs(logits).max())), method="bounded").x
# Mislabelled images: cleanlab.filter.find_label_issues(labels, probabilities[rows])
probabilities = softmax(logits / np.exp(log_t), axis=1)
print(probabilities.max(axis=1).mean())
