"""What ``diagnosis_grid.py`` is made of: data, networks, pipelines, faults, cells, their summary."""
