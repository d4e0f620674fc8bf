"""The network of `lockstep/by_hand/` compiled by Numba: the same formulas, laid out for speed.

What makes it fast, on MNIST:

- Four pixels of five are 0, and 0 times a weight is nothing: only the lit ones are kept, as
  (value, column), and the first layer, 97 % of all weights, meets no other.
- Every thread owns some units of each hidden layer, and of every layer the weights that touch its
  units: their derivatives and the optimizer's memory are its own too and stay in its own cache.
  Nothing is shared but sums over units, (N, units) for a layer that follows a hidden one. With one
  hidden layer the threads meet once in a step.
- A shuffled batch lies all over memory: while one image is computed, the third after it is fetched.
- A thread stays in compiled code for a whole series of steps. To meet, it writes down how far it
  is and reads how far the others are: 0.2 µs, where starting a parallel loop takes ten.
- The optimizer passes over memory once, and clears the derivatives for the next step as it goes.
- Rows are padded with zeros to whole cache lines, and computed as the processor's wide registers.
- The first layer is computed some columns at a time, for the whole batch: those of the weights lie
  together (200 kB) and stay in the cache, however wide the layer is.

Letters are those of `lockstep/by_hand/`. What one thread has of a matrix, per layer:

    layer 0        W  (inputs, width)    the weights into my units of the first hidden layer, in
                                         blocks of columns, one after the other: that which begins
                                         with column k begins k·inputs numbers after W does
    later layers   U  (units, width)     the weights out of my units, transposed: W[mine].T
    every layer    b  (width)            the biases of my units; thread 0 owns all the logits

All compiled code is in this one file, because Numba's cache notices a change in this file alone.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, event
from numba.extending import intrinsic, models, register_model

LINE = 64
"""Bytes of a cache line, and of the widest register that processors have (AVX-512)."""
BLOCK = 4 * LINE
"""Bytes of a row that are summed at once: four sums that do not wait for one another."""

OPTIMIZERS = {"sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 2, "adam": 3, "adamw": 3}
ACTIVATIONS = {"relu": 0, "tanh": 1, "sigmoid": 2}
SGD, MOMENTUM, RMSPROP, ADAM = range(4)
RELU, TANH, SIGMOID = range(3)

OPTIONS = {
    # a·b + c may be rounded once instead of twice. NaN and infinity keep their meaning.
    "fastmath": {"contract"},
    "error_model": "numpy",  # x / 0 is infinity, not an exception
    "nogil": True,  # Python's other threads run meanwhile
}
compiled = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)
"""For what compiled code alone calls: without what Python would need, it compiles faster."""


def entry(function: Callable[..., Any], **changes: Any) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep the machine code on disk.

    Numba puts it beside this file, else into the user's cache folder; NUMBA_CACHE_DIR says where.
    """
    options = OPTIONS | changes
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # nowhere to write
        return njit(function, **options)


exact_entry = partial(entry, fastmath=False)
"""The same for a function that rounds as often as NumPy does."""


@contextmanager
def compiling(say: Callable[[], None]) -> Iterator[None]:
    """Call `say` when `train` has to be compiled within the block, because no cache has it."""

    class Listener(event.Listener):
        def on_start(self, event: event.Event) -> None:
            if event.data["dispatcher"] is train:
                say()

        def on_end(self, event: event.Event) -> None: ...

    with event.install_listener("numba:compile", Listener()):
        yield


# --- What goes in ---------------------------------------------------------------------------------


class Images(NamedTuple):
    """A training set: the lit pixels alone (compressed sparse rows), or, if most are lit, all."""

    values: np.ndarray
    """(lit,) of image 0, then of image 1, …"""
    columns: np.ndarray
    """(lit,) uint16: which pixel each is."""
    starts: np.ndarray
    """(N + 1,) int64: image i has the lit pixels starts[i] to starts[i + 1]."""
    dense: np.ndarray
    """(N * inputs,), or (0,) where the lit pixels are used."""


class Net(NamedTuple):
    """What all threads know of the network."""

    sizes: np.ndarray
    """(layers + 1,): pixels, hidden units, classes."""
    activation: int
    optimizer: int
    keras: bool
    """Whose momentum and RMSprop; Adam's dialect is in its epsilon."""
    nesterov: bool
    l2: float
    constants: np.ndarray
    """(2,) of the optimizer, in the network's dtype: μ; 1 - ρ; 1 - β₁ and 1 - β₂."""


