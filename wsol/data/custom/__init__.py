"""Anyone's own images: a ``dataset.yaml``, or a folder that explains itself.

::

    name: mugs
    splits:
      train: {images: train}                                    # train/<class>/….jpg
      val: {images: photos, boxes: val.csv}                     # path,label,x0,y0,x1,y1
      test: {images: photos, boxes: coco.json, masks: masks}    # masks/<path of the image>.png

``boxes`` is a ``.csv`` file, a COCO ``.json`` file or a folder of Pascal VOC ``.xml`` files; the images of the
split are those it names. Without it they are all images below ``images``, and the class is the first folder of
the path. ``classes``, a list of names, fixes the order of the classes; ``classes: 1000`` says that their names are the
numbers 0 to 999; else see `wsol.data.custom.classes`.
A mask is bright where the object is; ``<image>_ignore.png`` beside it is bright where nothing is scored.
All paths are relative to the folder of the ``dataset.yaml``.

A folder without ``dataset.yaml`` is read as if it had one with, for each split, ``images: <split>`` and, if they
exist, ``boxes: <split>.csv``, ``<split>.json`` or ``<split>_boxes`` and ``masks: <split>_masks``.
"""

from wsol.data.custom.description import DESCRIPTION, read_description
from wsol.data.custom.reader import load_custom

__all__ = ["DESCRIPTION", "load_custom", "read_description"]
