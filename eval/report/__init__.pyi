from .comparison import write_comparison
from .page import write_evaluation, write_report

__all__ = ["write_comparison", "write_evaluation", "write_report"]
