"""What can be chosen by name, in a module that costs nothing to import."""

COLORMAPS = ("jet", "turbo", "viridis", "inferno", "magma", "plasma", "hot")
FITS = ("stretch", "crop", "pad")
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
