r"""What can be said of a point's coordinates? Each is noisy, known or absent.

A model of a table is asked in many ways: for whole rows, for the holes of a row, for rows of a class, for
the density of what was measured. One network answers them all, if it is told the state of every coordinate:

* *noisy*: :math:`x_t = \alpha x_0 + \sigma \epsilon`, as ever;
* *known*: :math:`x_0` itself stands in the place of the noisy value;
* *absent*: nothing is known of it, and 0 stands there.

It is trained towards :math:`E[x_0 \mid \text{noisy}, \text{known}]` with states drawn at random, on noisy
coordinates alone. Then

* all noisy is the model of whole rows; some known is that of the rest given these: imputation, classes;
* some absent is the model of the others alone, exactly what their density asks for; values that are
  missing in the training data are absent whatever is drawn;
* the difference of known and absent is what classifier-free guidance amplifies (Ho & Salimans 2022).

Masks as in CSDI (Tashiro et al. 2021, section 4.2); the third state is what lets rows with holes be learned
from without first being filled.
"""

from diffuscope.diffusion.masked.choices import Choice, Choices
from diffuscope.diffusion.masked.denoiser import FLAGS, MaskedDenoiser
from diffuscope.diffusion.masked.factors import Factors
from diffuscope.diffusion.masked.loss import MaskedLoss
from diffuscope.diffusion.masked.mask import Mask

__all__ = ["FLAGS", "Choice", "Choices", "Factors", "Mask", "MaskedDenoiser", "MaskedLoss"]
