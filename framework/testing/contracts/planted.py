"""Files that run code when a careless reader opens them, for the contract suites to plant."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np


class _Runs:
    """An object whose pickle raises :class:`AssertionError` when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise AssertionError('a planted pickle was read')",)


def planted_files() -> dict[str, bytes]:
    """Make the contents that are planted in the place of a stored file.

    Returns:
        By what they are: a pickle, a numpy array and an archive of arrays with an object in it, and
        a text vectorizer in skops' format whose tokenizer is a function of numpy.
    """
    objects = np.array([_Runs()], dtype=object)
    array, arrays = io.BytesIO(), io.BytesIO()
    np.save(array, objects, allow_pickle=True)
    np.savez(arrays, allow_pickle=True, planted=objects)
    return {
        "pickle": pickle.dumps(_Runs()),
        "array of objects": array.getvalue(),
        "archive with an array of objects": arrays.getvalue(),
        "function in skops": _vectorizer_with_function(),
    }


def _vectorizer_with_function() -> bytes:
    numbers = iter(range(1, 100))

    def node(loader: str, module: str, name: str, **more: object) -> dict[str, object]:
        names = {"__class__": name, "__module__": module, "__loader__": loader}
        return {**names, **more, "__id__": next(numbers)}

    text = node("TypeNode", "builtins", "str")
    function = node("FunctionNode", "numpy.testing._private.utils", "rundocs")
    content = node(
        "DictNode",
        "builtins",
        "dict",
        content={"tokenizer": function},
        key_types=node("ListNode", "builtins", "list", content=[text]),
    )
    schema = {
        **node("ObjectNode", "sklearn.feature_extraction.text", "CountVectorizer", content=content),
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return stream.getvalue()
