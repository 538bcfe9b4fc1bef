"""Weights for the real paint pipeline that are small enough for a CPU. Random: the textures mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UniPCMultistepScheduler
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model


def write(folder: Path) -> None:
    """Write `hunyuan3d-paintpbr-v2-1/` and `dinov2-giant/`. The code of the checkout must be importable."""
    from hunyuanpaintpbr.unet.modules import UNet2p5DConditionModel

    torch.manual_seed(0)
    paint = folder / "hunyuan3d-paintpbr-v2-1"
    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": [32, 64],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "cross_attention_dim": 1024,
        "attention_head_dim": [2, 4],
        "use_linear_projection": True,
        "norm_num_groups": 8,
    }
    unet = UNet2p5DConditionModel(UNet2DConditionModel(**settings))
    unet.unet.conv_in = torch.nn.Conv2d(12, 32, 3, padding=1)
    (paint / "unet").mkdir(parents=True)
    (paint / "unet" / "config.json").write_text(json.dumps(settings))
    torch.save(unet.half().state_dict(), paint / "unet" / "diffusion_pytorch_model.bin")
    AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
    ).save_pretrained(paint / "vae")
    UniPCMultistepScheduler().save_pretrained(paint / "scheduler")
    dino = folder / "dinov2-giant"
    Dinov2Model(
        Dinov2Config(
            hidden_size=1536,
            num_hidden_layers=1,
            num_attention_heads=24,
            mlp_ratio=1,
            image_size=28,
            patch_size=14,
        )
    ).half().save_pretrained(dino)
    BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, do_center_crop=True
    ).save_pretrained(dino)


def write_upscaler(path: Path) -> None:
    """A RealESRGAN checkpoint of the real architecture with one block of four features."""
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    torch.manual_seed(0)
    network = RRDBNet(in_nc=3, out_nc=3, num_filters=4, num_blocks=1, scale=4)
    torch.save({"params_ema": network.state_dict()}, path)
