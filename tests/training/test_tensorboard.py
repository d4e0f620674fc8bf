"""What TensorBoard is given: its own reader reads it back, Keras' callback says what it must be."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import installed, lockstep
from msgspec.structs import replace
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from lockstep.backends import registry
from lockstep.backends.numpy import Network
from lockstep.data import datasets
from lockstep.data.order import epoch_batches
from lockstep.processes import parent
from lockstep.recipe import Recipe
from lockstep.runs import records, weights
from lockstep.training import compare

pytestmark = pytest.mark.costly

RECIPE = Recipe(hidden=(16, 12), epochs=2)
SMALL = ["--dataset", "digits", "--hidden", "16,12", "--epochs", "2"]
RUN = str(Path("runs") / "run")
NAMES = registry.names()
MULTIPLY = {"torch": "Linear", "tensorflow": "MatMul", "jax": "dot_general"}
"""What each framework calls a layer's product in its graph."""

WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow.python":  # `tensorflow` alone may only be looked for
            print(os.getpid(), file=open(os.environ["TENSORFLOW_IMPORTED"], "a"))
sys.meta_path.insert(0, Watch())
"""
"""A sitecustomize.py that notes which processes import TensorFlow."""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One comparison of all backends; what it printed, its folder, who imported TensorFlow."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "sitecustomize.py").write_text(WATCH)
    done = lockstep(
        "compare", *SMALL, "--name", "run", "--tensorboard", "--proof", "0", cwd=folder,
        PYTHONPATH=os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))),
        TENSORFLOW_IMPORTED=str(folder / "imported"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, folder / "runs" / "run", (folder / "imported").read_text().split()


def read(folder) -> EventAccumulator:
    """Everything in a folder's event files."""
    assert folder.is_dir(), folder
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    return events.Reload()


@pytest.fixture(scope="module")
def events(compared):
    """Of each backend, those of `train` and of `validation`."""
    folder = compared[1] / "tensorboard"
    parts = ("train", "validation")
    return {name: {part: read(folder / installed(name) / part) for part in parts} for name in NAMES}


def series(events: EventAccumulator, tag: str) -> tuple[list[int], np.ndarray]:
    """A tag's steps, and its values one after the other."""
    found = events.Tensors(tag)
    return [e.step for e in found], np.array([make_ndarray(e.tensor_proto) for e in found])


def plugin(events: EventAccumulator, tag: str) -> str:
    """Which dashboard of TensorBoard shows a tag."""
    return events.SummaryMetadata(tag).plugin_data.plugin_name


# --- Keras' own callback --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_events(tmp_path_factory):
    """Of a `fit` with Keras' TensorBoard, from the same weights and in the same order."""
    installed("tensorflow")
    registry.load("tensorflow")
    import keras

    data, dtype = datasets.load("digits"), RECIPE.dtype
    model = keras.Sequential(
        [
            keras.Input((784,), dtype=dtype),
            *(keras.layers.Dense(size, "relu", dtype=dtype) for size in RECIPE.hidden),
            keras.layers.Dense(10, dtype=dtype),
        ]
    )
    model.set_weights(list(RECIPE.initial_weights().values()))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = keras.optimizers.Adam(RECIPE.learning_rate, epsilon=RECIPE.epsilon)
    model.compile(adam, loss, metrics=["accuracy"])
    folder = tmp_path_factory.mktemp("keras")
    callback = keras.callbacks.TensorBoard(
        folder, histogram_freq=1, write_graph=False, update_freq="batch"
    )
    images, labels = datasets.scale(data.train.images, dtype), data.train.labels
    order = planned(len(labels))
    model.fit(
        ((images[batch], labels[batch]) for batch in order),
        steps_per_epoch=len(order) // RECIPE.epochs,
        epochs=RECIPE.epochs,
        validation_data=(datasets.scale(data.test.images, dtype), data.test.labels),
        shuffle=False,
        verbose=0,
        callbacks=[callback],
    )
    return {part: read(folder / part) for part in ("train", "validation")}


def planned(count: int) -> list[np.ndarray]:
    """All the batches of the training."""
    epochs = range(1, RECIPE.epochs + 1)
    orders = (epoch_batches(count, RECIPE.batch_size, RECIPE.seed, e) for e in epochs)
    return [batch for order in orders for batch in order]


OURS_ALONE = {"train": {"update_loss"}, "validation": {"confusion_matrix"}}


