"""How are models exported to and imported from other software?"""

from diffuscope.exchange.diffusers import export_diffusers, import_diffusers, import_run
from diffuscope.exchange.onnx import export_onnx

__all__ = ["export_diffusers", "export_onnx", "import_diffusers", "import_run"]
