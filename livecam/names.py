"""The names that a user can type: methods, views, file endings and so on. This module has no imports."""

COLORMAPS = ("jet", "turbo", "viridis", "inferno", "magma", "plasma", "hot")
VIEWS = ("overlay", "heatmap", "raw", "side-by-side", "panels", "classes", "tints", "timeline")
BLENDS = ("evidence", "uniform")
"""How the heatmap is laid over the picture."""
LAYER_METHODS = (
    *("gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "elementwise", "finercam"),
    *("eigencam", "eigengradcam", "fem", "scorecam", "ablationcam"),
)
"""The methods that explain the output of layers, of any model."""
METHODS = (*LAYER_METHODS, "legrad", "rollout")
"""All methods; the last ones explain the attention of vision transformers."""
USUAL_METHOD = "gradcam"
"""The method that captions do not name."""
LARGEST_BLUR_CELLS = 100
"""Largest standard deviation by which a map may be smoothed; a larger one would leave it uniform."""
TASKS = ("classes", "masks", "boxes", "words")
"""What a model says of a picture: its class, the class of every pixel, boxes with classes, or which words fit."""
SCORES = ("auto", "softmax", "sigmoid", "raw")
"""How a model's outputs become the scores that are shown."""
ENGINES = ("auto", "eager", "compiled")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
FITS = ("stretch", "crop", "pad")
DISPLAYS = ("explained", "every")
SHOWN_IN = ("window", "browser")
"""Where a live run is shown."""
BROWSER = "browser:"
"""The camera of a page as a source."""
LOOPBACK = "127.0.0.1"
"""The address of this machine that no other can reach."""
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
READ_VIDEO_ENDINGS = (
    *(*VIDEO_ENDINGS, ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".vob"),
    *(".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mxf", ".y4m", ".dv"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".m2v", ".ivf"),
)
"""Endings of the files that count as videos in a folder; a file that is named explicitly may have any ending."""
READ_PICTURE_ENDINGS = (
    *(*PICTURE_ENDINGS, ".gif", ".jfif", ".jp2", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".tga"),
)
"""Endings of the files that count as pictures. HEIC cannot be read, but gets an error rather than being skipped."""
