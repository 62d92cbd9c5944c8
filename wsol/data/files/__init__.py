"""Image files: where they lie, and how they are decoded."""