class Shard(NamedTuple):
    """One thread's part: its units of each layer, and what it knows about them."""

    me: int
    first: np.ndarray
    """(layers,): the first of each layer's units that is mine."""
    last: np.ndarray
    """(layers,): the first that is not mine any more."""
    W_at: np.ndarray
    """(layers,): where each layer's matrix begins in the four vectors below."""
    b_at: np.ndarray
    """(layers,): likewise each layer's biases."""
    theta: np.ndarray
    gradient: np.ndarray
    """All zeros between two steps."""
    memory1: np.ndarray
    memory2: np.ndarray
    """The optimizer's: velocity; or v; or m and v. Not used: (0,)."""


class Workspace(NamedTuple):
    """Where one thread computes a batch of at most N examples."""

    A: np.ndarray
    """Outputs of my hidden units, for each layer (N, width)."""
    A_at: np.ndarray
    """(layers,): where each layer begins in A."""
    D: np.ndarray
    """Derivatives by the inputs of my units of one layer, (N, width)."""
    logits: np.ndarray
    """(N, classes), then the derivatives by them."""
    X: np.ndarray
    """(N * inputs,): the batch; (0,) unless the images are dense."""


class Shared(NamedTuple):
    """What the threads share."""

    arrived: np.ndarray
    """(threads * 8,) int64: how often each has met the others; a cache line for each."""
    sums: np.ndarray
    """(2, threads, N * units): each thread's share of Z, for every layer but the first. Steps use
    the two in turns, so that nobody writes into what another still reads."""
    sums_at: np.ndarray
    """(layers,): where each layer begins in a row of `sums`, and in `dZ`."""
    dZ: np.ndarray
    """(N * units,): derivatives by Z of the hidden layers but the first."""


class Plan(NamedTuple):
    """A series of batches, and what each step's optimizer needs."""

    labels: np.ndarray
    """(images,) int64."""
    order: np.ndarray
    """All batches' indices, one after the other."""
    ends: np.ndarray
    """(steps + 1,): batch s is order[ends[s]:ends[s + 1]]."""
    numbers: np.ndarray
    """(steps, 3) in the network's dtype: rate, epsilon, and the factor by which weights shrink.
    (0, 3) if nothing is to be learned."""
    keep: bool
    """Leave the derivatives for somebody to read, instead of clearing them."""


class Result(NamedTuple):
    """What comes out."""

    losses: np.ndarray
    """(steps,) float64, without the penalty."""
    squares: np.ndarray
    """(threads, steps) float64: each one's sum of W², if there is a penalty."""
    correct: np.ndarray
    """(steps,) int64."""
    logits: np.ndarray
    """(examples * classes,), or (0,) if nobody asks for them."""


# --- The machine's words: wide registers, and memory that threads share ---------------------------


class Lanes(types.Type):
    """Numbers that are computed together, side by side in registers."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """LLVM's own vector type, which it spreads over as many registers as the processor needs."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        one = manager.lookup(lanes.dtype).get_value_type()
        super().__init__(manager, lanes, ir.VectorType(one, lanes.count))


def _zeros(size: int) -> Callable[..., Any]:
    def zeros(context, array):
        lanes = Lanes(array.dtype, size * 8 // array.dtype.bitwidth)

        def generate(context, builder, signature, arguments):
            return cgutils.get_null_value(context.get_value_type(lanes))

        return lanes(array), generate

    return zeros


line_of_zeros = intrinsic(_zeros(LINE))
block_of_zeros = intrinsic(_zeros(BLOCK))


def _pointer(context, builder, array, arguments):
    """The address of array[i], where (array, i) are the first arguments."""
    struct = context.make_array(array)(context, builder, arguments[0])
    return builder.gep(struct.data, [arguments[1]])


@intrinsic
def load(context, vector, i, like):
    """The numbers vector[i], vector[i + 1], …, as many as `like` has."""

    def generate(context, builder, signature, arguments):
        lanes = context.get_value_type(like).as_pointer()
        pointer = builder.bitcast(_pointer(context, builder, vector, arguments), lanes)
        return builder.load(pointer, align=vector.dtype.bitwidth // 8)

    return like(vector, types.intp, like), generate


@intrinsic
def scalar(context, vector, i):
    """vector[i] for the innermost loops, without asking whether i counts from the end."""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, vector, arguments))

    return vector.dtype(vector, types.intp), generate


