"""What ``images.py`` is made of: contestants, processes of their own, tables."""
