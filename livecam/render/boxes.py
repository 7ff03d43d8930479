"""Boxes of detected objects, with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from livecam.explanation import Box, ClassMap, Explanation
from livecam.picture.media import Region
from livecam.render.canvas import BLACK, RGB, WHITE, Canvas
from livecam.render.letters import SMALLEST_LETTERS, letter_size, render_line

_LETTERS = 2 / 3
"""The size of the letters, by that of a caption's."""
_BRIGHT = 140
"""The luma from which on a colour is bright, so that letters on it are black."""


def draw_boxes(
    canvas: Canvas,
    explanation: Explanation,
    classes: Sequence[ClassMap],
    color_of: Callable[[Box], RGB],
    *,
    labels: bool,
) -> None:
    """Draw all boxes: those that are explained with wider lines and filled labels.

    Args:
        canvas: What to draw on.
        explanation: Has the boxes.
        classes: The classes whose boxes are explained.
        color_of: Returns the colour of a box.
        labels: Write class and score above the boxes.
    """
    explained = {box for one in classes for box in one.boxes}
    # The most probable ones come last, on top.
    for box in sorted(explanation.boxes, key=lambda box: (box in explained, box.score)):
        color, is_explained = color_of(box), box in explained
        canvas.frame(Region(box.left, box.top, box.right, box.bottom), color, wide=is_explained)
        if labels:
            _label(canvas, box, f"{box.label} {explanation.described(box.score)}", color, is_filled=is_explained)


def _label(canvas: Canvas, box: Box, text: str, color: RGB, *, is_filled: bool) -> None:
    """Write a text above a box, or in its top where there is no room above; nothing if it does not fit the picture."""
    width, height = canvas.upright_size
    size = max(SMALLEST_LETTERS, round(_LETTERS * letter_size(width, height)))
    if width < size:
        return
    letters = render_line(text, size, width)
    rows, columns = letters.shape
    x = min(round(box.left * width), width - columns) // 2 * 2
    y = round(box.top * height) // 2 * 2
    y = y - rows if y >= rows else y
    if y + rows > height:
        return
    if is_filled:
        canvas.write(letters, max(x, 0), y, _ink_on(color), fill=color)
    else:
        canvas.write(letters, max(x, 0), y, color)


def _ink_on(rgb: RGB) -> RGB:
    """Return black or white, whichever can be read on a colour."""
    red, green, blue = rgb
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT else WHITE
