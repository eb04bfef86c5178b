"""Rows with given values | 给定某些值的行

Body mass for women of 30 and of 80, drawn from one model.
同一个模型，抽 30 岁和 80 岁女性的体重指数。
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
figure, ax = plt.subplots(figsize=(5, 3.2))
for value in (30, 80):
    rows = model.sample(800, given={"sex": "F", "age": value}, random_state=0)
    ax.hist(rows["bmi"], bins=30, alpha=0.6, label=f"age = {value}")
ax.set(xlabel="bmi")
ax.legend()
