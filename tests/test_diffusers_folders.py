"""Do models go to Hugging Face diffusers and come from there as they are?"""

from __future__ import annotations

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import diffuscope
from diffuscope.cli import main
from diffuscope.data.images.codec import PixelCodec
from diffuscope.diffusion.samplers import trajectory
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.exchange import export_diffusers, import_diffusers
from diffuscope.model import Model
from diffuscope.recipes import load_recipe
from diffuscope.request import Request

# What numpy says of diffusers' own code, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

slow = pytest.mark.slow
SMALL = {"network.block_out_channels": [8, 16], "network.norm_num_groups": 4, "sampling.steps": 10}


def made(shape=(1, 8, 8), **changes) -> Model:
    """A model whose weights are noise."""
    recipe = load_recipe("diffusers").changed({**SMALL, **changes})
    torch.manual_seed(0)
    denoiser = recipe.make_denoiser(shape).eval()
    return Model(recipe, denoiser, PixelCodec(shape))


def their_walk(pipeline, x, steps, labels=None):
    """What the pipeline makes of noise, in units of -1 to 1."""
    pipeline.scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(5)
    for t in pipeline.scheduler.timesteps:
        with torch.no_grad():
            answer = pipeline.unet(x, t, labels).sample
        x = pipeline.scheduler.step(answer, t, x, generator=generator).prev_sample
    return x


def called(*words: str, code: int = 0) -> None:
    """Call the command line, which ends in this way."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == code


def agreement(ours, theirs) -> float:
    return float((ours - theirs).abs().max() / max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize(
    ("pipeline", "changes"),
    [
        ("DDIMPipeline", {}),
        pytest.param("DDIMPipeline", {"schedule.name": "cosine", "schedule.T": 40}, marks=slow),
        pytest.param(
            "DDIMPipeline",
            {"denoiser.prediction": "velocity", "schedule.zero_terminal_snr": True},
            marks=slow,
        ),
        pytest.param(
            "DDIMPipeline", {"denoiser.prediction": "data", "schedule.name": "quadratic"}, marks=slow
        ),
        ("DDIMPipeline", {"sampling.name": "dpmpp_2m", "network.resnet_time_scale_shift": "scale_shift"}),
        pytest.param(
            "DDPMPipeline", {"sampling.name": "ddpm", "schedule.T": 30, "sampling.steps": 30}, marks=slow
        ),
        pytest.param("DDPMPipeline", {"sampling.name": "ddpm", "sampling.spacing": "uniform"}, marks=slow),
        ("DDPMPipeline", {"sampling.name": "ddpm", "sampling.variance": "beta"}),
        pytest.param("DDPMPipeline", {"sampling.name": "ddpm", "schedule.name": "sigmoid"}, marks=slow),
    ],
)
def test_an_exported_model_gives_the_same_images_there(pipeline, changes, tmp_path):
    model = made(**changes)
    folder = export_diffusers(model, tmp_path / "folder")
    opened = getattr(diffusers, pipeline).from_pretrained(folder)
    grid, sampler = model.plan(Request(sampler=None if model.recipe.sampling.name == "ddpm" else "ddim"))
    x = torch.randn((4, *model.shape), generator=torch.Generator().manual_seed(1))
    *_, last = trajectory(model.denoiser, x, grid, sampler, torch.Generator().manual_seed(5))
    assert agreement(last.x, their_walk(opened, x, grid.n_steps)) <= 1e-4
    again = import_diffusers(folder, device="cpu")
    *_, last_again = trajectory(again.denoiser, x, grid, sampler, torch.Generator().manual_seed(5))
    assert torch.equal(last_again.x, last.x)
    for section in ("schedule", "network", "denoiser"):
        assert getattr(again.recipe, section) == getattr(model.recipe, section)


def test_an_exported_model_knows_its_classes(tmp_path):
    model = made(**{"data.classes": ["cat", "dog"]})
    folder = export_diffusers(model, tmp_path / "folder")
    opened = diffusers.DDIMPipeline.from_pretrained(folder)
    grid, sampler = model.plan()
    label = torch.tensor([0, 1, 2])  # the last: any
    x = torch.randn((3, *model.shape), generator=torch.Generator().manual_seed(1))
    *_, last = trajectory(model.denoiser.conditioned(label), x, grid, sampler, torch.Generator())
    assert agreement(last.x, their_walk(opened, x, grid.n_steps, label)) <= 1e-4
    read = import_diffusers(folder, device="cpu")
    assert read.recipe.data.classes == ("cat", "dog")
    with torch.no_grad():
        level = grid.levels.at(3)
        assert torch.equal(read.denoiser(x, level), model.denoiser(x, level, torch.full((3,), 2)))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A folder as diffusers itself writes it, with settings that are not ours."""
    torch.manual_seed(3)
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(8, 8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        norm_eps=1e-6,
        attention_head_dim=4,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        mid_block_scale_factor=1.4,
    )
    scheduler = diffusers.DDPMScheduler(variance_type="fixed_large")
    folder = tmp_path_factory.mktemp("foreign") / "folder"
    diffusers.DDPMPipeline(network, scheduler).save_pretrained(folder)
    return folder, network.eval()


