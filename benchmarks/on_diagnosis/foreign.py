"""Which pipelines are folders? Runs of our own trainer, and imported models of Hugging Face diffusers.

Both are kept beside the trained networks, by a hash of what made them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from .data import changed, frame
from .networks import cache_folder

__all__ = ["imported", "run_of"]


def _place(kind: str, what: Any) -> Path:
    return (
        cache_folder()
        / f"{kind}-{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]}"
    )


def run_of(
    data: str, seed: int, change: str = "", arguments: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Any]:
    """Return the question about a run of our own trainer.

    ``arguments`` go to ``diffuscope.train`` and ``settings``, with ``__`` for the point, into its recipe.
    """
    import diffuscope
    from diffuscope import DiffuscopeError

    brought = changed(data, seed, change)
    # Built-in names stay names; rows of the mixed table come as people keep them.
    given: Any = frame(brought.x) if data == "table12" else brought.given
    given = data if data == "digits" else given
    named = {name.replace("__", "."): value for name, value in settings.items()}
    place = _place("run", [data, seed, change, arguments, named])
    if not place.is_dir():
        fresh = place.with_suffix(f".{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            diffuscope.train(
                given,
                out=fresh,
                seed=seed,
                pictures=False,
                progress=False,
                settings=named,
                **(arguments or {}),
            )
        except DiffuscopeError:
            if not (fresh / "failure.json").is_file():
                raise
        fresh.replace(place)
    made: dict[str, Any] = {"subject": place}
    if not isinstance(given, str):
        made["data"] = given
    return made


def imported(
    seed: int, steps: int, rate: float, betas: dict[str, Any], config: dict[str, Any]
) -> dict[str, Any]:
    """Return the question about a ``UNet2DModel`` of digits that was trained with ``betas``.

    ``config`` is what the folder says otherwise than the training, such as another ``prediction_type``.
    """
    folder = _unet(seed, steps, rate, betas)
    place = _place("import", [folder.name, config])
    if not place.is_dir():
        changed_folder = place.with_name(f"{place.name}.folder.{os.getpid()}")
        shutil.copytree(folder, changed_folder)
        path = changed_folder / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | config), "utf-8")
        command = [
            sys.executable,
            "-c",
            "from diffuscope.cli import main; main()",
            "import",
            str(changed_folder),
        ]
        fresh = place.with_suffix(f".{os.getpid()}")
        ended = subprocess.run(
            [*command, "-o", str(fresh), "--data", "digits"], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise RuntimeError(ended.stderr.strip()[-300:])
        fresh.replace(place)
        shutil.rmtree(changed_folder)
    return {"subject": place}


def _unet(seed: int, steps: int, rate: float, betas: dict[str, Any]) -> Path:
    """Train a small U-Net of diffusers on digits, as its own example does; save it as a pipeline."""
    place = _place("folder", [seed, steps, rate, betas])
    if place.is_dir():
        return place
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    from diffuscope.data.images import load_images

    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    images = torch.tensor(load_images("digits").x).float() / 127.5 - 1
    images = images.reshape(len(images), 1, 8, 8)
    model = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(24, 48),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    scheduler = DDPMScheduler(clip_sample=False, **betas)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    times = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x_0 = images[torch.randint(len(images), (64,), generator=random)]
        eps = torch.randn(x_0.shape, generator=random)
        t = torch.randint(scheduler.config.num_train_timesteps, (64,), generator=random)
        loss = (model(scheduler.add_noise(x_0, eps, t), t).sample - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        times.step()
    fresh = place.with_suffix(f".{os.getpid()}")
    DDPMPipeline(unet=model, scheduler=scheduler).save_pretrained(fresh, safe_serialization=True)
    fresh.replace(place)
    return place
