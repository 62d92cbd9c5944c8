"""Maps from gradients: the Grad-CAM family."""
