"""A training as TensorBoard shows it, with the tags, steps and meanings of Keras' own callback.

train/       after each epoch, from step 0: `epoch_loss` and `epoch_accuracy`, the means while the
             weights moved, which `fit` prints; `epoch_learning_rate`; a histogram of each weight,
             such as `dense0.weight/histogram`. After each update, from step 1: `batch_loss` and
             `batch_accuracy`, which to Keras are the means of the epoch so far, and `update_loss`,
             which is the batch's own. The framework's graph, where it gives one.
validation/  after each epoch: `epoch_loss` and `epoch_accuracy` on the test set, and the same
             against updates, `evaluation_loss_vs_iterations` and `…_accuracy_…`. When the training
             is whole, the parent adds `confusion_matrix`, an image (`write_image`).

TensorBoard's package writes event files without TensorFlow; but whatever of it goes through
`tensorboard.compat.tf` (its EventFileWriter, and so PyTorch's SummaryWriter) imports TensorFlow
where that is installed. Nothing here does.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from ..backends.contract import Operation, Running
from ..layouts import Weights
from ..runs.records import Epoch


class EventFile:
    """One file of events, which TensorBoard shows as one run: that of its folder."""

    def __init__(self, folder: Path, suffix: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"events.out.tfevents.{time.time():.0f}.lockstep{suffix}"
        self.records = RecordWriter(path.open("xb"))
        self._write(Event(file_version="brain.Event:2"))

    def write(self, step: int, summaries: Iterable[Summary]) -> None:
        """What was measured at one step."""
        event = Event(step=step)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        self._write(event)

    def write_graph(self, operations: Sequence[Operation]) -> None:
        """The graph that TensorBoard draws; it has room for one."""
        self._write(Event(graph_def=_graph(operations).SerializeToString()))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())

    def close(self) -> None:
        self.records.close()


class Board:
    """The two runs of one training; `opened` makes it."""

    def __init__(self, train: EventFile, validation: EventFile) -> None:
        self.train, self.validation = train, validation

    def write_epoch(
        self,
        entry: Epoch,
        updates: Running,
        sizes: np.ndarray,
        learning_rate: float,
        weights: Weights,
    ) -> None:
        """All that an epoch gives: its row of the history, and the weights after.

        `updates` are its losses and right answers, `sizes` (batches,) the examples in each batch,
        `learning_rate` that of the last.
        """
        epoch = entry.epoch - 1  # Keras counts from 0
        before = epoch * len(sizes)
        self._write_updates(before, updates, sizes)
        running = {
            "epoch_loss": entry.running_loss,
            "epoch_accuracy": entry.running_accuracy,
            "epoch_learning_rate": learning_rate,
        }
        histograms = (histogram_pb(f"{name}/histogram", w) for name, w in weights.items())
        self.train.write(epoch, [*_scalars(running), *histograms])
        loss, accuracy = entry.test_loss, entry.test_accuracy
        self.validation.write(epoch, _scalars({"epoch_loss": loss, "epoch_accuracy": accuracy}))
        against_updates = {
            "evaluation_loss_vs_iterations": loss,
            "evaluation_accuracy_vs_iterations": accuracy,
        }
        self.validation.write(before + len(sizes), _scalars(against_updates))

    def _write_updates(self, before: int, updates: Running, sizes: np.ndarray) -> None:
        """One event for each update of an epoch; `before` is how many came in earlier ones."""
        seen = np.cumsum(sizes)
        columns = {
            "batch_loss": np.cumsum(updates.losses * sizes) / seen,
            "batch_accuracy": np.cumsum(updates.correct) / seen,
            "update_loss": updates.losses,
        }
        for i in range(len(sizes)):
            at_this_one = {tag: column[i] for tag, column in columns.items()}
            self.train.write(before + i + 1, _scalars(at_this_one))

    def write_graph(self, operations: Sequence[Operation]) -> None:
        """The framework's graph, if it keeps one."""
        if operations:
            self.train.write_graph(operations)


@contextmanager
def opened(folder: Path) -> Iterator[Board]:
    """A board that writes into `folder`/train and `folder`/validation."""
    train, validation = EventFile(folder / "train"), EventFile(folder / "validation")
    with closing(train), closing(validation):
        yield Board(train, validation)


def write_image(folder: Path, tag: str, png: bytes, step: int) -> None:
    """Add a picture to the run that lies in `folder`.

    It is in a file of its own, which TensorBoard reads after those that are there.
    """
    sizes = (str(size).encode() for size in struct.unpack(">2I", png[16:24]))  # width, height
    content = make_tensor_proto([*sizes, png])
    metadata = create_summary_metadata(display_name=None, description=None)
    value = Summary.Value(tag=tag, tensor=content, metadata=metadata)
    with closing(EventFile(folder, "-images")) as file:
        file.write(step, [Summary(value=[value])])


def _scalars(values: Mapping[str, float | None]) -> Iterator[Summary]:
    return (scalar_pb(tag, value) for tag, value in values.items() if value is not None)


def _graph(operations: Sequence[Operation]) -> GraphDef:
    """TensorFlow's message for a graph; TensorBoard writes the shapes beside the edges."""
    graph = GraphDef()
    for operation in operations:
        node = graph.node.add(name=operation.name, op=operation.kind, input=operation.inputs)
        shape = AttrValue()
        sizes = shape.list.shape.add().dim
        for size in operation.shape:
            sizes.add(size=size)
        node.attr["_output_shapes"].CopyFrom(shape)
    return graph
