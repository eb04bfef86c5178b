"""The score as arrows | 分数场

Where the network pulls noisy points, at four noise levels.
四个噪声水平上，网络把带噪声的点往哪里拉。
"""

import diffuscope

run = diffuscope.train("moons", exist_ok=True, pictures=False)
figure = run.plot_field()
