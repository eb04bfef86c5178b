"""A table of patients as hospitals have them, and one of patients that never were.

    python examples/tables/synthetic_patients.py [DIRECTORY]

The table has numbers, integers, text, truth values, dates and missing values. The synthetic one has the
same columns, types and relations, and none of the rows. Here real patients are simulated; with your own it is

    diffuscope train patients.csv --target diagnosis
    diffuscope sample runs/patients -n 10000 -o synthetic.csv
    diffuscope evaluate runs/patients --html
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from diffuscope import DiffusionModel
from diffuscope.metrics.tabular import measure_table


def draw_patients(n, seed=0):
    random = np.random.default_rng(seed)
    age = random.integers(18, 91, n)
    sex = random.choice(["F", "M"], n)
    smoker = random.random(n) < np.where(sex == "M", 0.4, 0.2)
    bmi = np.round(22 + age / 15 + (sex == "M") + 3 * random.normal(size=n), 1)
    income = np.exp(10 + age / 50 + 0.8 * random.normal(size=n)).round(-2)
    risk = age / 20 + bmi / 10 + 2 * smoker + random.normal(size=n)
    patients = pd.DataFrame(
        {
            "age": age,
            "sex": sex,
            "smoker": smoker,
            "bmi": bmi,
            "income": income,
            "admitted": pd.Timestamp("2025-01-01") + pd.to_timedelta(random.integers(0, 365, n), unit="D"),
            "diagnosis": np.array(["none", "mild", "severe"])[np.digitize(risk, [5.5, 7.5])],
        }
    )
    patients.loc[random.random(n) < 0.1, "bmi"] = np.nan
    return patients


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/tables")
folder.mkdir(parents=True, exist_ok=True)

real = draw_patients(3000)
model = DiffusionModel(random_state=0).fit(real.drop(columns="diagnosis"), real["diagnosis"])
synthetic, diagnosis = model.sample(3000, return_y=True)
synthetic["diagnosis"] = diagnosis
synthetic.to_csv(folder / "synthetic.csv", index=False)
print(synthetic.head())

severe = model.sample(2000, y="severe", given={"sex": "F"})
real_severe = real[(real["diagnosis"] == "severe") & (real["sex"] == "F")]
ages = severe["age"].mean(), real_severe["age"].mean()
print(f"\nwomen who are severely ill: {ages[0]:.0f} years old, real ones {ages[1]:.0f}\n")

print(measure_table(real, draw_patients(1000, seed=1), synthetic, "diagnosis"))
model.plot().savefig(folder / "patients.png")
