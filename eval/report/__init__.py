"""The report of an evaluation: one self-contained HTML file, rendered from a results folder.

write_report(Path("runs/demo"))                      # runs/demo/report.html
write_comparison([Path("runs/a"), Path("runs/b")], Path("compare.html"))
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
