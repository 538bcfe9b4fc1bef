"""Weights for the real shape pipeline that are small enough for a CPU, and need no training to give a surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

LATENTS, CHANNELS, WIDTH, FREQUENCIES = 16, 8, 32, 2
DINO = {
    "hidden_size": 32,
    "image_size": 28,
    "patch_size": 14,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "model_type": "dinov2",
}


def config() -> dict[str, Any]:
    """config.yaml as the real weights have it, with small numbers."""
    return {
        "model": {
            "target": "hy3dshape.models.denoisers.hunyuandit.HunYuanDiTPlain",
            "params": {
                "input_size": LATENTS,
                "in_channels": CHANNELS,
                "hidden_size": 32,
                "context_dim": 32,
                "depth": 3,
                "num_heads": 2,
                "qk_norm": True,
                "text_len": 5,
                "with_decoupled_ca": False,
                "use_attention_pooling": False,
                "qk_norm_type": "rms",
                "qkv_bias": False,
                "use_pos_emb": False,
                "num_moe_layers": 1,
                "num_experts": 2,
                "moe_top_k": 2,
            },
        },
        "vae": {
            "target": "hy3dshape.models.autoencoders.ShapeVAE",
            "params": {
                "num_latents": LATENTS,
                "embed_dim": CHANNELS,
                "num_freqs": FREQUENCIES,
                "include_pi": False,
                "heads": 2,
                "width": WIDTH,
                "num_encoder_layers": 1,
                "num_decoder_layers": 1,
                "qkv_bias": False,
                "qk_norm": True,
                "scale_factor": 1.0,
                "geo_decoder_mlp_expand_ratio": 4,
                "geo_decoder_downsample_ratio": 1,
                "geo_decoder_ln_post": True,
                "point_feats": 4,
                "pc_size": 64,
                "pc_sharpedge_size": 0,
            },
        },
        "conditioner": {
            "target": "hy3dshape.models.conditioner.SingleImageEncoder",
            "params": {
                "main_image_encoder": {
                    "type": "DinoImageEncoder",
                    "kwargs": {"config": DINO, "image_size": 28, "use_cls_token": True},
                }
            },
        },
        "scheduler": {
            "target": "hy3dshape.schedulers.FlowMatchEulerDiscreteScheduler",
            "params": {"num_train_timesteps": 1000},
        },
        "image_processor": {
            "target": "hy3dshape.preprocessors.ImageProcessorV2",
            "params": {"size": 64, "border_ratio": 0.15},
        },
    }


def write(folder: Path) -> Path:
    """Write `hunyuan3d-dit-v2-1/` into `folder`. The code of the checkout must be importable."""
    from hy3dshape.pipelines import instantiate_from_config

    torch.manual_seed(0)
    wanted = config()
    parts = {name: instantiate_from_config(wanted[name]) for name in ("model", "vae", "conditioner")}
    make_round(parts["vae"])
    target = folder / "hunyuan3d-dit-v2-1"
    target.mkdir(parents=True)
    (target / "config.yaml").write_text(yaml.safe_dump(wanted))
    torch.save({name: part.half().state_dict() for name, part in parts.items()}, target / "model.fp16.ckpt")
    return target


def make_round(vae: Any, radius: float = 1.0) -> None:
    """Set the geometry decoder so that its level 0 is about a sphere, which image and seed still deform.

    Channel pairs carry +f and -f with f = cos x + cos y + cos z - (2 + cos radius). Layer normalisation divides
    by the spread and so keeps f's sign.
    """
    decoder = vae.geo_decoder
    with torch.no_grad():
        weight, bias = decoder.query_proj.weight, decoder.query_proj.bias
        weight.zero_()
        bias.zero_()
        # Input: 3 coordinates, then sin of each coordinate at each frequency, then cos; frequency 1 comes first.
        cosines = [3 + 3 * FREQUENCIES + axis * FREQUENCIES for axis in range(3)]
        level = 2.0 + float(torch.cos(torch.tensor(radius)))
        signs = torch.tensor([1.0, -1.0]).repeat(WIDTH // 2)
        for at in cosines:
            weight[:, at] = signs
        bias.copy_(-level * signs)
        block = decoder.cross_attn_decoder
        block.attn.c_proj.weight.mul_(0.3)
        block.attn.c_proj.bias.zero_()
        block.mlp.c_proj.weight.zero_()
        block.mlp.c_proj.bias.zero_()
        decoder.ln_post.weight.fill_(1.0)
        decoder.ln_post.bias.zero_()
        decoder.output_proj.weight.copy_(signs[None] / WIDTH)
        decoder.output_proj.bias.zero_()