@intrinsic
def prefetch(context, vector, i):
    """Have the cache line of vector[i] come from memory, and do not wait for it."""

    def generate(context, builder, signature, arguments):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        pointer = builder.bitcast(_pointer(context, builder, vector, arguments), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        llvm = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_read, into_every_cache, data = (ir.Constant(word, k) for k in (0, 3, 1))
        builder.call(llvm, [pointer, to_read, into_every_cache, data])
        return context.get_dummy_value()

    return types.void(vector, types.intp), generate


@intrinsic
def store(context, vector, i, lanes):
    """Write the lanes to vector[i], vector[i + 1], …"""

    def generate(context, builder, signature, arguments):
        wide = context.get_value_type(lanes).as_pointer()
        pointer = builder.bitcast(_pointer(context, builder, vector, arguments), wide)
        builder.store(arguments[2], pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(vector, types.intp, lanes), generate


@intrinsic
def add_times(context, total, x, lanes):
    """total + x·lanes in every lane; x is one number for all, or lanes too."""
    factor = x if isinstance(x, Lanes) else lanes.dtype

    def generate(context, builder, signature, arguments):
        total, x, row = arguments
        if factor == lanes.dtype:
            kind = context.get_value_type(lanes)
            nothing, zero = ir.Constant(kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None)
            one = builder.insert_element(nothing, x, zero)
            x = builder.shuffle_vector(one, nothing, everywhere)
        product = builder.fmul(x, row, flags=("contract",))
        return builder.fadd(total, product, flags=("contract",))

    return lanes(lanes, factor, lanes), generate


@intrinsic
def sum_of(context, lanes):
    """The sum of all lanes: halves are added until one is left."""

    def generate(context, builder, signature, arguments):
        (rest,), count = arguments, lanes.count
        while count > 1:
            count //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(k, k + count)))
                for k in (0, count)
            )
            rest = builder.fadd(
                builder.shuffle_vector(rest, rest, low), builder.shuffle_vector(rest, rest, high)
            )
        return builder.extract_element(rest, ir.Constant(ir.IntType(32), 0))

    return lanes.dtype(lanes), generate


@intrinsic
def publish(context, array, i, value):
    """array[i] = value, seen by other threads after all that this one has written before."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, arguments)
        builder.store_atomic(arguments[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def observe(context, array, i):
    """array[i] as another thread has published it, and with it all that it had written before."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_pointer(context, builder, array, arguments), "acquire", 8)

    return array.dtype(array, types.intp), generate


_yield = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
let_others_run = types.ExternalFunction(_yield, types.intc())
PATIENCE = 2_000
"""Looks at another thread's count (about 2 µs) before the core is offered to other programs."""


@compiled
def meet(me, arrived):
    """Wait until every thread has come this far; then all see what each has written."""
    mine = arrived[me * 8] + 1
    publish(arrived, me * 8, mine)
    for other in range(0, len(arrived), 8):
        looks = 0
        while observe(arrived, other) < mine:
            looks += 1
            if looks > PATIENCE:
                let_others_run()


# --- Products -------------------------------------------------------------------------------------
# Matrices are flat vectors here: `at` is where one begins, `width` how long a row is. Widths are
# whole lines, so no product has a remainder.


@compiled
def copy(count, source, source_at, to, to_at):
    """`count` numbers from one vector into another. (A slice would be slow to compile.)"""
    for k in range(count):
        to[to_at + k] = source[source_at + k]


@compiled
def clear(vector, at, count):
    """Write zeros."""
    for k in range(count):
        vector[at + k] = 0


@compiled
def round_up(units, vector):
    """The units padded to whole lines."""
    lanes = LINE // vector.itemsize
    return (units + lanes - 1) // lanes * lanes


@compiled
def multiply(x, x_at, step, stride, rows, count, M, at, width, out, out_at):
    """out (rows, width) += x·M for x (rows, count), M (count, width).

    x[r, n] is x[x_at + r·step + n·stride], so that a transposed x needs no copy.
    """
    block, line = BLOCK // out.itemsize, LINE // out.itemsize
    wide, x_rows = width // block * block, (x, x_at, step, stride, rows, count)
    for k in range(0, wide, block):
        multiply_columns(block_of_zeros(out), *x_rows, M, at + k, width, out, out_at + k, width)
    for k in range(wide, width, line):
        multiply_columns(line_of_zeros(out), *x_rows, M, at + k, width, out, out_at + k, width)


@compiled
def multiply_columns(
    like, x, x_at, step, stride, rows, count, M, at, width, out, out_at, out_width
):
    """`multiply` for some columns, as many as `like` has lanes; M and out have rows of any width.

    Four rows at once: each row of M is read once for all four.
    """
    fours = rows // 4 * 4
    for r in range(0, fours, 4):
        to, first = out_at + r * out_width, x_at + r * step
        a, b = load(out, to, like), load(out, to + out_width, like)
        c, d = load(out, to + 2 * out_width, like), load(out, to + 3 * out_width, like)
        for n in range(count):
            here, row = first + n * stride, load(M, at + n * width, like)
            a = add_times(a, scalar(x, here), row)
            b = add_times(b, scalar(x, here + step), row)
            c = add_times(c, scalar(x, here + 2 * step), row)
            d = add_times(d, scalar(x, here + 3 * step), row)
        store(out, to, a)
        store(out, to + out_width, b)
        store(out, to + 2 * out_width, c)
        store(out, to + 3 * out_width, d)
    for r in range(fours, rows):
        to, first = out_at + r * out_width, x_at + r * step
        total = load(out, to, like)
        for n in range(count):
            row = load(M, at + n * width, like)
            total = add_times(total, scalar(x, first + n * stride), row)
        store(out, to, total)


@compiled
def multiply_transposed(A, A_at, rows, U, U_at, columns, width, out, out_at):
    """out (rows, columns) += A·Uᵀ for A (rows, width), U (columns, width).

    Four columns at once: their sums do not wait for one another.
    """
    fours = columns // 4 * 4
    for r in range(rows):
        row, to = A_at + r * width, out_at + r * columns
        for c in range(0, fours, 4):
            one, two, three, four = four_dots(A, row, U, U_at + c * width, width)
            out[to + c] += one
            out[to + c + 1] += two
            out[to + c + 2] += three
            out[to + c + 3] += four
        for c in range(fours, columns):
            out[to + c] += dot(A, row, U, U_at + c * width, width)


@compiled
def dot(A, A_at, U, U_at, width):
    """The sum of the products of two rows."""
    total = line_of_zeros(A)
    for k in range(0, width, LINE // A.itemsize):
        total = add_times(total, load(A, A_at + k, total), load(U, U_at + k, total))
    return sum_of(total)


@compiled
def four_dots(A, A_at, U, U_at, width):
    """`dot` of one row with four that follow one another."""
    one = two = three = four = line_of_zeros(A)
    for k in range(0, width, LINE // A.itemsize):
        a, u = load(A, A_at + k, one), U_at + k
        one = add_times(one, a, load(U, u, one))
        two = add_times(two, a, load(U, u + width, one))
        three = add_times(three, a, load(U, u + 2 * width, one))
        four = add_times(four, a, load(U, u + 3 * width, one))
    return sum_of(one), sum_of(two), sum_of(three), sum_of(four)


@compiled
def add_sums(M, rows, width, out, out_at):
    """out (width,) += the sum of M's rows; M (rows, width) begins its vector."""
    one = M.dtype.type(1)
    for k in range(0, width, LINE // M.itemsize):
        total = load(out, out_at + k, line_of_zeros(out))
        for r in range(rows):
            total = add_times(total, one, load(M, r * width + k, total))
        store(out, out_at + k, total)


# --- The first layer, where the pixels are --------------------------------------------------------

AHEAD = 3
"""How far in the batch the image that is fetched is after the one that is computed meanwhile."""


@compiled
def first_layer(inputs, images, batch, shard, workspace, width):
    """Z1 = X·W1 + b1 of my units, (N, width), into the first layer's place in A."""
    block, line = BLOCK // shard.theta.itemsize, LINE // shard.theta.itemsize
    wide = width // block * block
    if len(images.dense) > 0:
        for i in range(len(batch)):
            copy(inputs, images.dense, batch[i] * inputs, workspace.X, i * inputs)
    for k in range(0, wide, block):
        like = block_of_zeros(shard.theta)
        first_columns(like, block, inputs, images, batch, shard, workspace, k, width)
    for k in range(wide, width, line):
        like = line_of_zeros(shard.theta)
        first_columns(like, line, inputs, images, batch, shard, workspace, k, width)


@compiled
def first_columns(like, lanes, inputs, images, batch, shard, workspace, k, width):
    """The columns of Z1 from k on, as many as `like` has lanes."""
    theta, Z, W = shard.theta, workspace.A, shard.W_at[0] + k * inputs
    bias = load(theta, shard.b_at[0] + k, like)
    if len(images.dense) > 0:
        for i in range(len(batch)):
            store(Z, i * width + k, bias)
        rows = workspace.X, 0, inputs, 1, len(batch), inputs
        multiply_columns(like, *rows, theta, W, lanes, Z, k, width)
        return
    for i in range(len(batch)):
        if i + AHEAD < len(batch):
            fetch(images, batch[i + AHEAD])
        total = add_lit_rows(bias, images, batch[i], theta, W, lanes)
        store(Z, i * width + k, total)


@compiled
def fetch(images, image):
    """Have an image's lit pixels come from memory.

    No processor can guess where the next image of a shuffled batch is; waiting for it took as long
    as computing it.
    """
    start, end = images.starts[image], images.starts[image + 1]
    for n in range(start, end, LINE // images.values.itemsize):
        prefetch(images.values, n)
    for n in range(start, end, LINE // images.columns.itemsize):
        prefetch(images.columns, n)


@compiled
def add_lit_rows(total, images, image, M, at, width):
    """total + the sum over the image's lit pixels of their value · their row of M."""
    for n in range(images.starts[image], images.starts[image + 1]):
        row = load(M, at + scalar(images.columns, n) * width, total)
        total = add_times(total, scalar(images.values, n), row)
    return total


@compiled
def first_layer_derivative(inputs, images, batch, shard, workspace, width):
    """dW1 = Xᵀ·dZ1, of my units: a pixel that is 0 adds nothing to its row of dW1."""
    block, line = BLOCK // shard.theta.itemsize, LINE // shard.theta.itemsize
    wide = width // block * block
    for k in range(0, wide, block):
        like = block_of_zeros(shard.theta)
        first_columns_derivative(like, block, inputs, images, batch, shard, workspace, k, width)
    for k in range(wide, width, line):
        like = line_of_zeros(shard.theta)
        first_columns_derivative(like, line, inputs, images, batch, shard, workspace, k, width)


@compiled
def first_columns_derivative(like, lanes, inputs, images, batch, shard, workspace, k, width):
    """The columns of dW1 from k on, as many as `like` has lanes."""
    G, D, W = shard.gradient, workspace.D, shard.W_at[0] + k * inputs
    if len(images.dense) > 0:
        rows = workspace.X, 0, 1, inputs, inputs, len(batch)
        multiply_columns(like, *rows, D, k, width, G, W, lanes)
        return
    for i in range(len(batch)):
        add_to_lit_rows(load(D, i * width + k, like), images, batch[i], G, W, lanes)


@compiled
def add_to_lit_rows(row, images, image, M, at, width):
    """To each row of M that belongs to a lit pixel of the image, add its value · row."""
    for n in range(images.starts[image], images.starts[image + 1]):
        to = at + scalar(images.columns, n) * width
        store(M, to, add_times(load(M, to, row), scalar(images.values, n), row))


# --- Activations, each beside its derivative ------------------------------------------------------


@compiled
def activate(kind, A, at, rows, units, width):
    """A = g(Z) in place, for my units; the padding stays 0."""
    half, one, zero = A.dtype.type(0.5), A.dtype.type(1), A.dtype.type(0)
    for row in range(at, at + rows * width, width):
        if kind == RELU:
            for k in range(row, row + units):
                a = A[k]
                A[k] = zero if a < zero else a  # NaN stays NaN
        elif kind == TANH:
            for k in range(row, row + units):
                A[k] = math.tanh(A[k])
        else:
            for k in range(row, row + units):
                A[k] = half * (one + math.tanh(half * A[k]))


@compiled
def times_slope(kind, D, A, at, count):
    """D = dA * g'(Z), where g' is written with A = g(Z)."""
    one, zero = A.dtype.type(1), A.dtype.type(0)
    if kind == RELU:
        for k in range(count):
            d, a = D[k], A[at + k]
            D[k] = d if a > zero else zero
    elif kind == TANH:
        for k in range(count):
            D[k] *= one - A[at + k] * A[at + k]
    else:
        for k in range(count):
            D[k] *= A[at + k] * (one - A[at + k])


# --- Forward, loss, backward ----------------------------------------------------------------------


@compiled
def my_width(shard, layer):
    """My units of this layer, padded."""
    return round_up(shard.last[layer] - shard.first[layer], shard.theta)


@compiled
def forward(net, shard, workspace, shared, sums, images, batch):
    """The batch's logits (N, classes), into workspace.logits of every thread."""
    layers, n = len(shard.first), len(batch)
    first_layer(net.sizes[0], images, batch, shard, workspace, my_width(shard, 0))
    for layer in range(1, layers):
        before, at = my_width(shard, layer - 1), workspace.A_at[layer - 1]
        units, mine = net.sizes[layer + 1], shard.last[layer] - shard.first[layer]
        activate(
            net.activation,
            workspace.A,
            at,
            n,
            shard.last[layer - 1] - shard.first[layer - 1],
            before,
        )

        # My share of Z: what my units say, and, once in all threads, the biases.
        share, sums_at = sums[shard.me], shared.sums_at[layer]
        clear(share, sums_at, n * units)
        for i in range(n):
            to = sums_at + i * units + shard.first[layer]
            copy(mine, shard.theta, shard.b_at[layer], share, to)
        weights = shard.theta, shard.W_at[layer], units, before
        multiply_transposed(workspace.A, at, n, *weights, share, sums_at)
        meet(shard.me, shared.arrived)

        if layer < layers - 1:
            add_up(sums, sums_at, n, units, shard.first[layer], shard.last[layer], workspace.A,
                   workspace.A_at[layer], my_width(shard, layer))  # fmt: skip
        else:
            add_up(sums, sums_at, n, units, 0, units, workspace.logits, 0, units)
    if layers == 1:
        take_logits(workspace, n, net.sizes[1], my_width(shard, 0))


@compiled
def add_up(sums, at, rows, units, first, last, out, out_at, width):
    """Z = the sum of all threads' shares, of the units from first to last; out (rows, width)."""
    clear(out, out_at, rows * width)
    for other in range(len(sums)):
        for i in range(rows):
            for k in range(last - first):
                out[out_at + i * width + k] += sums[other, at + i * units + first + k]


@compiled
def take_logits(workspace, rows, classes, width):
    """Without hidden layers the first layer's Z are the logits, but for the padding."""
    for i in range(rows):
        copy(classes, workspace.A, i * width, workspace.logits, i * classes)


@compiled
def loss_derivative(Z, labels, batch, classes):
    """dZ = (softmax(Z) - Y) / N into Z; returns the mean loss, and how many answers were right.

    As in `lockstep/by_hand/`: the row's maximum is taken out first, so that no exp overflows.
    """
    loss, correct = 0.0, 0
    n = Z.dtype.type(len(batch))
    for i in range(len(batch)):
        row, label = Z[i * classes : (i + 1) * classes], labels[batch[i]]
        answer = 0
        for c in range(1, classes):
            if row[c] > row[answer]:
                answer = c
        top, total = row[answer], Z.dtype.type(0)
        of_label = row[label] - top
        for c in range(classes):
            row[c] = np.exp(row[c] - top)
            total += row[c]
        loss += np.log(total) - of_label
        correct += answer == label
        for c in range(classes):
            row[c] /= total
        row[label] -= Z.dtype.type(1)
        for c in range(classes):
            row[c] /= n
    return loss / len(batch), correct


@compiled
def backward(net, shard, workspace, shared, images, batch):
    """Add the loss's derivatives by all that is mine to shard.gradient; workspace.logits has dZ."""
    n, G = len(batch), shard.gradient
    dZ, dZ_at = workspace.logits, 0  # (N, units), of a whole layer
    if shard.me == 0:
        add_logit_biases(dZ, n, net.sizes[-1], G, shard.b_at[-1])
    for layer in range(len(shard.first) - 1, 0, -1):
        before, units = my_width(shard, layer - 1), net.sizes[layer + 1]
        A_at, W_at = workspace.A_at[layer - 1], shard.W_at[layer]
        multiply(dZ, dZ_at, 1, units, units, n, workspace.A, A_at, before, G, W_at)  # dU = dZᵀ·A

        clear(workspace.D, 0, n * before)
        multiply(
            dZ, dZ_at, units, 1, n, units, shard.theta, W_at, before, workspace.D, 0
        )  # dA = dZ·U
        times_slope(net.activation, workspace.D, workspace.A, A_at, n * before)
        add_sums(workspace.D, n, before, G, shard.b_at[layer - 1])  # db
        if layer > 1:  # the layer before needs all of dZ, so everybody gives what is his
            dZ, dZ_at = shared.dZ, shared.sums_at[layer - 1]
            share_columns(workspace.D, n, before, shard, layer - 1, dZ, dZ_at, net.sizes[layer])
            meet(shard.me, shared.arrived)
    width = my_width(shard, 0)
    if len(shard.first) == 1:
        spread_logits(workspace, n, net.sizes[1], width)
    first_layer_derivative(net.sizes[0], images, batch, shard, workspace, width)


@compiled
def add_logit_biases(dZ, rows, classes, G, at):
    """db of the logits: the sum of dZ (rows, classes) over the batch."""
    for i in range(rows):
        for c in range(classes):
            G[at + c] += dZ[i * classes + c]


@compiled
def share_columns(D, rows, width, shard, layer, dZ, at, units):
    """Write my columns (rows, width) of a derivative where all threads read it."""
    first, mine = shard.first[layer], shard.last[layer] - shard.first[layer]
    for i in range(rows):
        copy(mine, D, i * width, dZ, at + i * units + first)


@compiled
def spread_logits(workspace, rows, classes, width):
    """The reverse of `take_logits`: the derivatives by the logits, padded."""
    clear(workspace.D, 0, rows * width)
    for i in range(rows):
        copy(classes, workspace.logits, i * classes, workspace.D, i * width)


# --- The optimizers: one pass over memory, which also clears the derivatives ----------------------
# Each moves theta[k], memory and derivative together while they are in the core. The formulas are
# those of the classes of the same names in `lockstep/by_hand/`.


@compiled
def descend(theta, G, rate, l2, keep):
    """θ ← θ - lr·g."""
    zero = theta.dtype.type(0)
    for k in range(len(theta)):
        g = G[k] + l2 * theta[k]
        theta[k] -= rate * g
        G[k] = g if keep else zero


@compiled
def forget_what_is_nearly_zero(memory):
    """As in `lockstep/by_hand/`: no subnormal numbers, with which processors compute slowly."""
    kind, zero = np.finfo(memory.dtype), memory.dtype.type(0)
    least = memory.dtype.type(kind.tiny / kind.eps)
    for k in range(len(memory)):
        x = memory[k]
        memory[k] = zero if abs(x) < least else x  # NaN stays NaN


@compiled
def roll(theta, G, v, mu, rate, keras, nesterov, l2, keep):
    """v ← μv + push·g, θ ← θ + move·v: Keras' velocity has the rate in it, PyTorch's has not."""
    zero, one = theta.dtype.type(0), theta.dtype.type(1)
    push, move = (-rate, one) if keras else (one, -rate)
    for k in range(len(theta)):
        g = G[k] + l2 * theta[k]
        v[k] = mu * v[k] + push * g
        theta[k] += move * (push * g + mu * v[k] if nesterov else v[k])
        G[k] = g if keep else zero


@compiled
def rmsprop(theta, G, v, fresh, rate, epsilon, keras, l2, keep):
    """v ← v + (1 - ρ)(g² - v), and each weight's step is divided by √v; `fresh` is 1 - ρ."""
    zero = theta.dtype.type(0)
    for k in range(len(theta)):
        g = G[k] + l2 * theta[k]
        v[k] += fresh * (g * g - v[k])
        theta[k] -= rate * g / (np.sqrt(v[k] + epsilon) if keras else np.sqrt(v[k]) + epsilon)
        G[k] = g if keep else zero


@compiled
def adam(theta, G, m, v, fresh1, fresh2, rate, epsilon, shrink, l2, keep):
    """Both dialects as one formula: rate is lr·√c₂/c₁, epsilon as it follows; `fresh` is 1 - β.

    The weights shrink first, which makes it AdamW.
    """
    zero = theta.dtype.type(0)
    for k in range(len(theta)):
        g = G[k] + l2 * theta[k]
        m[k] += fresh1 * (g - m[k])
        v[k] += fresh2 * (g * g - v[k])
        theta[k] = theta[k] * shrink - rate * (m[k] / (np.sqrt(v[k]) + epsilon))
        G[k] = g if keep else zero


@compiled
def move(net, shard, start, end, numbers, shrink, l2, keep):
    """Move theta[start:end] by the network's optimizer."""
    rate, epsilon, constants = numbers[0], numbers[1], net.constants
    theta, G = shard.theta[start:end], shard.gradient[start:end]
    m, v = shard.memory1[start:end], shard.memory2[start:end]
    if net.optimizer == SGD:
        descend(theta, G, rate, l2, keep)
    elif net.optimizer == MOMENTUM:
        roll(theta, G, m, constants[0], rate, net.keras, net.nesterov, l2, keep)
    elif net.optimizer == RMSPROP:
        rmsprop(theta, G, m, constants[0], rate, epsilon, net.keras, l2, keep)
    else:
        adam(theta, G, m, v, constants[0], constants[1], rate, epsilon, shrink, l2, keep)


@compiled
def update(net, shard, numbers, keep):
    """Move all that is mine; biases are neither penalised nor do they shrink."""
    number = shard.theta.dtype.type
    for layer in range(len(shard.first)):
        W, b, end = shard.W_at[layer], shard.b_at[layer], shard.b_at[layer] + my_width(shard, layer)
        move(net, shard, W, b, numbers, numbers[2], number(net.l2), keep)
        move(net, shard, b, end, numbers, number(1), number(0), keep)


@compiled
def sum_of_squares(shard):
    """The sum of W² over my weights."""
    total = 0.0
    for layer in range(len(shard.first)):
        for k in range(shard.W_at[layer], shard.b_at[layer]):
            total += shard.theta[k] * shard.theta[k]
    return total


# --- What Python calls ----------------------------------------------------------------------------


@entry
def train(net, shard, workspace, shared, images, plan, found):
    """One thread's part of the plan's steps; all threads must be called at once, each with its own.

    Without numbers for the optimizer nothing is learned, and there are only logits.
    """
    classes = net.sizes[-1]
    learning = len(plan.numbers) > 0
    for s in range(len(plan.ends) - 1):
        start, end = plan.ends[s], plan.ends[s + 1]
        batch = plan.order[start:end]
        if learning and net.l2 > 0:
            found.squares[shard.me, s] = sum_of_squares(shard)
        forward(net, shard, workspace, shared, shared.sums[s % 2], images, batch)
        if shard.me == 0 and len(found.logits) > 0:
            copy((end - start) * classes, workspace.logits, 0, found.logits, start * classes)
        if learning:
            loss, correct = loss_derivative(workspace.logits, plan.labels, batch, classes)
            if shard.me == 0:
                found.losses[s], found.correct[s] = loss, correct
            backward(net, shard, workspace, shared, images, batch)
            update(net, shard, plan.numbers[s], plan.keep)
            if s % 64 == 0:
                forget_what_is_nearly_zero(shard.memory1)
                forget_what_is_nearly_zero(shard.memory2)


@exact_entry
def resample(images, moves, side, first, last, out):
    """`distortions.resample` of the images from first to last, operation by operation."""
    one, most = np.float32(1), np.float32(side + 1)
    wide = side + 3
    padded = np.zeros(wide * wide, np.uint8)
    for i in range(first, last):
        for row in range(side):
            for column in range(side):
                padded[(row + 1) * wide + column + 1] = images[i, row * side + column]
        for row in range(side):
            for column in range(side):
                p = row * side + column
                y = min(max(moves[0, i, p] + np.float32(row + 1), np.float32(0)), most)
                x = min(max(moves[1, i, p] + np.float32(column + 1), np.float32(0)), most)
                up, left = np.int32(y), np.int32(x)
                down, right = y - np.float32(up), x - np.float32(left)
                at = up * wide + left
                above = np.float32(padded[at]) * (one - right) + np.float32(padded[at + 1]) * right
                at += wide
                below = np.float32(padded[at]) * (one - right) + np.float32(padded[at + 1]) * right
                ink = above * (one - down) + below * down
                out[i, p] = np.uint8(ink + np.float32(0.5))


@entry
def keep_lit(images, inputs, values, columns, starts):
    """Fill in the lit pixels of images (N * inputs,), row by row; starts[0] must be 0."""
    n = 0
    for i in range(len(starts) - 1):
        for j in range(inputs):
            value = images[i * inputs + j]
            if value != 0:
                values[n], columns[n] = value, j
                n += 1
        starts[i + 1] = n
