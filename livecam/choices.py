"""What can be chosen by name, in a module that costs nothing to import."""

COLORMAPS = ("jet", "turbo", "viridis", "inferno", "magma", "plasma", "hot")
VIEWS = ("overlay", "heatmap", "raw", "side-by-side", "panels", "classes", "tints")
METHODS = (
    *("gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "elementwise", "finercam"),
    *("eigencam", "eigengradcam", "fem", "scorecam", "ablationcam"),
)
FITS = ("stretch", "crop", "pad")
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
