"""How does a model leave for other programs, and come from them?"""

from diffuscope.exchange.diffusers import export_diffusers, import_diffusers, import_run
from diffuscope.exchange.onnx import export_onnx

__all__ = ["export_diffusers", "export_onnx", "import_diffusers", "import_run"]
