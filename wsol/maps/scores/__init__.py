"""Maps from scores of masked images: the Score-CAM family."""
