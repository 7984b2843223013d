//! PyTorch state dicts: the zip-and-pickle files of `torch.save`, readable with `torch.load(..., weights_only=True)`.
