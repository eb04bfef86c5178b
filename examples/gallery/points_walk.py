"""From noise to the S | 从噪声到 S

Ten moments of one walk, on axes that stay.
同一段路上的十个时刻，坐标轴不动。
"""

import diffuscope

run = diffuscope.train("s_curve", exist_ok=True, pictures=False)
figure = run.plot_trajectory()
