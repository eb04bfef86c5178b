"""The mathematics: schedules, denoisers, losses, samplers and guidance. Independent of the kind of data."""
