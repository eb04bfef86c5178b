"""The mathematics: schedules, denoisers, losses, samplers and guidance. It knows nothing of kinds of data."""
