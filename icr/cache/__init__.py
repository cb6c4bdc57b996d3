"""`icr cache`: the stages that runs share, listed, pruned, and added to."""
