"""Opens a trained model as a user of PyTorch would: `check_model.py MODEL_DIR`.

Prints the names and shapes of `trained_model.pth` as one line of JSON, then compares `policy.pt`
with the program's own values in `policy_check.json`. Exits with 0 if they agree to 1e-5, else 1.
"""

import json
import sys
from pathlib import Path

import torch

TOLERANCE = 1e-5


def array(stored: dict) -> torch.Tensor:
    return torch.tensor(stored["data"], dtype=torch.float32).reshape(stored["shape"])


def largest_difference(folder: Path) -> float:
    check = json.loads((folder / "policy_check.json").read_text())
    market, values = (array(check[name]) for name in ("market", "values"))
    stock = torch.tensor(check["stock"], dtype=torch.int64)
    policy = torch.jit.load(str(folder / "policy.pt"), map_location="cpu")
    with torch.no_grad():
        batched = policy(market, stock)
        # Any batch size must work, including single rows.
        rows = [policy(*row) for row in zip(market.split(1), stock.split(1))]
    if batched.shape != values.shape:
        raise SystemExit(f"policy.pt gives {list(batched.shape)}, the program {list(values.shape)}")
    return max((batched - values).abs().max().item(), (torch.cat(rows) - values).abs().max().item())


def main() -> int:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    state = torch.load(folder / "trained_model.pth", weights_only=True)
    for name, tensor in state.items():
        # relations.* contain NaN for pairs with too few common bars.
        finite = tensor.isfinite().all() or name.startswith("relations.")
        if not (tensor.dtype == torch.float32 and finite):
            print(f"{name}: {tensor.dtype}, or not finite", file=sys.stderr)
            return 1
    print(json.dumps({name: list(tensor.shape) for name, tensor in state.items()}))
    difference = largest_difference(folder)
    # Not `> TOLERANCE`: a NaN must fail.
    agree = difference <= TOLERANCE
    print(f"policy.pt: largest difference {difference:.3g}, {'ok' if agree else 'too large'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
