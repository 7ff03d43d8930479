"""Tiny vision transformers, and their LeGrad and attention rollout written out by hand in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
import transformers
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

SIDE, CELLS, HEADS, DEPTH, CLASSES = 64, 8, 2, 3, 5

TIMM = {"img_size": SIDE, "patch_size": 8, "embed_dim": 16, "depth": DEPTH, "num_heads": HEADS, "num_classes": CLASSES}
_HUGGING_FACE = {
    "hidden_size": 16,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
    "num_labels": CLASSES,
}


@dataclass(frozen=True)
class Written:
    """A transformer in parts, for one picture: tokens are (1, N, C), weights of attention (heads, queries, keys).

    Attributes:
        embed: From the input, (1, 3, side, side), to the first tokens.
        attend: For each block, its weights for what the block before returns.
        finish: For each block, what it returns, given that and its weights.
        score: From what the last block returns, and the weights of the pooling head, to (classes,).
        gather: The weights of the pooling head for what the last block returns; none without one.
        readers: The tokens that the head takes without a pooling head: class tokens, or those of the picture.
        first: The first token of the picture; they are the last ones.
    """

    embed: Callable[[Tensor], Tensor]
    attend: Sequence[Callable[[Tensor], Tensor]]
    finish: Sequence[Callable[[Tensor, Tensor], Tensor]]
    score: Callable[[Tensor, Tensor | None], Tensor]
    readers: Sequence[int]
    first: int
    gather: Callable[[Tensor], Tensor] | None = None

    def legrad(self, inputs: Tensor, target: int, last: Sequence[int]) -> Tensor:
        """The map (h, w) of the blocks with these numbers."""
        tokens, values = self.embed(inputs), []
        for number, (attend, finish) in enumerate(zip(self.attend, self.finish, strict=True)):
            weights = attend(tokens).detach().requires_grad_()
            returned = finish(tokens.detach(), weights)
            pool = self.gather(returned.detach()).detach().requires_grad_() if self.gather else None
            if number in last:
                score = self.score(returned, pool)[target]
                (gradient,) = torch.autograd.grad(score, weights if pool is None else pool)
                values.append(gradient.clamp(min=0).mean(dim=(0, 1)))
            tokens = returned.detach()
        return self._on_grid(sum(values) / len(values))

    def rollout(self, inputs: Tensor) -> Tensor:
        """The map (h, w)."""
        tokens, flow = self.embed(inputs), None
        for attend, finish in zip(self.attend, self.finish, strict=True):
            weights = attend(tokens)
            mixed = 0.5 * weights.mean(dim=0) + 0.5 * torch.eye(weights.shape[-1]).double()
            flow = mixed if flow is None else mixed @ flow
            tokens = finish(tokens, weights)
        rows = flow[self.readers].mean(dim=0) if self.gather is None else self.gather(tokens).mean(dim=(0, 1)) @ flow
        return self._on_grid(rows)

    def _on_grid(self, values: Tensor) -> Tensor:
        of_picture = values[self.first :].detach()
        return (of_picture - of_picture.min()).reshape(CELLS, CELLS)


def weights_of(query: Tensor, key: Tensor) -> Tensor:
    """(heads, queries, d) and (heads, keys, d) -> (heads, queries, keys)."""
    return (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).softmax(dim=2)


def by_head(tokens: Tensor) -> Tensor:
    """(1, N, C) -> (heads, N, C / heads)."""
    return tokens[0].reshape(tokens.shape[1], HEADS, -1).transpose(0, 1)


def joined(heads: Tensor) -> Tensor:
    """(heads, N, d) -> (1, N, heads * d)."""
    return heads.transpose(0, 1).flatten(1)[None]


def written_torchvision(model: Any) -> Written:
    def embed(inputs: Tensor) -> Tensor:
        return torch.cat([model.class_token, model._process_input(inputs)], dim=1) + model.encoder.pos_embedding

    def projected(block: Any, tokens: Tensor) -> list[Tensor]:
        attention = block.self_attention
        all_three = functional.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        return list(map(by_head, all_three.chunk(3, dim=2)))

    def finish(block: Any, tokens: Tensor, weights: Tensor) -> Tensor:
        tokens = tokens + block.self_attention.out_proj(joined(weights @ projected(block, tokens)[2]))
        return tokens + block.mlp(block.ln_2(tokens))

    return Written(
        embed,
        [lambda tokens, block=block: weights_of(*projected(block, tokens)[:2]) for block in model.encoder.layers],
        [lambda tokens, weights, block=block: finish(block, tokens, weights) for block in model.encoder.layers],
        lambda tokens, _: model.heads(model.encoder.ln(tokens)[:, 0])[0],
        readers=[0],
        first=1,
    )


def written_timm(model: Any) -> Written:
    def projected(block: Any, tokens: Tensor) -> list[Tensor]:
        return list(map(by_head, block.attn.qkv(block.norm1(tokens)).chunk(3, dim=2)))

    def finish(block: Any, tokens: Tensor, weights: Tensor) -> Tensor:
        tokens = tokens + block.attn.proj(joined(weights @ projected(block, tokens)[2]))
        return tokens + block.mlp(block.norm2(tokens))

    def gather(tokens: Tensor) -> Tensor:
        pool = model.attn_pool
        return weights_of(by_head(pool.q(pool.latent)), by_head(pool.kv(model.norm(tokens)).chunk(2, dim=2)[0]))

    def score(tokens: Tensor, pooling: Tensor | None) -> Tensor:
        if pooling is None:
            return model.forward_head(model.norm(tokens))[0]
        pool = model.attn_pool
        gathered = pool.proj(joined(pooling @ by_head(pool.kv(model.norm(tokens)).chunk(2, dim=2)[1])))
        return model.head(model.fc_norm(gathered + pool.mlp(pool.norm(gathered)))[:, 0])[0]

    first = model.num_prefix_tokens
    tokens = first + CELLS**2
    has_class = model.cls_token is not None
    classes = range(2 if isinstance(model, VisionTransformerDistilled) else 1)
    return Written(
        lambda inputs: model.norm_pre(model._pos_embed(model.patch_embed(inputs))),
        [lambda tokens, block=block: weights_of(*projected(block, tokens)[:2]) for block in model.blocks],
        [lambda tokens, weights, block=block: finish(block, tokens, weights) for block in model.blocks],
        score,
        readers=list(classes) if has_class else list(range(first, tokens)),
        first=first,
        gather=gather if model.global_pool == "map" else None,
    )


def written_dinov2(model: Any) -> Written:
    layers = model.dinov2_with_registers.encoder.layer

    def projected(block: Any, tokens: Tensor) -> list[Tensor]:
        own, normed = block.attention, block.norm1(tokens)
        return [by_head(each(normed)) for each in (own.q_proj, own.k_proj, own.v_proj)]

    def finish(block: Any, tokens: Tensor, weights: Tensor) -> Tensor:
        attended = block.attention.o_proj(joined(weights @ projected(block, tokens)[2]))
        tokens = tokens + block.layer_scale1(attended)
        return tokens + block.layer_scale2(block.mlp(block.norm2(tokens)))

    def score(tokens: Tensor, _: Tensor | None) -> Tensor:
        normed = model.dinov2_with_registers.layernorm(tokens)
        return model.classifier(torch.cat([normed[:, 0], normed[:, 5:].mean(dim=1)], dim=1))[0]

    return Written(
        model.dinov2_with_registers.embeddings,
        [lambda tokens, block=block: weights_of(*projected(block, tokens)[:2]) for block in layers],
        [lambda tokens, weights, block=block: finish(block, tokens, weights) for block in layers],
        score,
        readers=[0],
        first=5,
    )


def torchvision_transformer() -> nn.Module:
    model = torchvision.models.VisionTransformer(
        image_size=SIDE,
        patch_size=8,
        num_layers=DEPTH,
        num_heads=HEADS,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=CLASSES,
    )
    return shaken(model)


def timm_transformer(**options: Any) -> nn.Module:
    return shaken(VisionTransformer(**TIMM, **options))


def distilled_transformer() -> nn.Module:
    return shaken(VisionTransformerDistilled(**TIMM))


def unfused_transformer() -> nn.Module:
    """As timm runs it where it does not use PyTorch's fused attention."""
    model = timm_transformer()
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def registered_transformer(implementation: str) -> nn.Module:
    """DINOv2 with registers, of transformers; its attention is "sdpa" or "eager"."""
    config = transformers.Dinov2WithRegistersConfig(**_HUGGING_FACE, attn_implementation=implementation)
    return shaken(transformers.Dinov2WithRegistersForImageClassification(config))


