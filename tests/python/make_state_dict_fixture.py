"""Writes tests/fixtures/state_dict.pth, a state dict saved by PyTorch.

Made with torch 2.11.0; read by the unit tests of src/rl/state_dict.rs.
"""

import sys
from collections import OrderedDict

import torch

shared = torch.arange(6, dtype=torch.float32)
state = OrderedDict(
    {
        "matrix": torch.tensor([[1.5, -2.0, 3.25], [4.0, 5.0, -6.5]]),
        "double": torch.tensor([0.1, 1e300], dtype=torch.float64),
        "scalar": torch.tensor(7.0),
        "empty": torch.empty(0, 3),
        "tail": shared[4:],
        "whole": shared,
        "parameter": torch.nn.Parameter(torch.tensor([[[8.0]], [[9.0]]])),
    }
)
# As nn.Module.state_dict sets it.
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, sys.argv[1])
