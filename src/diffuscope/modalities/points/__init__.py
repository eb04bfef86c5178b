"""Points: rows of numbers."""
