"""Rows of a class | 某一类的行

A model with a target draws rows of either class.
带目标的模型可以抽任一类的行。
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
risk = np.where(age / 20 + bmi / 10 + rng.normal(size=n) > 5.5, "high", "low")
model = DiffusionModel(random_state=0, steps=300, refine=False).fit(table, risk)
figure, ax = plt.subplots(figsize=(5, 3.6))
for label in ("low", "high"):
    rows = model.sample(400, y=label, random_state=0)
    ax.scatter(rows["age"], rows["bmi"], s=5, label=label)
ax.set(xlabel="age", ylabel="bmi")
ax.legend()
