"""Strange rows | 古怪的行

The densities of rows; the planted one has the least.
各行的密度；故意放进去的那一行最低。
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from diffuscope import DiffusionModel

rng, n = np.random.default_rng(0), 800
age = rng.integers(18, 91, n)
bmi = np.round(22 + age / 15 + 3 * rng.normal(size=n), 1)
sex = rng.choice(["F", "M"], n)
table = pd.DataFrame({"age": age, "bmi": bmi, "sex": sex})
model = DiffusionModel(random_state=0, steps=300, refine=False).fit(table)
odd = pd.concat([table, pd.DataFrame({"age": [20], "bmi": [34.0], "sex": ["F"]})], ignore_index=True)
density = model.score_samples(odd)
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(odd["age"], odd["bmi"], s=5, c=density, cmap="viridis")
ax.plot(
    odd["age"].iloc[density.argmin()],
    odd["bmi"].iloc[density.argmin()],
    "o",
    markersize=11,
    mfc="none",
    color="#d8442f",
)
ax.set(xlabel="age", ylabel="bmi")
