"""The network by hand: any number of dense layers, every derivative written out, NumPy alone.

It imports nothing else of Lockstep. Read it in this order: `activations`, `losses`,
`initializers`, `layers`, `network`, `optimizers`, `step`, `gradients`.
"""

from .activations import ACTIVATIONS as ACTIVATIONS
from .gradients import check_gradients as check_gradients
from .gradients import numerical_derivative as numerical_derivative
from .initializers import INITIALIZATIONS as INITIALIZATIONS
from .layers import dense as dense
from .layers import dense_derivatives as dense_derivatives
from .losses import cross_entropy as cross_entropy
from .losses import cross_entropy_derivative as cross_entropy_derivative
from .losses import log_softmax as log_softmax
from .losses import softmax as softmax
from .network import Network as Network
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import Adam as Adam
from .optimizers import Momentum as Momentum
from .optimizers import Optimizer as Optimizer
from .optimizers import RMSprop as RMSprop
from .step import step as step
