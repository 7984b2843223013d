"""Lets `import torch` work without the 2.7 GB of CUDA libraries that the PyPI wheel depends on.

    python3 stub_cuda.py SITE_PACKAGES

PyPI has no CPU build of torch for Linux. The wheel's own libraries name the CUDA libraries as
needed, and the loader requires every function that they import; on the CPU none is called. So each
missing CUDA library is replaced by a stub of the same name and symbol versions, compiled here,
whose functions abort. Needs gcc and binutils. For the test environment only: nothing that runs on a
GPU works in it.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

# Libraries of the wheel that import from CUDA libraries on loading.
IMPORTERS = [
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_nvshmem.so",
    "libtorch_python.so",
    "libc10_cuda.so",
]
CUDA_LIBRARY = re.compile(r"lib(cu\w+|nccl|nvshmem_host)\.so(\.\d+)+")
CUDA_SYMBOL = re.compile(r"(cu|nccl|nvshmem)\w+")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(library):
    """CUDA libraries that `library` names as needed."""
    names = re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-dW", library))
    return {name for name in names if CUDA_LIBRARY.fullmatch(name)}


def imported(library):
    """(symbol, version or "") of every C function that `library` imports from a CUDA library."""
    for line in output_of("nm", "-D", "-u", library).splitlines():
        symbol, _, version = line.split()[-1].partition("@")
        if CUDA_SYMBOL.fullmatch(symbol):
            yield symbol, version.lstrip("@")


def compile_stub(path, by_version):
    """A shared library at `path` that exports `by_version`: {version or "": {symbol}}."""
    symbols = sorted(symbol for symbols in by_version.values() for symbol in symbols)
    source = "".join(f"void {symbol}(void) {{ __builtin_trap(); }}\n" for symbol in symbols)
    versions = [
        f"{version} {{ global: {'; '.join(sorted(names))}; }};\n"
        for version, names in by_version.items()
        if version
    ]
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{path.name}", "-o", path]
    with tempfile.NamedTemporaryFile("w", suffix=".map") as script:
        if versions:
            script.writelines(versions)
            script.flush()
            command.append(f"-Wl,--version-script,{script.name}")
        subprocess.run([*command, "-x", "c", "-"], input=source, check=True, text=True)


def main(site_packages):
    lib = pathlib.Path(site_packages) / "torch" / "lib"
    importers = [lib / name for name in IMPORTERS if (lib / name).exists()]
    installed = (pathlib.Path(site_packages) / "nvidia").rglob("lib*.so*")
    present = {path.name for path in [*lib.iterdir(), *installed]}
    missing = sorted(set().union(*map(needed, importers)) - present)
    exports = collections.defaultdict(lambda: collections.defaultdict(set))
    for symbol, version in {pair for library in importers for pair in imported(library)}:
        # An unversioned symbol may be in any loaded library: the first stub has them all.
        home = "libnvshmem_host.so.3" if version == "NVSHMEM" else version or missing[0]
        exports[home][version].add(symbol)
    for name in missing:
        compile_stub(lib / name, exports[name])
    print(f"{len(missing)} CUDA libraries stubbed")


if __name__ == "__main__":
    main(sys.argv[1])
