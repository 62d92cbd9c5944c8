"""People's own images: files, folders and globs, and images in the forms that programs have them."""

from wsol.photographs.files import find_images, open_image

__all__ = ["find_images", "open_image"]
