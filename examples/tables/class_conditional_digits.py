"""Handwritten digits of a chosen class, from a table of 64 columns.

    python examples/tables/class_conditional_digits.py [DIRECTORY]

Each image of 8 x 8 pixels is a row, its class is ``y``. A classifier that knows real digits reads what was
drawn.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from diffuscope import DiffusionModel

X, y = load_digits(return_X_y=True)
train, test, train_y, test_y = train_test_split(X, y, test_size=0.2, random_state=0)
reader = SVC(gamma=0.001).fit(train, train_y)

model = DiffusionModel(random_state=0).fit(train, train_y)
classes = np.repeat(np.arange(10), 50)
drawn = model.sample(len(classes), y=classes, guidance=2.0)
right, real = (reader.predict(drawn) == classes).mean(), reader.score(test, test_y)
print(f"read as the digits they were drawn for: {right:.1%} (real digits it never saw: {real:.1%})")

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/tables")
folder.mkdir(parents=True, exist_ok=True)
images = np.pad(drawn.reshape(10, 50, 8, 8)[:, :16], ((0, 0), (0, 0), (1, 1), (1, 1)))
picture = images.transpose(0, 2, 1, 3).reshape(100, 160)
plt.imsave(folder / "digits.png", np.kron(picture, np.ones((4, 4))), cmap="gray_r", vmin=0, vmax=16)
