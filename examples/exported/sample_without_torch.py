"""Sample an exported model without torch: python sample_without_torch.py model.onnx 64 samples.npy"""

import itertools
import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
about = json.loads(session.get_modelmeta().custom_metadata_map["diffuscope"])
n = int(sys.argv[2])
x = about["prior_std"] * np.random.default_rng(0).normal(size=(n, *about["shape"])).astype(np.float32)
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
for (t, alpha, sigma), (_, to_alpha, to_sigma) in itertools.pairwise(about["grid"]):
    values = {"t": t, "alpha": alpha, "sigma": sigma, "label": about["any_label"]}
    inputs = {
        i.name: np.full((n, *i.shape[1:]), values[i.name], types[i.type]) for i in session.get_inputs()[1:]
    }
    (x_0,) = session.run(None, {"x": x, **inputs})
    x = (to_alpha * x_0 + to_sigma / sigma * (x - alpha * x_0)).astype(np.float32)  # DDIM
np.save(sys.argv[3], x * about["scale"] + about["shift"])