def answers(model: Model, network) -> float:
    """How far the network of a model is from the one that it was read from."""
    x = torch.randn((3, *model.shape), generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 400, 999])
    with torch.no_grad():
        return float((model.denoiser.network(x, t) - network(x, t).sample).abs().max())


def test_a_foreign_model_answers_here_as_there(foreign):
    folder, network = foreign
    model = import_diffusers(folder, data="digits", device="cpu")
    assert answers(model, network) == 0
    assert model.shape == (3, 8, 8)
    recipe = model.recipe
    assert (recipe.schedule.name, recipe.schedule.settings["T"]) == ("linear", 1000)
    assert (recipe.sampling.name, recipe.sampling.settings) == ("ddpm", {"variance": "beta"})
    assert recipe.data.source == "digits"


def test_folders_of_the_first_versions_are_read(foreign, tmp_path):
    """Files side by side, attention under its old names, weights in 16 bits."""
    folder, network = foreign
    for file in (folder / "unet" / "config.json", folder / "scheduler" / "scheduler_config.json"):
        shutil.copy(file, tmp_path)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, tensor in weights.items():
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.")
        renamed[name] = tensor
    assert set(renamed) != set(weights)
    save_file(renamed, tmp_path / "diffusion_pytorch_model.safetensors")
    assert answers(import_diffusers(tmp_path, device="cpu"), network) == 0
    halves = {name: tensor.half() for name, tensor in renamed.items()}
    save_file(halves, tmp_path / "diffusion_pytorch_model.safetensors")
    assert 0 < answers(import_diffusers(tmp_path, device="cpu"), network) < 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("little", "features_are_pixels")
def test_a_foreign_model_is_sampled_and_diagnosed_from_the_command_line(tmp_path, capsys):
    torch.manual_seed(3)
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=20, beta_end=0.2)
    diffusers.DDIMPipeline(network, scheduler).save_pretrained(tmp_path / "folder")
    run = str(tmp_path / "run")
    called("import", str(tmp_path / "folder"), "--out", run, "--data", "digits")
    assert "diffuscope sample" in capsys.readouterr().out
    called("sample", run, "-n", "4", "-o", str(tmp_path / "x.npy"), "--sampler", "dpmpp_2m", "--steps", "5")
    images = np.load(tmp_path / "x.npy")
    assert images.shape == (4, 1, 8, 8)
    assert images.dtype == np.uint8
    found = diffuscope.diagnose(tmp_path / "run", sampler="ddim", steps=5)
    assert found.findings  # an untrained network: there is something to say
    called("import", str(tmp_path / "folder"), "--out", run, code=2)
    assert "already exists" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("features_are_pixels")
def test_a_model_trained_here_is_exported_from_the_command_line(tmp_path):
    run = tmp_path / "run"
    settings = [f"{key}={json.dumps(value)}" for key, value in {**SMALL, "training.steps": 2}.items()]
    chosen = [word for setting in settings for word in ("--set", setting)]
    called("train", "digits", "--recipe", "diffusers", "--out", str(run), *chosen)
    called("export", str(run), "-o", str(tmp_path / "folder"))
    opened = diffusers.DDIMPipeline.from_pretrained(tmp_path / "folder")
    assert opened.unet.config.num_class_embeds == 11
    assert import_diffusers(tmp_path / "folder").recipe.data.classes == tuple("0123456789")


# --- what cannot be ----------------------------------------------------------------------------------------


