"""What there is to learn from: a folder for each kind of data, and what all kinds share."""
