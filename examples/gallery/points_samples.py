"""Samples beside data | 样本与数据

A second of training, 3,000 samples. Ink is dark where points crowd.
训练一秒，3,000 个样本。点越密，墨越深。
"""

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
figure = run.plot_samples(3000)
