"""Train the model of this guest: writes weights.py, example.json and expected.json.

Run it in this folder, in a virtual environment that has train-requirements.txt. It is a softmax
regression on the wines of models/wine (its card names their source and licence); the scaling of the
features is worked into the weights. expected.json has what scikit-learn says of the held-out wines.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
SEED = 20

wine = load_wine()
fields = [name.replace("/", "_") for name in wine.feature_names]
train_x, test_x, train_y, test_y = train_test_split(
    wine.data, wine.target, test_size=0.25, stratify=wine.target, random_state=SEED
)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train_x, train_y)
scaler, regression = model[0], model[1]
weights = regression.coef_ / scaler.scale_
bias = regression.intercept_ - weights @ scaler.mean_

(HERE / "weights.py").write_text(
    '"""Written by train.py: one row of weights, and one bias, for each class."""\n\n'
    f"FIELDS = {fields}\n"
    f"LABELS = {[f'cultivar {i + 1}' for i in range(3)]}\n"
    f"WEIGHTS = {weights.tolist()}\n"
    f"BIAS = {bias.tolist()}\n"
)
expected = [
    {"features": row.tolist(), "probabilities": scores.tolist()}
    for row, scores in zip(test_x, model.predict_proba(test_x))
]
lines = ",\n".join(json.dumps(case) for case in expected)
(HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
example = dict(zip(fields, test_x[0].tolist()))
(HERE / "example.json").write_text(json.dumps(example, indent=2) + "\n")
print(f"{model.score(test_x, test_y):.3f} of {len(test_y)} held-out wines right")
