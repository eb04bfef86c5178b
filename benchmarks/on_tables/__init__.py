"""What ``tables.py`` is made of: tables, methods, marks."""
