"""A folder for each kind of data: how a trained model of it samples, is measured, is drawn."""
