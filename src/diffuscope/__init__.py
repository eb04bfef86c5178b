"""Train, watch and diagnose diffusion models."""

__version__ = "0.1.0"
