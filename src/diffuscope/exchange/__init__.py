"""How does a model leave for other programs?"""

from diffuscope.exchange.onnx import export_onnx

__all__ = ["export_onnx"]
