"""This project beside what a user would pick instead, and beside what the machine allows.

Three measurements, each kept as a run with `bench.json`, a figure and tables (`record.py`):

race      whole epochs, every contender in a process of its own, in turns
growth    time per image as width, depth, batch, training set and threads grow
target    time to a test accuracy, with rules

A contender is a function in a file that `--with` names:

    def my_program(batch_size, images, labels):   # (N, 784) uint8 pixels; (N,) uint8 from 0 to 9
        ...                                       # build it: 784-128-10, ReLU, Adam 0.001
        def epoch(seed):                          # train one epoch, in an order drawn from the seed
            ...                                   # and return when it is done
        def predict(images):                      # (N,) classes of images (N, 784) uint8
            ...
        return epoch, predict

    CONTENDERS = {"my program": my_program}

The first epoch is not timed: it may compile. What is absent is told by its ImportError, raised by
the function, so frameworks are imported there. `REFERENCE` may name the contender whose speed is 1
in the table, and `BARS` what has to be reached: {(name, against): {batch size: times faster}}.
"""
