"""Makes `import torch` work on the CPU without the 2 GB of CUDA packages: `stub_cuda.py TORCH_DIR`.

The torch wheel is linked against the CUDA libraries, which the CPU never calls. For each that is
not installed one is built with just the symbols that the wheel asks it for, all of which trap, and
put where the wheel looks. For checks only: with stubs, CUDA cannot be used. What has to be there:

    pip install --no-deps torch==2.11.0 typing_extensions nvidia-cuda-runtime==13.0.96
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

# Symbols of libraries that do not version them, by prefix.
UNVERSIONED = {
    "libcufile.so.0": r"cu[Ff]ile",
    "libcurand.so.10": r"curand",
    "libcusparseLt.so.0": r"cusparseLt",
    "libnccl.so.2": r"p?nccl",
}


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wanted(lib: Path) -> tuple[set[str], dict[str, set[str]], dict[str, set[str]]]:
    """CUDA libraries that the wheel is linked to, the versions of each, the symbols by version."""
    libraries, versions, symbols = set(), defaultdict(set), defaultdict(set)
    for file in map(str, lib.glob("*.so")):
        needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-dW", file))
        libraries.update(name for name in needed if re.match(r"lib(cu|nccl|nv)", name))
        for line in output("readelf", "-VW", file).splitlines():
            if found := re.search(r"File: (\S+)", line):
                library = found[1]
            elif found := re.search(r"Name: (\S+)\s+Flags", line):
                versions[library].add(found[1])
        for line in output("nm", "-D", "--undefined-only", file).splitlines():
            name, _, version = line.split()[-1].partition("@")
            symbols[version.strip("@")].add(name)
    # The driver's library is not loaded without a GPU; the runtime is called while torch loads.
    return libraries - {"libcuda.so.1", "libcudart.so.13"}, versions, symbols


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    torch = Path(sys.argv[1])
    target = torch.parent / "nvidia" / "cu13" / "lib"
    if not (target / "libcudart.so.13").exists():
        raise SystemExit(f"error: {target} has no libcudart.so.13; install nvidia-cuda-runtime")
    libraries, versions, symbols = wanted(torch / "lib")
    for library in sorted(libraries):
        if (target / library).exists():
            continue
        if versions[library]:
            names = set().union(*(symbols[version] for version in versions[library]))
        else:
            names = {name for name in symbols[""] if re.match(UNVERSIONED[library], name)}
        with tempfile.TemporaryDirectory() as folder:
            source, script = Path(folder, "stub.c"), Path(folder, "stub.map")
            traps = (f"void {name}(void) {{ __builtin_trap(); }}\n" for name in sorted(names))
            source.write_text("".join(traps))
            nodes = (f"{version} {{ global: *; }};\n" for version in sorted(versions[library]))
            script.write_text("".join(nodes))
            mapped = [f"-Wl,--version-script={script}"] if versions[library] else []
            command = ["cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library}", *mapped]
            subprocess.run([*command, "-o", target / library, source], check=True)


if __name__ == "__main__":
    main()
