"""My network: one step of training, to be compared with the network by hand.

    lockstep verify my_network.py

runs this file, compares every number it returns with the reference, and says which is the first
wrong one and, where the numbers tell, why. As it stands the file is right: 784 pixels, one hidden
layer with tanh, 10 classes, plain gradient descent. Replace its lines by yours.

The file needs `step`, or `train`, or a class `Network`; `prepare` is optional. Each may return
less than it could: what is not returned is not judged. Use any library you like.
"""

import numpy as np


def step(weights, images, labels, learning_rate):
    """One update on one batch.

    weights         {"dense0.weight": (784, hidden), "dense0.bias": (hidden,),
                     "dense1.weight": (hidden, 10), "dense1.bias": (10,)}; deeper networks go on
                     with dense2 and so on
    images          (N, 784), pixels scaled to 0…1; the last batch is smaller
    labels          (N,), integers 0 to 9

    Returns a dictionary with "loss" (a number: the mean over the batch), "gradients" and "weights"
    (after the update), the last two named and shaped as the weights that came in; any of the three
    alone will do. The next call gets the weights returned here. What momentum or Adam remember may
    be kept in global variables. A last call has weights that make some logits 60 apart: a loss that
    takes the logarithm of clipped probabilities shows there.
    """
    W1, b1 = weights["dense0.weight"], weights["dense0.bias"]
    W2, b2 = weights["dense1.weight"], weights["dense1.bias"]
    N = len(images)
    Y = np.eye(10)[labels]  # (N, 10), one-hot

    # Forward.
    A1 = np.tanh(images @ W1 + b1)  # (N, hidden)
    Z2 = A1 @ W2 + b2  # (N, 10), the logits
    Z2 = Z2 - Z2.max(axis=1, keepdims=True)  # softmax stays as it is, and exp cannot overflow
    log_P = Z2 - np.log(np.exp(Z2).sum(axis=1, keepdims=True))
    loss = -(Y * log_P).sum() / N

    # Backward.
    dZ2 = (np.exp(log_P) - Y) / N  # (N, 10)
    dZ1 = (dZ2 @ W2.T) * (1 - A1 * A1)  # (N, hidden)
    gradients = {
        "dense0.weight": images.T @ dZ1,
        "dense0.bias": dZ1.sum(axis=0),
        "dense1.weight": A1.T @ dZ2,
        "dense1.bias": dZ2.sum(axis=0),
    }

    # Update.
    weights = {name: W - learning_rate * gradients[name] for name, W in weights.items()}
    return {"loss": loss, "gradients": gradients, "weights": weights}


def prepare(images):
    """Turn pixels (N, 784), uint8 from 0 to 255, into what `step` and `train` get."""
    return images / 255


def train(weights, images, labels, batches, learning_rate):
    """Train on a small set; `batches` lists the indices of each batch, two epochs of them.

    Returns a dictionary with "losses" (one for each batch, before its update) or "weights" (at the
    end) or both. It is called a second time with learning rate 0, which shows the order alone.
    """
    losses = []
    for batch in batches:
        done = step(weights, images[batch], labels[batch], learning_rate)
        losses.append(done["loss"])
        weights = done["weights"]
    return {"losses": losses, "weights": weights}


# A network that already keeps Lockstep's contract can stand here instead of `step`:
#
#     from lockstep.backends.contract import Backend, Step
#
#     class Network(Backend):
#         ...
