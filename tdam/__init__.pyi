from . import (
    attention,
    checkpoints,
    devices,
    download,
    errors,
    families,
    feedback,
    files,
    folding,
    gate,
    macs,
    models,
    options,
    registry,
    steps,
    strides,
)
from .attention import TopDownAttention
from .checkpoints import LoadReport, load_checkpoint, read_config, save_checkpoint
from .errors import CheckpointError, UnknownNameError, UserError
from .families.known import add_feedback, register_family
from .feedback import Family, FeedbackBlock, Segment
from .folding import fold_norms
from .models import create_model, load_model
from .options import FeedbackOptions
from .registry import register_variant
from .steps import StepOutputs, at_step, forward_steps, num_steps, stepwise

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
    "attention",
    "checkpoints",
    "create_model",
    "devices",
    "download",
    "errors",
    "families",
    "feedback",
    "files",
    "fold_norms",
    "folding",
    "forward_steps",
    "gate",
    "load_checkpoint",
    "load_model",
    "macs",
    "models",
    "num_steps",
    "options",
    "read_config",
    "register_family",
    "register_variant",
    "registry",
    "save_checkpoint",
    "steps",
    "stepwise",
    "strides",
]
