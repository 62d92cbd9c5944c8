"""Maps from attention: of the class token, rolled out over blocks, weighted by gradients."""
