"""Model: fitted on windows, predicts arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from framework.data.arrays import Float64
from framework.data.schema import Schema
from framework.data.vocabulary import CPU
from framework.data.windows import Windows, WindowSet

#: Observed up to the origin, known in advance, of the series itself.
Covariates = Literal["past", "future", "static"]
COVARIATES: tuple[Covariates, ...] = get_args(Covariates)


@dataclass(frozen=True, slots=True)
class FitSize:
    """The amount that a fit learns from.

    Args:
        windows: Training windows.
        validation: Windows that early stopping looks at.
        context_length: Steps of each window's past.
        horizon: Steps of its future.
        past: Features of each past step.
        future: Features of each step ahead.
        static: Features of the series.
        targets: What is forecast.
        quantiles: Quantiles beside the mean.
    """

    windows: int
    validation: int
    context_length: int
    horizon: int
    past: int
    future: int
    static: int
    targets: int
    quantiles: int


class Model(ABC):
    """Forecasts every target over the whole horizon from one window per series.

    The constructor stores its options and does nothing else. The state after ``fit`` depends on the
    training windows, the options and the seed alone, and ``predict`` answers each window
    independently of the others in the call.
    """

    #: Distributions that a serving environment needs to load the model, such as ``("xgboost",)``.
    requirements: ClassVar[tuple[str, ...]] = ()
    #: Where it forecasts; written by who calls :meth:`move`.
    placed_on: str = CPU

    def __init__(self, options: Any) -> None:
        self.options = options

    def context_length(self, schema_hint: int) -> int:
        """Say how many past steps a window must hold.

        Args:
            schema_hint: The season length of the panel, in steps.

        Returns:
            The number of steps, at least 1.
        """
        return 1

    def least_context(self, schema_hint: int) -> int:
        """Say how many past steps a series must have to be forecast at all. In a window of a
        shorter series the targets are NaN before its first row. The other columns may be filled by
        the preprocessor there, so that only a model without :attr:`covariates` may need less, or
        one whose :attr:`parts` do.

        Args:
            schema_hint: The season length of the panel, in steps.

        Returns:
            The number of steps, from 1 to :meth:`context_length`.
        """
        return self.context_length(schema_hint)

    def check(self, schema: Schema, past_names: tuple[str, ...]) -> None:  # noqa: B027  optional
        """Look at the columns before any row is read. A model that needs none of them by name has
        nothing to say.

        Args:
            schema: The columns, the horizon and the quantiles that the model will be fitted on.
            past_names: The past features, as the preprocessor names them.

        Raises:
            ConfigError: An option does not go with them.
        """

    @abstractmethod
    def fit(
        self, train: WindowSet, validation: WindowSet | None, schema: Schema, seed: int
    ) -> None:
        """Learn from windows.

        A target may be NaN in some steps: leave those steps out.

        Args:
            train: The windows to learn from.
            validation: The later windows, for early stopping; None when there are none.
            schema: The columns, the horizon and the quantiles that ``predict`` answers.
            seed: The seed of everything random.

        Raises:
            DataError: Nothing is left to learn from.
        """

    @abstractmethod
    def predict(self, windows: Windows) -> Float64:
        """Forecast every window, independently of the others. A server may call it from several
        threads at once.

        Args:
            windows: ``n`` windows, as the preprocessor made them.

        Returns:
            ``[n, H, T, 1 + Q]`` in the targets' natural units: the mean, then the quantiles of the
            schema in rising order, monotone. NaN is never an answer. A model without quantiles of
            its own is only asked for ``Q = 0``.
        """

    @property
    def supports_quantiles(self) -> bool:
        """Say whether ``predict`` gives the quantiles of the schema by itself."""
        return False

    @property
    def covariates(self) -> frozenset[Covariates]:
        """The kinds of columns, beside the targets' own history, that these options let it learn
        from; all of them unless it says so.
        """
        return frozenset(COVARIATES)

    def gpus(self) -> int | None:
        """Count the GPUs that it can forecast on.

        Returns:
            None when it forecasts on the CPU only, whatever the machine has; else how many GPUs its
            library sees here.
        """
        return None

    def move(self, device: str) -> None:  # noqa: B027  only asked of a model that has GPUs
        """Forecast on another device from now on.

        Forecasts on one device do not depend on the other windows of a call. Those of two devices
        may differ in the last digits.

        Args:
            device: ``cuda:N``, with N below :meth:`gpus`.
        """

    @property
    def parts(self) -> tuple[Model, ...]:
        """The models inside this one; a serving environment needs what they need, too."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """List what was doubtful in ``fit``, one line each, for the warnings of the run."""
        return ()

    @property
    def choices(self) -> tuple[str, ...]:
        """Name, once it is fitted, the forecast that each target gets; empty for a model that has
        one for all.
        """
        return ()

    @property
    def by_series(self) -> bool:
        """Say whether ``predict`` asks whose window it is (``Windows.entities``)."""
        return False

    @property
    def origin_stride(self) -> int | None:
        """The n of *every n-th origin is learned from*; None when the model has no such option,
        ``origin_stride``.
        """
        return None

    @property
    def most_windows(self) -> int | None:
        """The most windows that a fit learns from; None for any number, and when the model has no
        such option, ``most_windows``.
        """
        return None

    @property
    def forecasts_cold(self) -> bool:
        """Say whether it learns, where the schema says ``cold``, to forecast a window without any
        value of a target of its own.
        """
        return False

    def memory(self, size: FitSize, stride: int | None = None) -> int | None:
        """Estimate the memory that ``fit`` takes at its highest, beside the rows it is given; of a
        model that fits when it is asked, the memory that ``predict`` takes too.

        Args:
            size: How much there is to learn from.
            stride: Learn from every so many-th origin; None: :attr:`origin_stride`.

        Returns:
            Bytes; None when it is not known, or little whatever the size.
        """
        return None

    def disk(self, size: FitSize) -> int:
        """Estimate the bytes of the files that ``fit`` keeps while it works: beside the arrays that
        it is given where those are in files (:class:`framework.data.scratch.Scratch`), else among
        the temporary files of the system.

        Args:
            size: How much there is to learn from.

        Returns:
            Bytes; 0 of a model that keeps all in memory.
        """
        return 0

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write the fitted state in the library's own format, no pickle.

        Args:
            directory: An existing, empty directory.
        """

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote.

        Args:
            directory: The directory that ``save`` was given. It may be gone after this call.

        Returns:
            A model whose predictions are bit for bit those before ``save``. It can be pickled:
            ``run=predict`` sends it to the workers of ``compute``, maybe on other machines.
        """
