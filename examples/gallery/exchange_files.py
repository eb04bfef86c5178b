"""Samples in a file, and back | 样本写成文件，再读回来

Written to Parquet in pieces, read by pandas.
分块写成 Parquet，用 pandas 读回来。
"""

import matplotlib.pyplot as plt
import pandas as pd

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
frame = pd.read_parquet(run.sample_to("points.parquet", 5000, seed=0))
figure, ax = plt.subplots(figsize=(5, 3.6))
ax.hexbin(frame.iloc[:, 0], frame.iloc[:, 1], gridsize=60, cmap="Purples")
ax.set(xlabel=frame.columns[0], ylabel=frame.columns[1])
