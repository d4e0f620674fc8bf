"""A user's process, in which Lockstep is used: its state before and after. Run as a script.

    python tests/global_state.py BACKEND {usual,unusual} {used,unused}

It prints one line of JSON: "changed", what Lockstep has left otherwise than it was, and "drawn",
the random numbers that the user draws afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import warnings

import numpy as np


def main(name: str, settings: str, used: str) -> None:
    start(name)
    if settings == "unusual":
        globals()[f"unusual_{name}"]()
    before = state(name)
    if used == "used":
        use(name)
    after = state(name)
    changed = {key: [before.get(key), after.get(key)] for key in before.keys() | after.keys()}
    changed = {key: pair for key, pair in changed.items() if pair[0] != pair[1]}
    print(json.dumps({"changed": changed, "drawn": draw(name)}))


def start(name: str) -> None:
    """The user has the framework, seeds, and has drawn something already."""
    random.seed(1)
    np.random.seed(1)
    np.seterr(divide="ignore", under="warn")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
    if name == "torch":
        import torch
        import torch._dynamo  # as any optimizer does; this sets TORCHINDUCTOR_CACHE_DIR

        torch.manual_seed(1)
    elif name == "tensorflow":
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        globals()["in_a_graph"] = tf.function(lambda: tf.random.normal([2]))
        keras.random.normal([2])
    elif name == "jax":
        import jax

        jax.devices()
    elif name == "numba":
        import numba  # noqa: F401
    os.environ["KERAS_BACKEND"] = "whatever it says"
    draw(name)


def unusual_numpy() -> None: ...


def unusual_numba() -> None:
    import numba

    numba.config.THREADING_LAYER = "workqueue"


def unusual_torch() -> None:
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False


def unusual_tensorflow() -> None:
    import keras
    import tensorflow as tf

    keras.config.set_floatx("bfloat16")
    keras.config.set_epsilon(1e-5)
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.get_logger().setLevel("DEBUG")


def unusual_jax() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    jax.config.update("jax_default_device", jax.devices("cpu")[0])


def state(name: str) -> dict[str, str]:
    """What is global in this process, by name, as text."""
    found = {
        **{f"os.environ[{key!r}]": value for key, value in os.environ.items()},
        "logging": logging.getLogger().level,
        "warnings": warnings.filters,
        "random": random.getstate(),
        "numpy.random": np.random.get_state(),
        "numpy.geterr": np.geterr(),
    }
    found |= {"numpy": dict, "numba": numbas, "torch": torchs, "tensorflow": tensorflows,
              "jax": jaxs}[name]()  # fmt: skip
    np.set_printoptions(threshold=sys.maxsize)
    return {key: repr(value) for key, value in found.items()}


def numbas() -> dict:
    import numba
    from numba.np.ufunc import parallel

    settings = {k: v for k, v in vars(numba.config).items() if k.isupper()}
    return settings | {"pool": parallel._is_initialized}


def torchs() -> dict:
    import torch
    import torch._dynamo

    places = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision() if consistent() else "",
        "fp32_precision": [torch.backends.fp32_precision, *(p.fp32_precision for p in places)],
        "cudnn": (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": torch.get_rng_state().tolist(),
        "dynamo": torch._dynamo.config.get_config_copy(),
    }


def consistent() -> bool:
    """Whether PyTorch can say in the old way how exact its products are."""
    import torch

    try:
        return bool(torch.get_float32_matmul_precision())
    except RuntimeError:
        return False


def tensorflows() -> dict:
    import keras
    import tensorflow as tf
    from keras.src.backend.common import global_state
    from tensorflow.python.eager import context

    policy = global_state.get_global_attribute("dtype_policy")
    return {
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "policy": policy and policy.name,
        "image_data_format": keras.config.image_data_format(),
        "keras seed": global_state.get_global_attribute("global_random_seed"),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "logger": tf.get_logger().level,
        "seed": context.global_seed(),
        "random": context.context()._rng.getstate(),
        "eagerly": tf.config.functions_run_eagerly(),
        "placement": tf.config.get_soft_device_placement(),
        "threads": tf.config.threading.get_inter_op_parallelism_threads(),
    }


def jaxs() -> dict:
    import jax

    return dict(jax.config.values)


def draw(name: str) -> list:
    """Random numbers from every generator that is there."""
    drawn = [random.random(), np.random.random()]
    if name == "torch":
        import torch

        drawn += torch.rand(2, dtype=torch.float32).tolist()
    if name == "tensorflow":
        import keras
        import tensorflow as tf

        drawn += [float(x) for x in tf.random.normal([2])]
        drawn += [float(x) for x in globals()["in_a_graph"]()]
        drawn += [float(x) for x in keras.random.normal([2], dtype="float32")]
    return drawn


def use(name: str) -> None:
    """All that a backend can do, in both precisions."""
    from lockstep.backends import registry
    from lockstep.backends.contract import Formulas
    from lockstep.data import datasets
    from lockstep.data.order import epoch_batches
    from lockstep.recipe import Recipe

    train = datasets.load("digits").train
    images, labels = train.images[:70], train.labels[:70]
    batches = epoch_batches(70, 16, 0, 1)
    classes = [registry.load(name)]
    classes += [registry.load(name, as_tutorial=True)] if registry.tutorial(name) else []
    tf32 = Formulas("logits", "outside", "exact", tf32=True)
    for dtype in ("float64", "float32"):
        recipe = Recipe(hidden=(16,), dtype=dtype, optimizer="adam", l2=1e-3)
        for network_class in classes:
            others = (tf32,) if dtype == "float32" and name in ("torch", "tensorflow") else ()
            for formulas in (None, *others):
                network = network_class(recipe, recipe.initial_weights(), "cpu", formulas)
                network.warm_up(images, labels, batches)
                network.step(images[:16], labels[:16])
                network.train_epoch(images, labels, batches)
                network.graph(images[:2])
                assert network.forward(images).dtype == dtype
            network_class.own_weights(recipe, seed=3)
            network_class.own_batches(70, 16, 2, seed=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
