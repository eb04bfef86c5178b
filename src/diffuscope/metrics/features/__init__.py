"""How are images compared? In the features of a small classifier."""

from diffuscope.metrics.features.cache import cached_classifier
from diffuscope.metrics.features.classifier import Classifier, Extractor, Judged
from diffuscope.metrics.features.inception import InceptionFeatures
from diffuscope.metrics.features.pixels import FEWEST, PixelFeatures
from diffuscope.metrics.features.quality import ImageQuality, image_quality
from diffuscope.metrics.features.training import train_classifier

__all__ = [
    "FEWEST",
    "Classifier",
    "Extractor",
    "ImageQuality",
    "InceptionFeatures",
    "Judged",
    "PixelFeatures",
    "cached_classifier",
    "image_quality",
    "train_classifier",
]