@pytest.mark.parametrize("part", ["train", "validation"])
def test_tags_steps_and_values_are_those_of_keras_own_callback(part, events, keras_events):
    keras_tags = keras_events[part].Tags()["tensors"]
    scalars = [tag for tag in keras_tags if plugin(keras_events[part], tag) == "scalars"]
    histograms = [tag for tag in keras_tags if plugin(keras_events[part], tag) == "histograms"]
    assert len(scalars) + len(histograms) == len(keras_tags)
    names = [f"{name}/histogram" for name in RECIPE.shapes] if part == "train" else []
    for name in NAMES:
        tags = set(events[name][part].Tags()["tensors"])
        assert tags == {*scalars, *names, *OURS_ALONE[part]}, name
        for tag in scalars:
            steps, values = series(events[name][part], tag)
            keras_steps, keras_values = series(keras_events[part], tag)
            assert plugin(events[name][part], tag) == "scalars"
            assert steps == keras_steps, (name, tag)
            assert values.dtype == keras_values.dtype == np.float32
            if name == "tensorflow":  # the others speak Adam's other dialect
                np.testing.assert_allclose(values, keras_values, rtol=1e-5, err_msg=tag)
    for tag, keras_tag in zip(names, histograms, strict=True):
        steps, buckets = series(events["tensorflow"]["train"], tag)
        keras_steps, keras_buckets = series(keras_events["train"], keras_tag)
        assert steps == keras_steps and buckets.shape == keras_buckets.shape
        np.testing.assert_allclose(buckets[..., :2], keras_buckets[..., :2], atol=1e-6)


# --- The run's other files ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_scalars_are_those_of_the_results(name, compared, events):
    history = records.load(compared[1]).backends[name].history
    of_parts = {
        "train": {"epoch_loss": "running_loss", "epoch_accuracy": "running_accuracy"},
        "validation": {"epoch_loss": "test_loss", "epoch_accuracy": "test_accuracy"},
    }
    for part, tags in of_parts.items():
        for tag, key in tags.items():
            steps, values = series(events[name][part], tag)
            assert steps == [entry.epoch - 1 for entry in history] == [0, 1]
            assert values.tolist() == [np.float32(getattr(entry, key)) for entry in history]


@pytest.mark.parametrize("name", NAMES)
def test_update_loss_is_each_batchs_own(name, events, digits):
    images, labels = datasets.scale(digits.train.images, "float32"), digits.train.labels
    dialect = getattr(registry.load(name), "dialect", RECIPE.dialect)  # by hand: the recipe's
    by_hand = Network(Recipe(hidden=(16, 12), dialect=dialect), RECIPE.initial_weights())
    order = planned(len(labels))
    losses = [by_hand.step(images[batch], labels[batch]).loss for batch in order]
    steps, values = series(events[name]["train"], "update_loss")
    assert steps == list(range(1, len(order) + 1))
    np.testing.assert_allclose(values, losses, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_histograms_hold_every_weight(name, compared, events):
    trained, _ = weights.load_weights(compared[1] / "weights" / f"{name}.safetensors")
    assert set(trained) == set(RECIPE.shapes)
    for weight, array in trained.items():
        steps, buckets = series(events[name]["train"], f"{weight}/histogram")
        assert steps == [0, 1] and buckets.shape == (2, 30, 3)
        lefts, rights, counts = buckets[-1].T
        assert (lefts[0], rights[-1]) == (array.min(), array.max())
        assert (lefts[1:] == rights[:-1]).all()
        assert buckets[..., 2].sum(axis=1).tolist() == [array.size, array.size]
        expected, _ = np.histogram(array.astype(float), bins=30)
        assert abs(counts - expected).max() <= 2, "but for weights on an edge"


@pytest.mark.parametrize("name", NAMES)
def test_the_confusion_matrix_is_a_picture(name, events):
    found = events[name]["validation"]
    assert plugin(found, "confusion_matrix") == "images"
    (event,) = found.Tensors("confusion_matrix")
    width, height, png = make_ndarray(event.tensor_proto)
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        assert picture.format == "PNG" and picture.size == (int(width), int(height))
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20, "not blank"
    assert event.step == 1, "the last epoch"


@pytest.mark.parametrize("name", MULTIPLY)
def test_the_graph_is_the_frameworks_own(name, events):
    graph = events[name]["train"].Graph()
    before = set()
    for node in graph.node:
        assert set(node.input) <= before, "what a node takes stands before it"
        assert node.name not in before
        before.add(node.name)
    products = [node for node in graph.node if node.op == MULTIPLY[name]]
    shapes = [
        tuple(dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim)
        for node in products
    ]
    assert shapes == [(RECIPE.batch_size, size) for size in RECIPE.sizes[1:]]


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_by_hand_there_is_no_graph(name, events):
    assert not events[name]["train"].Tags()["graph"]


# --- The command ----------------------------------------------------------------------------------


def test_only_the_worker_that_has_tensorflow_imports_it(compared):
    assert len(compared[2]) == 1, "one process of five, and of the four workers one must"


def test_the_command_says_how_to_look_at_it(compared):
    assert compared[0].stdout.splitlines()[-1] == f"TensorBoard: tensorboard --logdir {RUN}"


def test_tensorboard_serves_the_scalars(compared):
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", RUN, "--port", "0", "--host",
         "127.0.0.1"],
        cwd=compared[1].parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )  # fmt: skip
    try:
        said = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        address = next(filter(None, said)).group()
        parts = ("train", "validation")
        expected = {f"tensorboard/{name}/{part}" for name in NAMES for part in parts}
        deadline = time.monotonic() + 60
        while set(tags := ask(address, "tags")) != expected:  # it reads one run after the other
            assert time.monotonic() < deadline, tags
            time.sleep(0.2)
        history = records.load(compared[1]).backends["torch"].history
        points = ask(address, "scalars", run="tensorboard/torch/validation", tag="epoch_loss")
        served = [(step, value) for _, step, value in points]
        losses = [entry.test_loss for entry in history]
        assert served == list(enumerate(pytest.approx(loss, rel=1e-6) for loss in losses))
    finally:
        process.kill()
        process.communicate()