def edited(folder, tmp_path, file, change):
    """A copy of a folder in which one JSON file is changed."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    value = json.loads((copy / file).read_text())
    change(value)
    (copy / file).write_text(json.dumps(value))
    return copy


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("_class_name", "UNet2DConditionModel", "Only UNet2DModel"),
        ("sample_size", None, "image size"),
        ("sample_size", [8, "8"], "image size"),
        ("sample_size", 10**9, "Each side"),
        ("sample_size", 6, "halved"),
        ("in_channels", 4, "channels"),
        ("out_channels", 6, "channels"),
        ("block_out_channels", [10**9, 8, 8], "block_out_channels"),
        ("block_out_channels", [16, 16, 16], "weights"),
        ("block_out_channels", [], "channels"),
        ("down_block_types", ["SkipDownBlock2D", "DownBlock2D", "DownBlock2D"], "down_block_types"),
        ("layers_per_block", 10**6, "layers_per_block"),
        ("norm_num_groups", 3, "divisible"),
        ("attention_head_dim", None, "attention_head_dim"),
        ("attention_head_dim", 100, "attention_head_dim"),
        ("mid_block_type", None, "mid_block_type"),
        ("time_embedding_type", "fourier", "time_embedding_type"),
        ("time_embedding_type", "learned", "num_train_timesteps"),
        ("class_embed_type", "timestep", "class_embed_type"),
        ("num_class_embeds", 10, "--null-class"),
        ("num_class_embeds", "ten", "num_class_embeds"),
        ("something_new", 1, "something_new"),
    ],
)
def test_networks_that_do_not_map_are_refused_by_name(key, value, said, foreign, tmp_path):
    folder = edited(foreign[0], tmp_path, "unet/config.json", lambda config: config.update({key: value}))
    with pytest.raises(DiffuscopeError) as caught:
        import_diffusers(folder, device="cpu")
    assert said in str(caught.value) + str(caught.value.hint)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("_class_name", "EulerDiscreteScheduler", "_class_name"),
        ("beta_schedule", "exponential", "beta_schedule"),
        ("prediction_type", "flow", "prediction_type"),
        ("variance_type", "learned", "variance_type"),
        ("trained_betas", [0.1, 0.2], "trained_betas"),
        ("thresholding", True, "thresholding"),
        ("num_train_timesteps", 10**9, "steps"),
        ("num_train_timesteps", "many", "T"),
        ("beta_end", 2.0, "beta"),
        ("rescale_betas_zero_snr", True, "zero terminal"),  # with noise prediction
    ],
)
def test_schedulers_that_do_not_map_are_refused_by_name(key, value, said, foreign, tmp_path):
    file = "scheduler/scheduler_config.json"
    folder = edited(foreign[0], tmp_path, file, lambda config: config.update({key: value}))
    with pytest.raises(DiffuscopeError) as caught:
        import_diffusers(folder, device="cpu")
    assert said in str(caught.value) + str(caught.value.hint)


def test_files_that_are_missing_or_damaged_are_named(foreign, tmp_path):
    folder = tmp_path / "copy"
    with pytest.raises(InputError, match="no folder"):
        import_diffusers(folder)
    shutil.copytree(foreign[0], folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    with pytest.raises(FormatError, match="cut short"):
        import_diffusers(folder, device="cpu")
    weights = load_file(foreign[0] / "unet" / file.name)
    save_file({**weights, "conv_in.bias": torch.full_like(weights["conv_in.bias"], torch.nan)}, file)
    with pytest.raises(FormatError, match="not finite"):
        import_diffusers(folder, device="cpu")
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"\.bin") as caught:
        import_diffusers(folder, device="cpu")
    assert "safe_serialization" in str(caught.value.hint)
    (folder / "unet" / "config.json").write_text("[" * 100_000)
    with pytest.raises(FormatError, match=r"config\.json"):
        import_diffusers(folder, device="cpu")
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(DiffuscopeError):
        import_diffusers(folder, device="cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule.name": "cosine", "schedule.offset": 0.02}, "cosine"),
        ({"schedule.name": "vp"}, "vp"),
        ({"schedule.name": "sigmoid"}, "DDIM"),
        ({"denoiser.prediction": "flow"}, "flow"),
    ],
)
def test_models_that_do_not_map_are_not_exported(changes, said, tmp_path):
    with pytest.raises(InputError, match=said):
        export_diffusers(made(**changes), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_other_networks_and_taken_names_are_refused(tmp_path):
    recipe = load_recipe("digits").changed({"network.width": 8})
    model = Model(recipe, recipe.make_denoiser((1, 8, 8)), made().codec)
    with pytest.raises(InputError, match="unet") as caught:
        export_diffusers(model, tmp_path / "folder")
    assert "--recipe diffusers" in str(caught.value.hint)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    with pytest.raises(DiffuscopeError):
        export_diffusers(made(), tmp_path / "folder")
    assert (tmp_path / "folder" / "mine.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_without_diffusers_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers.models.unets.unet_2d", None)
    with pytest.raises(InputError, match="not installed") as caught:
        made()
    assert "diffuscope[diffusers]" in str(caught.value.hint)
