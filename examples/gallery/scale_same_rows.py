"""The same rows, however many | 抽多少都是同样的行

Row i depends on the seed and on i alone: eight points, found again among 2,000.
第 i 行只取决于种子和 i：八个点，在两千个里原样找到。
"""

import matplotlib.pyplot as plt

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
few, many = run.sample(8, seed=7), run.sample(2000, seed=7)
assert (few == many[:8]).all()
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.scatter(*many.T, s=2, color="#dcdcdc")
ax.scatter(*few.T, s=40, color="#8b3fa8")
ax.set(xticks=[], yticks=[], aspect="equal")