def pooled_in_vain() -> nn.Module:
    """SigLIP of transformers, which classifies the mean of its tokens, and pools them by attention as well."""
    vision = {key: value for key, value in _HUGGING_FACE.items() if key != "num_labels"}
    config = transformers.SiglipConfig(vision_config=vision, text_config={**vision, "vocab_size": 16}, num_labels=5)
    return shaken(transformers.SiglipForImageClassification(config))


def shaken(model: nn.Module) -> nn.Module:
    """Return a model with weights from which attention is far from even."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * (0.25 if weight.ndim > 1 else 0.1))
    return model.eval()


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Written]]] = {
    "torchvision": (torchvision_transformer, written_torchvision),
    "timm": (timm_transformer, written_timm),
    "timm, not fused": (unfused_transformer, written_timm),
    "timm with registers": (lambda: timm_transformer(reg_tokens=4), written_timm),
    "timm, mean of the picture's tokens": (
        lambda: timm_transformer(reg_tokens=4, class_token=False, global_pool="avg"),
        written_timm,
    ),
    "timm with a pooling head": (lambda: timm_transformer(class_token=False, global_pool="map"), written_timm),
    "timm, distilled": (distilled_transformer, written_timm),
    "transformers": (lambda: registered_transformer("sdpa"), written_dinov2),
    "transformers, eager": (lambda: registered_transformer("eager"), written_dinov2),
}
