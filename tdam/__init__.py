"""TDAM networks: importing registers the models in timm."""

from tdam.attention import TopDownAttention
from tdam.checkpoints import LoadReport, load_checkpoint, read_config, save_checkpoint
from tdam.errors import CheckpointError, UnknownNameError, UserError
from tdam.families.known import add_feedback, register_family
from tdam.feedback import Family, FeedbackBlock, Segment
from tdam.folding import fold_norms
from tdam.models import create_model, load_model
from tdam.options import FeedbackOptions
from tdam.registry import register_variant
from tdam.steps import StepOutputs, at_step, forward_steps, num_steps, stepwise

__all__ = [
    "CheckpointError",
    "Family",
    "FeedbackBlock",
    "FeedbackOptions",
    "LoadReport",
    "Segment",
    "StepOutputs",
    "TopDownAttention",
    "UnknownNameError",
    "UserError",
    "add_feedback",
    "at_step",
    "create_model",
    "fold_norms",
    "forward_steps",
    "load_checkpoint",
    "load_model",
    "num_steps",
    "read_config",
    "register_family",
    "register_variant",
    "save_checkpoint",
    "stepwise",
]
