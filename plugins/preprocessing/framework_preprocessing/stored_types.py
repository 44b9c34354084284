"""The types that a stored scikit-learn transformer may hold: types listed one by one, functions
never.

skops constructs what a file names. A function in the place of a tokenizer or a metric is called
with the text of a row, and scikit-learn and numpy have functions that run a command. So a file is
read as JSON first, and each node of it must be of a listed form and a listed type.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

#: Nodes of skops that hold values. Functions, methods, partial functions, operators and what is
#: made by a call are not among them, nor are trees: their indices are followed unchecked.
_VALUES = {
    "CachedNode",
    "DTypeNode",
    "DictNode",
    "JsonNode",
    "ListNode",
    "MaskedArrayNode",
    "NdArrayNode",
    "RandomStateNode",
    "SetNode",
    "SliceNode",
    "SparseMatrixNode",
    "TupleNode",
}

_NUMBERS = (
    "bool",
    "bool_",
    "float32",
    "float64",
    "int32",
    "int64",
    "int8",
    "str_",
    "uint8",
)

_TYPES = {
    "builtins.bool",
    "builtins.dict",
    "builtins.float",
    "builtins.int",
    "builtins.list",
    "builtins.set",
    "builtins.slice",
    "builtins.str",
    "builtins.tuple",
    "numpy.dtype",
    "numpy.ma.MaskedArray",
    "numpy.ndarray",
    "numpy.random.mtrand.RandomState",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
    *(f"numpy.{number}" for number in _NUMBERS),
}

_TRANSFORMERS = {
    "sklearn.cluster._kmeans.KMeans",
    "sklearn.cluster._kmeans.MiniBatchKMeans",
    "sklearn.decomposition._dict_learning.DictionaryLearning",
    "sklearn.decomposition._dict_learning.MiniBatchDictionaryLearning",
    "sklearn.decomposition._factor_analysis.FactorAnalysis",
    "sklearn.decomposition._fastica.FastICA",
    "sklearn.decomposition._incremental_pca.IncrementalPCA",
    "sklearn.decomposition._kernel_pca.KernelPCA",
    "sklearn.decomposition._nmf.MiniBatchNMF",
    "sklearn.decomposition._nmf.NMF",
    "sklearn.decomposition._pca.PCA",
    "sklearn.decomposition._sparse_pca.MiniBatchSparsePCA",
    "sklearn.decomposition._sparse_pca.SparsePCA",
    "sklearn.decomposition._truncated_svd.TruncatedSVD",
    "sklearn.feature_extraction.text.TfidfTransformer",
    "sklearn.feature_selection._variance_threshold.VarianceThreshold",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.impute._knn.KNNImputer",
    "sklearn.kernel_approximation.AdditiveChi2Sampler",
    "sklearn.kernel_approximation.Nystroem",
    "sklearn.kernel_approximation.PolynomialCountSketch",
    "sklearn.kernel_approximation.RBFSampler",
    "sklearn.kernel_approximation.SkewedChi2Sampler",
    "sklearn.neural_network._rbm.BernoulliRBM",
    "sklearn.preprocessing._data.Binarizer",
    "sklearn.preprocessing._data.KernelCenterer",
    "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.Normalizer",
    "sklearn.preprocessing._data.PowerTransformer",
    "sklearn.preprocessing._data.QuantileTransformer",
    "sklearn.preprocessing._data.RobustScaler",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._discretization.KBinsDiscretizer",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._polynomial.PolynomialFeatures",
    "sklearn.random_projection.GaussianRandomProjection",
    "sklearn.random_projection.SparseRandomProjection",
}

#: What skops is allowed to construct.
TRUSTED = tuple(sorted(_TYPES | _TRANSFORMERS))


def unlisted_types(data: bytes) -> list[str]:
    """List what a skops archive names and the lists here do not. Nothing of it is imported.

    Args:
        data: The archive.

    Returns:
        The dotted names, sorted; empty when all are listed.

    Raises:
        ValueError: It is no skops archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a file of skops ({error})") from error
    return sorted({name for loader, name in _nodes(schema) if not _is_listed(loader, name)})


def _is_listed(loader: str, name: str) -> bool:
    if loader == "ObjectNode":
        return name in _TRANSFORMERS
    if loader == "TypeNode":
        return name in _TYPES
    return loader in _VALUES and name in _TYPES


def _nodes(value: Any) -> Iterator[tuple[str, str]]:
    """The loader and the dotted name of each node, wherever it stands."""
    if isinstance(value, dict):
        if "__loader__" in value:
            name = f"{value.get('__module__')}.{value.get('__class__')}"
            yield str(value["__loader__"]), name
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)
