"""A table, in pairs of columns | 一张表，两两成对的列

Real rows below the diagonal, synthetic rows above it.
对角线以下是真实的行，以上是合成的行。
"""

import numpy as np
import pandas as pd

from diffuscope import DiffusionModel

rng, n = np.random.default_rng(0), 800
age = rng.integers(18, 91, n)
bmi = np.round(22 + age / 15 + 3 * rng.normal(size=n), 1)
sex = rng.choice(["F", "M"], n)
table = pd.DataFrame({"age": age, "bmi": bmi, "sex": sex})
model = DiffusionModel(random_state=0, steps=300, refine=False).fit(table)
figure = model.plot()
