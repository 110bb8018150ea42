"""Models as other tools leave them: checkpoints, their configurations, single matrices, tables of layers."""
