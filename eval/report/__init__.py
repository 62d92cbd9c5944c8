"""The report of an evaluation: one self-contained HTML file, rendered from a results folder.

write_report(Path("runs/demo"))                      # runs/demo/report.html
write_comparison([Path("runs/a"), Path("runs/b")], Path("compare.html"))
"""

from eval.report.comparison import write_comparison
from eval.report.page import REPORT, write_evaluation, write_report

__all__ = ["REPORT", "write_comparison", "write_evaluation", "write_report"]
