"""What can be chosen by name, in a module that costs nothing to import."""

COLORMAPS = ("jet", "turbo", "viridis", "inferno", "magma", "plasma", "hot")
VIEWS = ("overlay", "heatmap", "raw", "side-by-side", "panels", "classes", "tints")
METHODS = (
    *("gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "elementwise", "finercam"),
    *("eigencam", "eigengradcam", "fem", "scorecam", "ablationcam"),
)
LARGEST_BLUR_CELLS = 100
"""The standard deviation up to which a map may be smoothed; beyond that it is the same all over."""
ENGINES = ("auto", "eager", "compiled")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
FITS = ("stretch", "crop", "pad")
DISPLAYS = ("explained", "every")
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
READ_VIDEO_ENDINGS = (
    *(*VIDEO_ENDINGS, ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".vob"),
    *(".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".y4m"),
)
"""What is taken for a video in a folder; a file that is named may have any ending."""
READ_PICTURE_ENDINGS = (
    *(*PICTURE_ENDINGS, ".gif", ".jfif", ".jp2", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".tga"),
)
"""What is taken for a picture. HEIC can not be read, but is told so rather than passed over."""
