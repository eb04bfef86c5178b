"""Missing values of a table, filled from the rest of each row, beside scikit-learn's own imputers.

    python examples/tables/imputation.py [DIRECTORY]

Three tenths of the values of held-out tumours are taken away. One draw keeps the spread of the data; the
average of several is nearest to the truth; their spread says how sure a value is.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it asks for this
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from diffuscope import DiffusionModel

X = StandardScaler().fit_transform(load_breast_cancer().data)
train, test = train_test_split(X, test_size=0.2, random_state=0)
gone = np.random.default_rng(0).random(test.shape) < 0.3
missing = np.where(gone, np.nan, test)

model = DiffusionModel(random_state=0).fit(train)
filled = {
    "diffusion, average of 16 draws": model.impute(missing, n_draws=16, average=True, random_state=1),
    "diffusion, one draw": model.impute(missing, random_state=1),
    "nearest neighbours": KNNImputer().fit(train).transform(missing),
    "chained ridge regressions": IterativeImputer(max_iter=30, tol=1e-2, random_state=0)
    .fit(train)
    .transform(missing),
}
errors = {name: np.sqrt(np.mean((table - test)[gone] ** 2)) for name, table in filled.items()}
for name, error in errors.items():
    print(f"{name:<32} error {error:.3f} standard deviations")

draws = np.stack(model.impute(missing, n_draws=20, random_state=2))
low, high = np.quantile(draws, [0.05, 0.95], axis=0)
inside = np.mean((low <= test)[gone] & (test <= high)[gone])
print(f"the middle 90% of 20 draws hold {inside:.0%} of what is missing")
