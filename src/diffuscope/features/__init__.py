"""In what are images compared? In the features of a small network that knows what is on them."""

from diffuscope.features.cache import cached_classifier
from diffuscope.features.classifier import Classifier, Extractor, Judged
from diffuscope.features.inception import InceptionFeatures
from diffuscope.features.quality import ImageQuality, image_quality
from diffuscope.features.training import train_classifier

__all__ = [
    "Classifier",
    "Extractor",
    "ImageQuality",
    "InceptionFeatures",
    "Judged",
    "cached_classifier",
    "image_quality",
    "train_classifier",
]
