"""``preprocessor=native`` and ``preprocessor=sklearn``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from framework.features.calendar_options import CalendarOptions
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Impute(Options):
    """Nulls become the column's training mean or median, or ``fill_value``. ``indicator`` adds
    ``{column}_missing``, 1 where null.
    """

    step: Literal["impute"]
    columns: tuple[str, ...] | None = None
    strategy: Literal["mean", "median", "constant"] = "median"
    fill_value: float = 0.0
    indicator: bool = False


class Scale(Options):
    """standard: minus the mean, by the standard deviation; minmax: to [0, 1]; robust: minus the
    median, by the interquartile range.
    """

    step: Literal["scale"]
    columns: tuple[str, ...] | None = None
    method: Literal["standard", "minmax", "robust"] = "standard"


class Clip(Options):
    """Between ``lower`` and ``upper``, or between the training quantiles ``lower_quantile`` and
    ``upper_quantile``.
    """

    step: Literal["clip"]
    columns: tuple[str, ...] | None = None
    lower: float | None = None
    upper: float | None = None
    lower_quantile: Fraction | None = None
    upper_quantile: Fraction | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Clip:
        for side in ("lower", "upper"):
            if getattr(self, side) is not None and getattr(self, f"{side}_quantile") is not None:
                raise ValueError(f"give {side} or {side}_quantile, not both")
        if all(
            v is None for v in (self.lower, self.upper, self.lower_quantile, self.upper_quantile)
        ):
            raise ValueError("give a bound: lower, upper, lower_quantile or upper_quantile")
        for low, high in ((self.lower, self.upper), (self.lower_quantile, self.upper_quantile)):
            if low is not None and high is not None and low >= high:
                raise ValueError(f"the lower bound {low} is not below the upper one {high}")
        return self


class Log(Options):
    """log(1 + x); a value of -1 or below is refused with its column's name."""

    step: Literal["log"]
    columns: tuple[str, ...] | None = None


class CalendarFields(CalendarOptions):
    """Adds ``{prefix}_{field}`` of each row's own step, see
    :class:`framework.features.calendar_options.CalendarOptions`.
    """

    step: Literal["calendar"]


class Encode(Options):
    """Texts become numbers.

    ordinal: the place among the sorted training values, -1 for a value not seen there. onehot: a
    column ``{column}={value}`` for each training value, all 0 for a value not seen there. Null is a
    value of its own, the last one; its column is ``{column} is null``.
    """

    step: Literal["encode"]
    columns: tuple[str, ...] | None = None
    method: Literal["ordinal", "onehot"] = "ordinal"


NumericStep = Annotated[Impute | Scale | Clip | Log | CalendarFields, Field(discriminator="step")]
TextStep = Annotated[Encode, Field()]


class NativeOptions(Options):
    """Steps of each block, done in order; ``columns`` null means every column the block has at that
    point.

    The defaults suit trees: numbers untouched with their nulls, texts as ordinal codes. A static
    column that no step encodes is left out.
    """

    past: tuple[NumericStep, ...] = ()
    future: tuple[NumericStep, ...] = ()
    static: tuple[TextStep, ...] = (Encode(step="encode"),)


class Transformer(Options):
    """A scikit-learn transformer by its import path, with the keyword arguments of its constructor.

    ``{class: sklearn.preprocessing.StandardScaler, options: {with_mean: false}}``
    """

    class_: str = Field(alias="class")
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("class_")
    @classmethod
    def _sklearn(cls, value: str) -> str:
        if not value.startswith("sklearn.") or value.count(".") < 2:
            raise ValueError(
                "the import path of a scikit-learn class, such as "
                "sklearn.preprocessing.StandardScaler"
            )
        return value


class SklearnOptions(Options):
    """One transformer a block; null leaves numbers untouched and makes ordinal codes of texts."""

    past: Transformer | None = None
    future: Transformer | None = None
    static: Transformer | None = None


@hookimpl
def components() -> list[Component]:
    return [
        Component(
            "preprocessor",
            "native",
            "framework_preprocessing.native:NativePreprocessor",
            NativeOptions,
            "column steps in numpy",
            imports=("holidays.countries", "holidays.financial"),
        ),
        Component(
            "preprocessor",
            "sklearn",
            "framework_preprocessing.sklearn:SklearnPreprocessor",
            SklearnOptions,
            "scikit-learn transformers",
        ),
    ]
