r"""How is a model conditioned on some coordinates? By a mask: each coordinate is noisy, known or absent.

One model of a table generates whole rows, imputes missing values, generates rows of a class and gives the
density of the observed values. Its network is conditioned on the state of every coordinate:

* *noisy*: :math:`x_t = \alpha x_0 + \sigma \epsilon`, as usual;
* *known*: the input is :math:`x_0` itself;
* *absent*: masked out, the input is 0.

The network learns :math:`E[x_0 \mid \text{noisy}, \text{known}]` from random masks, with the loss on noisy
coordinates only. Then

* all noisy is the unconditional model; with some known it is the conditional model of the others:
  imputation, classes;
* with some absent it is the marginal model of the others, which their density needs; missing values in the
  training data are always absent;
* classifier-free guidance amplifies the difference between known and absent (Ho & Salimans 2022).

Masks as in CSDI (Tashiro et al. 2021, section 4.2); the third state allows training on rows with missing
values without imputing them first.
"""

from diffuscope.diffusion.masked.categorical import Choices
from diffuscope.diffusion.masked.denoiser import FLAGS, MaskedDenoiser
from diffuscope.diffusion.masked.gaussian import Factors
from diffuscope.diffusion.masked.loss import MaskedLoss
from diffuscope.diffusion.masked.mask import Mask

__all__ = ["FLAGS", "Choices", "Factors", "Mask", "MaskedDenoiser", "MaskedLoss"]
