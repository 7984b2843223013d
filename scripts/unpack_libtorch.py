"""Creates a libtorch folder from wheels: python3 unpack_libtorch.py WHEELS_FOLDER LIBTORCH_FOLDER."""

import pathlib
import shutil
import sys
import zipfile

# libtorch_cpu.so and all libraries it links to that a plain Linux lacks.
LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libcudart.so.13", "libcupti.so.13"}


def destination(member, home):
    """Destination of a member of a wheel; None if it is a folder or not needed."""
    folder, _, base = member.rpartition("/")
    if not base:
        return None
    if f"{folder}/".startswith("torch/include/"):
        return home / member.removeprefix("torch/")
    openmp = member.startswith("torch/") and base.startswith("libgomp")
    return home / "lib" / base if base in LIBRARIES or openmp else None


def main(wheels, home):
    (home / "lib").mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                target = destination(member, home)
                if target is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    missing = LIBRARIES - {path.name for path in (home / "lib").iterdir()}
    if missing:
        sys.exit(f"error: the wheels in {wheels} lack {', '.join(sorted(missing))}")
    # The build links with -ltorch. The wheel's libtorch.so also depends on CUDA libraries; this link does not.
    (home / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
