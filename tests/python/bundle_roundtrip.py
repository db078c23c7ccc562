"""Reads a bundle with Python's safetensors, compares it with what Rust wrote, predicts, and writes it back in other ways.

    python3 bundle_roundtrip.py IN OUT

IN is a bundle with a file IN.json beside it, which says what is in it; OUT is a folder.
Exits with 77 where numpy or safetensors is missing. tests/tests/bundle_python.rs calls it.
"""

import json
import re
import struct
import sys
from pathlib import Path

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as missing:
    print(missing)
    sys.exit(77)

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None


def read(path):
    """The tensors and the metadata of a file."""
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def compare(tensors, expected):
    """Fails unless the tensors have these names, shapes and bits, and nothing else is there."""
    assert tensors.keys() == expected.keys(), (tensors.keys(), expected.keys())
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32, (name, tensor.dtype)
        assert list(tensor.shape) == expected[name]["shape"], (name, tensor.shape)
        assert tensor.view(np.uint32).ravel().tolist() == expected[name]["bits"], name


def write_by_hand(path, tensors, metadata):
    """Another writer's file: tensors in reverse order, the metadata last, and white space wherever JSON allows it."""
    header, data = {}, b""
    for name in sorted(tensors, reverse=True):
        tensor = tensors[name]
        offsets = [len(data), len(data) + tensor.nbytes]
        header[name] = {"data_offsets": offsets, "shape": list(tensor.shape), "dtype": "F32"}
        data += tensor.tobytes()
    header["__metadata__"] = metadata
    text = json.dumps(header, indent=2).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def reader_of_the_docs():
    """The Python reader that docs/bundle.md shows."""
    page = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
    scope = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), scope)
    return scope["predict"]


def main(bundle, out):
    expected = json.loads(Path(f"{bundle}.json").read_text(encoding="utf-8"))
    tensors, metadata = read(bundle)
    compare(tensors, expected["tensors"])
    assert json.loads(metadata["sinew"]) == expected["sinew"]
    assert json.loads(metadata["sinew.about"]) == expected["about"]

    save_file(tensors, out / "saved.safetensors", metadata)
    save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, out / "f16.safetensors", metadata)
    write_by_hand(out / "reordered.safetensors", tensors, metadata)
    compare(read(out / "reordered.safetensors")[0], expected["tensors"])
    if ml_dtypes is not None:
        halves = {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in tensors.items()}
        save_file(halves, out / "bf16.safetensors", metadata)

    predict = reader_of_the_docs()
    inputs = np.array(expected["inputs"], dtype=np.float32)
    support = np.array(expected["support"], dtype=np.float32)
    predictions = {
        "without_support": predict(bundle, inputs).tolist(),
        "with_support": predict(bundle, inputs, support).tolist(),
        "f16": predict(out / "f16.safetensors", inputs, support).tolist(),
    }
    (out / "predictions.json").write_text(json.dumps(predictions), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
