#!/usr/bin/env bash
# Optax 0.2.8 on JAX 0.10.2: Adam's bias corrections 1 - beta^t are computed in JAX's default
# precision, so for small t in float32 they lose digits that float32 weights would still show:
# 1 - 0.999^1 is off by 1.3e-5 of itself, a hundred times float32's epsilon. PyTorch computes the
# same corrections as Python floats. With jax_enable_x64 on, the weights may stay float32 and the
# corrections become exact: an expert does not expect that switch to change a float32 training.
#
# Seen here: the first step of adam(1e-3) on gradient 0.1, with float32 weights, is 6.5e-06 of its
# size from the exact one without x64, and 1.5e-07 with it.
#
# Run: bash findings/optax-bias-correction-float32.sh    (exit code 0: as described; 1: changed)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 optax==0.2.8 'numpy<2.5'
cat > "$folder/probe.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np
import optax


def relative_error(x64):
    """Of the first move, against the formula in float64: at t = 1 it is lr·g / (|g| + eps)."""
    with jax.enable_x64(x64):
        weight, gradient = jnp.zeros(1, jnp.float32), jnp.full(1, 0.1, jnp.float32)
        adam = optax.adam(1e-3, eps=1e-8)
        move, _ = adam.update(gradient, adam.init(weight), weight)
        assert move.dtype == jnp.float32
        g = float(np.float32(0.1))
        exact = -1e-3 * g / (g + 1e-8)
        return abs(float(move[0]) / exact - 1)


plain, wide = relative_error(False), relative_error(True)
print(f"JAX {jax.__version__}, Optax {optax.__version__}, float32 weights")
print(f"first move, relative error: {plain:.1e} by default, {wide:.1e} with x64 enabled")
raise SystemExit(0 if plain > 3e-6 and wide < 3e-7 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py"
