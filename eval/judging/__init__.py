"""One pass over a split: every image is judged once and leaves a record."""
