"""Seconds by number of points | 用时与点数

Sampling is done in pieces; time grows with the number, memory does not.
采样分块进行；用时随点数增长，内存不增长。
"""

import time

import matplotlib.pyplot as plt

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
counts, seconds = (500, 2000, 8000, 32000), []
for n in counts:
    start = time.perf_counter()
    run.sample(n, steps=10)
    seconds.append(time.perf_counter() - start)
figure, ax = plt.subplots(figsize=(5, 3.4))
ax.loglog(counts, seconds, "o-")
ax.set(xlabel="n", ylabel="s")
