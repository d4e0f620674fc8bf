#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: in a float64 model, Adam's bias corrections 1 - beta^t are not
# computed with the betas one gave. The Python number becomes a float32 on its way into the tensor
# (0.999 becomes 0.99900001287...), so they are off by up to 1.3e-5 of themselves, and with them
# every step's size; the moments m and v use the exact betas. An expert expects float64 throughout,
# because floatx, the layers and the variables all are.
#
# Seen here: two steps of gradient 1 with learning rate 0.5 end 6.7e-06 from the formula with exact
# betas, and 0 (less than 1e-14) from the formula whose bias corrections take float32 betas.
#
# Run: bash findings/keras-adam-float64-betas.sh    (exit code 0: as described; 1: it has changed)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorflow-cpu==2.21.0 keras==3.15.1 'numpy<2.5'
cat > "$folder/probe.py" <<'PY'
import numpy as np
import keras

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")


def formula(beta1, beta2):
    """Two steps of gradient 1 from weight 1; m and v always take the exact betas."""
    weight, m, v = 1.0, 0.0, 0.0
    for t in (1, 2):
        m, v = m + 0.1 * (1 - m), v + 0.001 * (1 - v)
        rate = 0.5 * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        weight -= rate * m / (np.sqrt(v) + 1e-30)
    return weight


weight = keras.Variable(np.ones(1), dtype="float64")
adam = keras.optimizers.Adam(0.5, beta_1=0.9, beta_2=0.999, epsilon=1e-30)
adam.build([weight])
for _ in range(2):
    adam.apply([keras.ops.ones(1, dtype="float64")], [weight])
found = float(weight.numpy()[0])
exact = abs(found - formula(0.9, 0.999))
rounded = abs(found - formula(float(np.float32(0.9)), float(np.float32(0.999))))
print(f"Keras {keras.__version__}, {weight.dtype}")
print(f"from exact betas: {exact:.1e}; from float32 betas in the corrections: {rounded:.1e}")
raise SystemExit(0 if 1e-6 < exact < 1e-5 and rounded < 1e-14 else 1)
PY
TF_CPP_MIN_LOG_LEVEL=2 KERAS_BACKEND=tensorflow "$folder/venv/bin/python" "$folder/probe.py"