def ask(address: str, what: str, **query):
    """TensorBoard's answer to a question about scalars; no proxy stands between."""
    url = f"{address}/data/plugin/scalars/{what}?{urllib.parse.urlencode(query)}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return json.load(answer)


def test_every_seed_has_a_place_of_its_own_and_writing_changes_no_number(tmp_path):
    train = ["train", "numpy", *SMALL, "--seed", "4", "--quiet", "--name"]
    flags = ["--tensorboard", "--repeats", "2"]
    assert lockstep(*train, "with", *flags, cwd=tmp_path).returncode == 0
    assert lockstep(*train, "without", cwd=tmp_path).returncode == 0
    board = tmp_path / "runs" / "with" / "tensorboard"
    assert sorted(path.name for path in board.iterdir()) == ["numpy", "numpy-seed5"]
    assert not (tmp_path / "runs" / "without" / "tensorboard").exists()
    first, second = records.load(tmp_path / "runs" / "with").backends["numpy"].repeats
    plain = records.load(tmp_path / "runs" / "without").backends["numpy"]
    for entry, other in zip(first.history, plain.history, strict=True):
        assert replace(entry, seconds=0) == replace(other, seconds=0)
    for folder, seeded in (("numpy", first), ("numpy-seed5", second)):
        _, losses = series(read(board / folder / "validation"), "epoch_loss")
        assert losses.tolist() == [np.float32(entry.test_loss) for entry in seeded.history]


def test_a_backend_that_fails_leaves_no_events(tmp_path, monkeypatch, digits):
    def send(module, job, on_event):
        result = really_send(module, job | {"backend": "numpy"}, on_event)
        if job["backend"] == "torch":
            assert list(Path(job["tensorboard"]).rglob("*tfevents*"))
            raise parent.ChildFailed("it broke")
        return result

    really_send = parent.send
    monkeypatch.setattr(parent, "send", send)
    compared = compare.compare(
        RECIPE, ("numpy", "torch"), digits, tmp_path / "runs", "r", tensorboard=True
    )
    assert [path.name for path in (compared.folder / "tensorboard").iterdir()] == ["numpy"]


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to another process")
def test_an_interrupted_run_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "lockstep", "train", "numpy", *SMALL, "--epochs", "100000",
         "--tensorboard"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    next(line for line in process.stdout if "test loss" in line)
    assert list(tmp_path.rglob("*tfevents*")), "it was being written"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert list((tmp_path / "runs").iterdir()) == []


def test_without_tensorboard_one_sentence_says_how_to_get_it(tmp_path):
    arguments = ["train", "numpy", *SMALL, "--tensorboard"]
    code = f"""if True:
        import sys
        sys.modules["tensorboard"] = None  # as if it were not installed
        from lockstep.cli.main import main
        sys.exit(main({arguments}))"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "lockstep: TensorBoard is not installed here; `pip install tensorboard` adds it.\n"
    )
    assert list(tmp_path.iterdir()) == []
