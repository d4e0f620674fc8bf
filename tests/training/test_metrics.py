"""Metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from lockstep.training import metrics


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (500, 10)).astype("float32")
    logits[:, 7] = -50  # a class never answered
    labels = rng.integers(0, 9, 500)  # class 9 is absent
    return logits, labels


def test_loss_and_accuracy(answers):
    logits, labels = answers
    exact = logits.astype(float)
    probabilities = np.exp(exact - exact.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    score = metrics.evaluate(logits, labels)
    log_loss = -np.log(probabilities[np.arange(500), labels]).mean()
    assert score.loss == pytest.approx(log_loss, rel=1e-14)
    assert score.accuracy == sklearn_metrics.accuracy_score(labels, logits.argmax(1))


def test_confusion_matrix_and_precision_and_recall(answers):
    logits, labels = answers
    classes = np.arange(10)
    matrix = metrics.confusion_matrix(logits, labels)
    theirs = sklearn_metrics.confusion_matrix(labels, logits.argmax(1), labels=classes)
    assert (matrix == theirs).all()
    precision, recall, _, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, logits.argmax(1), labels=classes, zero_division=0
    )
    ours = metrics.precision_recall(matrix)
    assert np.allclose(ours[0], precision, rtol=1e-15) and np.allclose(ours[1], recall, rtol=1e-15)
