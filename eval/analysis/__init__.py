"""What is counted from the records of a judged split: curves, intervals, groups of images, baselines."""
