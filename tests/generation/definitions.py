"""What the rules of decoding are by definition: plain NumPy, one row, by sorting."""

import numpy as np


def softmax(logits):
    z = np.exp(logits - np.max(logits))
    return z / z.sum()


def keep(logits, kept):
    return np.where(kept, logits, -np.inf)


def repetition_penalty(logits, seen, penalty):
    z = logits.copy()
    for v in set(seen):
        z[v] = z[v] * penalty if z[v] < 0 else z[v] / penalty
    return z


def top_k(logits, k):
    return keep(logits, logits >= np.sort(logits)[::-1][:k][-1])


def top_p(logits, p):
    return keep(logits, logits >= logits[_nearest(-logits, softmax(logits), p)].min())


def min_p(logits, p):
    return keep(logits, softmax(logits) >= p * softmax(logits).max())


def typical_p(logits, p):
    probability = softmax(logits)
    surprisal = -np.log(np.where(probability > 0, probability, 1))
    distance = np.abs(surprisal - (probability * surprisal).sum())
    distance[probability == 0] = np.inf
    return keep(logits, distance <= distance[_nearest(distance, probability, p)].max())


def _nearest(distance, probability, p):
    """The first indices by distance that together have a probability of p."""
    order = np.argsort(distance, kind="stable")
    enough = np.cumsum(probability[order]) >= p
    return order[: 1 + (np.argmax(enough) if enough.any() else len(order))]
