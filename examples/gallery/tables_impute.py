"""Missing values filled | 补上缺失值

Half of one column is taken away and filled from the rest of each row.
拿走一列的一半，再由每行其余的内容补上。
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
holes = table.copy()
gone = rng.random(n) < 0.5
holes.loc[gone, "bmi"] = np.nan
filled = DiffusionModel(random_state=0, steps=300, refine=False).fit(holes).impute(holes)
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(age[~gone], bmi[~gone], s=4, color="#2b6cb8")
ax.scatter(age[gone], filled["bmi"][gone], s=4, color="#8b3fa8")
ax.set(xlabel="age", ylabel="bmi")
