"""From data to a run directory and back: plan, set up, train, open again, evaluate."""
