"""Make the circle a kind of data in processes that tests start: this folder is on their PYTHONPATH."""

from circle import KIND

from diffuscope.data.kinds import KINDS

KINDS["circle"] = KIND
