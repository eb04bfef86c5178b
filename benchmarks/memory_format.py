"""Does a device gain from images whose channels lie side by side in memory ("channels_last")?

Forward and backward pass of 64 images of Fashion-MNIST's size, as the trainer takes them: on a CPU each core
has a part of the batch. The two orders take turns, round by round. Where one is faster by more than the
rounds differ, it is worth having; ``--device cuda`` asks a GPU.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import report
import torch
from on_images.jobs import timed_on
from torch import Tensor, nn

from diffuscope.networks import NETWORKS
from diffuscope.precision import autocast, half_type
from diffuscope.recipes import load_recipe
from diffuscope.threads import side_by_side

SHAPE, BATCH = (1, 28, 28), 64
KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "`fashion_fast`'s U-Net": ("unet", load_recipe("fashion_fast").network.settings),
    "a U-Net without folding": ("unet", {"width": 32, "multipliers": (1, 2, 4), "blocks": 2}),
    "the annotated model's": ("annotated_unet", {}),
}


def main() -> None:
    arguments = report.parser(__doc__)
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    device = torch.device(options.device)
    rows = []
    for title, (name, settings) in KINDS.items():
        for half in dict.fromkeys((None, half_type("auto", device))):
            steps = [_step(name, settings, half, device, last) for last in (False, True)]
            rounds = [[timed_on(step, device) for step in steps] for _ in range(options.rounds + 1)][1:]
            usual, last = ([one[i] for one in rounds] for i in (0, 1))
            ratios = [a / b for a, b in zip(usual, last, strict=True)]
            rows.append(
                [
                    title,
                    str(half or torch.float32).removeprefix("torch."),
                    f"{1000 * statistics.median(usual):.0f} ms",
                    f"{1000 * statistics.median(last):.0f} ms",
                    f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                ]
            )
    head = ["network", "in", "channels first", "channels last", "gain"]
    suffix = "_cuda" if options.device == "cuda" else ""
    report.publish(f"memory_format{suffix}", report.table(head, rows), options.write)


def _step(
    name: str, settings: dict[str, object], half: torch.dtype | None, device: torch.device, last: bool
) -> Callable[[], None]:
    torch.manual_seed(0)
    order = torch.channels_last if last else torch.contiguous_format
    network: nn.Module = NETWORKS[name](SHAPE, **settings).to(device, memory_format=order)
    weights = list(network.parameters())
    x = torch.randn(BATCH, *SHAPE, device=device).to(memory_format=order)
    level = torch.linspace(-3, 3, BATCH, device=device)
    size = BATCH // torch.get_num_threads() if device.type == "cpu" else BATCH

    def part(start: int) -> tuple[Tensor, ...]:
        with autocast(half, device):
            output = network(x[start : start + size], level[start : start + size])
        return torch.autograd.grad(output.float().square().mean(), weights, allow_unused=True)

    def step() -> None:
        for _ in side_by_side(part, range(0, BATCH, size), device):
            pass

    return step


if __name__ == "__main__":
    main()
