"""Rows that do not belong: those with the least density.

    python examples/tables/anomaly_detection.py [DIRECTORY]

A model learns benign tumours alone. Malignant ones are then found by ``score_samples``: the less likely a row
is under the law of the benign ones, the more it is worth a look.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diffuscope import DiffusionModel

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
known, unseen = train_test_split(X[y == 1], test_size=0.3, random_state=0)
test = np.r_[np.zeros(len(unseen)), np.ones((y == 0).sum())]
rows = X.loc[[*unseen.index, *X.index[y == 0]]]

model = DiffusionModel(random_state=0).fit(known)
scores = {
    "diffusion model": model.score_samples(rows),
    "Gaussian mixture": make_pipeline(StandardScaler(), GaussianMixture(2, reg_covar=1e-3, random_state=0))
    .fit(known)
    .score_samples(rows),
    "isolation forest": IsolationForest(random_state=0).fit(known).score_samples(rows),
}
areas = {name: roc_auc_score(test, -score) for name, score in scores.items()}
for name, area in areas.items():
    print(f"{name:<18} area under the ROC curve {area:.3f}")
strangest = rows.index[np.argmin(scores["diffusion model"])]
print(f"the strangest of all is row {strangest}: {'malignant' if y[strangest] == 0 else 'benign'}")
