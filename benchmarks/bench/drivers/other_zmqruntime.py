"""The published distribution named zmqruntime, which is another project."""
