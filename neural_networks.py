"""A two-layer neural network by hand: forward, loss, backward, update, in NumPy alone.

A batch X of N digits runs through two layers and comes out as probabilities P; the chain rule
carries the loss back to every weight; gradient descent moves each weight a little; again.
dW1 is short for the derivative of the loss with respect to W1. Y is y one-hot: 1 where the label
is, else 0.

    forward                                   backward
    Z1 = X·W1 + b1             (N, hidden)    dZ2 = (P - Y) / N                  (N, 10)
    A1 = tanh(Z1)              (N, hidden)    dW2 = A1ᵀ·dZ2                      (hidden, 10)
    Z2 = A1·W2 + b2            (N, 10)        db2 = dZ2 summed over the batch    (10,)
    P  = softmax(Z2)           (N, 10)        dA1 = dZ2·W2ᵀ                      (N, hidden)
    loss = -mean log P[label]                 dZ1 = dA1 * (1 - A1²)              (N, hidden)
                                              dW1 = Xᵀ·dZ1                       (784, hidden)
    update                                    db1 = dZ1 summed over the batch    (hidden,)
    W ← W - learning rate · dW

`python neural_networks.py` trains it on MNIST; `lockstep verify neural_networks.py` checks every
number of it. Networks of any depth, with other optimizers, are in `lockstep/by_hand/`.
"""

import argparse
import sys
import time

import numpy as np

CLASSES = 10


def initial_weights(inputs, hidden, seed):
    """Uniform within ±√(6 / (in + out)), biases 0: Glorot & Bengio 2010, equation 16."""
    rng = np.random.default_rng(seed)
    weights = {}
    for layer, (n_in, n_out) in enumerate([(inputs, hidden), (hidden, CLASSES)]):
        limit = np.sqrt(6 / (n_in + n_out))
        weights[f"dense{layer}.weight"] = rng.uniform(-limit, limit, (n_in, n_out))
        weights[f"dense{layer}.bias"] = np.zeros(n_out)
    return weights


def log_softmax(Z):
    """The logarithm of softmax, row by row.

    The row's maximum is subtracted first, which changes no probability: the largest exponent is
    then exp(0), and nothing overflows (Goodfellow et al., Deep Learning, section 4.1).
    """
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def forward(weights, X):
    """What each layer gives for a batch X (N, 784): A1 (N, hidden) and log P (N, 10)."""
    W1, b1, W2, b2 = weights.values()
    Z1 = X @ W1 + b1
    A1 = np.tanh(Z1)
    Z2 = A1 @ W2 + b2
    return A1, log_softmax(Z2)


def cross_entropy(log_P, y):
    """The mean over the batch of -log P[label], in nats."""
    return -log_P[np.arange(len(y)), y].mean()


def backward(weights, X, y, A1, log_P):
    """The derivative of the loss with respect to every weight, from the last layer to the first.

    Softmax and logarithm together have the derivative P - Y (Bishop, PRML, equation 4.109); the
    1/N is that of the mean over the batch. tanh'(Z) = 1 - tanh(Z)².
    """
    W2 = weights["dense1.weight"]
    Y = np.eye(CLASSES)[y]  # (N, 10)
    dZ2 = (np.exp(log_P) - Y) / len(y)
    dW2 = A1.T @ dZ2
    db2 = dZ2.sum(axis=0)
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 * (1 - A1**2)
    dW1 = X.T @ dZ1
    db1 = dZ1.sum(axis=0)
    return dict(zip(weights, (dW1, db1, dW2, db2), strict=True))


def step(weights, images, labels, learning_rate):
    """One update of gradient descent; `lockstep verify` calls this function too."""
    A1, log_P = forward(weights, images)
    gradients = backward(weights, images, labels, A1, log_P)
    moved = {name: W - learning_rate * gradients[name] for name, W in weights.items()}
    return {"loss": cross_entropy(log_P, labels), "gradients": gradients, "weights": moved}


def accuracy(weights, X, y):
    """The share of images whose most probable class is the label."""
    return (forward(weights, X)[1].argmax(axis=1) == y).mean()


def confusion_matrix(weights, X, y):
    """Counts (10, 10): a row for each true digit, a column for each answer."""
    matrix = np.zeros((CLASSES, CLASSES), int)
    np.add.at(matrix, (y, forward(weights, X)[1].argmax(axis=1)), 1)
    return matrix


def main(arguments=None):
    """Train on MNIST; print loss and accuracy after each epoch, and the confusion matrix."""
    import lockstep  # only to find MNIST on this machine, or to download it

    parser = argparse.ArgumentParser(description="Train a two-layer network by hand on MNIST.")
    parser.add_argument("--hidden", type=int, default=128, help="hidden units (default: 128)")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate (default: 0.1)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step (default: 32)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the data (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--data-dir", help="folder with the four MNIST files (default: find them)")
    options = parser.parse_args(arguments)
    if min(options.hidden, options.batch_size, options.epochs) < 1 or options.seed < 0:
        parser.error("--hidden, --batch-size and --epochs must be 1 or more, --seed 0 or more")
    try:
        data = lockstep.load_dataset(data_dir=options.data_dir)
    except lockstep.LockstepError as error:
        parser.exit(2, f"neural_networks.py: {error}\n")
    X, y = data.train.images / 255, data.train.labels
    X_test, y_test = data.test.images / 255, data.test.labels

    weights = initial_weights(X.shape[1], options.hidden, options.seed)
    print(f"784-{options.hidden}-{CLASSES} on {data.title}: {len(X):,} training images")
    rng, begin = np.random.default_rng(options.seed), time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        order, losses = rng.permutation(len(X)), []
        for start in range(0, len(X), options.batch_size):
            batch = order[start : start + options.batch_size]
            done = step(weights, X[batch], y[batch], options.lr)
            weights = done["weights"]
            losses.append(done["loss"])
        seconds = time.perf_counter() - begin
        print(f"epoch {epoch:2}   loss {np.mean(losses):.4f}   {seconds:5.1f} s", flush=True)
    print(f"\ntraining accuracy {accuracy(weights, X, y):.2%}")
    print(f"test accuracy     {accuracy(weights, X_test, y_test):.2%}")
    print("\nconfusion matrix (rows: true digit, columns: answer)")
    print(confusion_matrix(weights, X_test, y_test))
    return 0


if __name__ == "__main__":
    sys.exit(main())
