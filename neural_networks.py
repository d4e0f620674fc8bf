"""A two-layer neural network by hand: forward, loss, backward, update, in NumPy alone.

A batch X of N digits runs through two layers and comes out as probabilities P; the chain rule
carries the loss back to every weight; gradient descent moves each weight a little; and again.
dW1 is short for the derivative of the loss with respect to W1. Y is y one-hot: 1 where the label
is, else 0. A dot is a product of matrices, a star multiplies number by number.

    forward                                   backward
    Z1 = X·W1 + b1             (N, hidden)    dZ2 = (P - Y) / N                  (N, 10)
    A1 = tanh(Z1)              (N, hidden)    dW2 = A1ᵀ·dZ2                      (hidden, 10)
    Z2 = A1·W2 + b2            (N, 10)        db2 = dZ2 summed over the batch    (10,)
    P  = softmax(Z2)           (N, 10)        dA1 = dZ2·W2ᵀ                      (N, hidden)
    loss = -mean log P[label]                 dZ1 = dA1 * (1 - A1²)              (N, hidden)
                                              dW1 = Xᵀ·dZ1                       (784, hidden)
    update: W ← W - learning rate · dW        db1 = dZ1 summed over the batch    (hidden,)

`python neural_networks.py` trains it on MNIST; `lockstep verify neural_networks.py` checks every
number of it. Networks of any depth, with other optimizers, are in `lockstep/by_hand/`.
"""

import argparse

import numpy as np

PIXELS, CLASSES = 784, 10
NAMES = ("dense0.weight", "dense0.bias", "dense1.weight", "dense1.bias")  # W1, b1, W2, b2


def prepare(images):
    """Pixels from 0 to 255 as numbers from 0 to 1."""
    return images / 255


def initial_weights(rng, hidden):
    """Uniform within ±√(6 / (in + out)), biases 0: Glorot & Bengio 2010, equation 16."""
    limit1, limit2 = np.sqrt(6 / (PIXELS + hidden)), np.sqrt(6 / (hidden + CLASSES))
    W1 = rng.uniform(-limit1, limit1, (PIXELS, hidden))
    W2 = rng.uniform(-limit2, limit2, (hidden, CLASSES))
    return dict(zip(NAMES, (W1, np.zeros(hidden), W2, np.zeros(CLASSES)), strict=True))


def log_softmax(Z):
    """The logarithm of softmax, row by row (Goodfellow et al., Deep Learning, section 4.1)."""
    Z = Z - Z.max(axis=1, keepdims=True)  # changes no probability, and exp cannot overflow
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
    Y = np.eye(log_P.shape[1])[y]  # (N, 10)
    dZ2 = (np.exp(log_P) - Y) / len(y)
    dW2 = A1.T @ dZ2
    db2 = dZ2.sum(axis=0)
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 * (1 - A1**2)
    dW1 = X.T @ dZ1
    db1 = dZ1.sum(axis=0)
    return dict(zip(NAMES, (dW1, db1, dW2, db2), strict=True))


def step(weights, X, y, learning_rate):
    """One update by one batch: the loss before it, the gradients, the weights after it."""
    A1, log_P = forward(weights, X)
    gradients = backward(weights, X, y, A1, log_P)
    moved = {name: W - learning_rate * gradients[name] for name, W in weights.items()}
    return {"loss": cross_entropy(log_P, y), "gradients": gradients, "weights": moved}


def train(weights, X, y, batches, learning_rate):
    """One update for each batch of indices: the loss before each, the weights at the end."""
    losses = []
    for batch in batches:
        done = step(weights, X[batch], y[batch], learning_rate)
        weights = done["weights"]
        losses.append(done["loss"])
    return {"losses": losses, "weights": weights}


def answers(weights, X):
    """The most probable class of each image, (N,)."""
    return forward(weights, X)[1].argmax(axis=1)


def learn(data, hidden, learning_rate, batch_size, epochs, seed):
    """Train on a dataset; print loss and accuracy of each epoch, then the confusion matrix."""
    X, y = prepare(data.train.images), data.train.labels
    X_test, y_test = prepare(data.test.images), data.test.labels
    print(f"{PIXELS}-{hidden}-{CLASSES} on {data.title}: {len(X):,} training images")

    rng = np.random.default_rng(seed)
    weights = initial_weights(rng, hidden)
    for epoch in range(1, epochs + 1):
        batches = np.split(rng.permutation(len(X)), range(batch_size, len(X), batch_size))
        done = train(weights, X, y, batches, learning_rate)
        weights, loss = done["weights"], np.mean(done["losses"])
        right = (answers(weights, X_test) == y_test).mean()
        print(f"epoch {epoch:2}   loss {loss:.4f}   test accuracy {right:.2%}", flush=True)
    print(f"\ntraining accuracy {(answers(weights, X) == y).mean():.2%}")
    confusion = np.zeros((CLASSES, CLASSES), int)
    np.add.at(confusion, (y_test, answers(weights, X_test)), 1)
    print(f"\nconfusion matrix (rows: true digit, columns: answer)\n{confusion}")


def main(arguments=None):
    """Read the options, find or download MNIST, and learn."""
    parser = argparse.ArgumentParser(description="Train a two-layer network by hand on MNIST.")
    parser.add_argument("--hidden", type=int, default=128, help="hidden units (default: 128)")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate (default: 0.1)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step (default: 32)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the data (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--data-dir", help="folder with the four MNIST files (default: find them)")
    given = parser.parse_args(arguments)
    if min(given.hidden, given.batch_size, given.epochs) < 1 or given.seed < 0:
        parser.error("--hidden, --batch-size and --epochs must be 1 or more, --seed 0 or more")
    if not 0 < given.lr < np.inf:
        parser.error("--lr must be a number above 0")

    import lockstep  # only to find MNIST on this machine, or to download it

    try:
        data = lockstep.load_dataset(data_dir=given.data_dir)
        learn(data, given.hidden, given.lr, given.batch_size, given.epochs, given.seed)
    except lockstep.LockstepError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: interrupted.\n")


if __name__ == "__main__":
    main()
