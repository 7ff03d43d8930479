"""Prompts: the texts that a model compares pictures with, which take the place of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from livecam.errors import ModelOptionError
from livecam.models.classifier import Classifier
from livecam.models.known import CLIP

MOST_PROMPTS = 32


def checked(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """Return prompts without spaces around them. Raises ModelError if there are none or too many, or two are equal."""
    texts = tuple(map(str.strip, [prompts] if isinstance(prompts, str) else prompts))
    if not texts or "" in texts:
        raise ModelOptionError('a prompt is empty; write what a picture may show, such as "a photo of a dog"')
    if len(texts) > MOST_PROMPTS:
        raise ModelOptionError(
            f"there are {len(texts)} prompts, and at most {MOST_PROMPTS} are compared; leave some out"
        )
    if len(set(texts)) < len(texts):
        raise ModelOptionError(f"the prompt {max(texts, key=texts.count)!r} is given twice; leave one out")
    return texts


def prompted(classifier: Classifier, prompts: str | Sequence[str] | None) -> Classifier:
    """Return the classifier with these prompts as its labels; None leaves those that it has. Raises ModelError."""
    if classifier.encoder is None:
        if not prompts:
            return classifier
        raise ModelOptionError(
            f"{classifier.name} has classes of its own; a prompt is for models that compare pictures with words, such "
            f"as --model {CLIP}ViT-B-16"
        )
    given = prompts or classifier.labels
    if not given:
        raise ModelOptionError(
            f'{classifier.name} compares pictures with words; give it some: --prompt "a dog" --prompt "a cat", '
            'or in Python prompts=["a dog", "a cat"]'
        )
    return replace(classifier, labels=checked(given))
