"""The pipeline's steps: data and a model in, data out."""
