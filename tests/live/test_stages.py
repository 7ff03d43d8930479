"""The layers among which the user walks."""

from __future__ import annotations

from types import SimpleNamespace

from livecam.live.stages import stages


def survey(sizes: dict[str, int], automatic: str) -> SimpleNamespace:
    """A survey of layers with square grids."""
    usable = [
        SimpleNamespace(name=name, is_eligible=True, grid=SimpleNamespace(height=size, width=size))
        for name, size in sizes.items()
    ]
    return SimpleNamespace(usable=usable, automatic=[SimpleNamespace(name=automatic)])


def stages_of(sizes: dict[str, int], automatic: str) -> list[str | None]:
    return stages(survey(sizes, automatic))  # type: ignore[arg-type]


def test_a_small_model_has_all_its_layers() -> None:
    assert stages_of({"a": 8, "b": 8, "c": 4}, "c") == [None, "b", "a"]


def test_the_last_layer_of_each_resolution_outside_of_blocks_is_a_stage() -> None:
    sizes = {"conv1": 32, "relu": 32, "pool": 16}
    for number, size in enumerate((16, 8, 4), 1):
        sizes |= {f"layer{number}.{block}.conv": size for block in range(2)} | {f"layer{number}": size}
    assert stages_of(sizes, "layer3") == [None, "layer2", "layer1", "relu"]


def test_blocks_are_stages_where_the_layers_outside_of_them_are_too_few() -> None:
    sizes = {"stem.pad": 33, "stem": 16}
    for block, size in enumerate((16, 16, 8, 8, 4, 4)):
        sizes |= {f"blocks.{block}.conv": size, f"blocks.{block}": size}
    assert stages_of(sizes | {"head": 4}, "head") == [None, "blocks.3", "blocks.1"]


def test_of_a_transformer_every_so_many_blocks_are_stages() -> None:
    sizes = {f"blocks.{block}.{part}": 14 for block in range(12) for part in ("norm", "mlp")}
    assert stages_of(sizes, "blocks.11.norm") == [None] + [f"blocks.{block}.norm" for block in (9, 7, 5, 3, 1)]
