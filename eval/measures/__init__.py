"""What is measured on each image beside its boxes: kinds of error, fused steps, how attention shifts."""
