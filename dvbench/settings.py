"""Settings that suites contain and results repeat: of a problem, its model, its training and an evaluator."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dvbench.errors import UserError, plain

Kind = Literal["classification", "regression", "language"]
Precision = Literal["float32", "tf32", "bfloat16"]
Compared = Literal["evaluators", "unlearning", "selection"]
"""What a suite compares, and the registry's kind of it."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]
TABLE, LABEL = "csv:", "?label="
KEYS = {"openml": "id", "opendataval": "name"}  # of a data set that is written NAME:VALUE, the parameter of the value


class Strict(BaseModel):
    """Base of all objects that are read from or written to files: frozen, without unknown keys, NaN or infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
    other_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that a file may have in place of fields."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        known = cls.__pydantic_fields__  # model_fields takes most of the time of reading a result
        if isinstance(data, dict) and not data.keys() <= known.keys():
            allowed = ", ".join([*known, *cls.other_keys])
            raise ValueError(f"unknown key '{min(data.keys() - known.keys())}'; allowed are {allowed}")
        return data


class Sizes(Strict):
    """Numbers of points of the three parts; if a data set has fewer, all three shrink in proportion."""

    train: int = Field(gt=1)
    validation: int = Field(gt=1)
    test: int = Field(gt=1)


class Noise(Strict):
    """Noise in the training set: flipped labels, or Gaussian noise on features, or none.

    ``rate`` is the fraction of players with noise; ``sigma`` the standard deviation of the feature noise, in standard
    deviations of the feature. A flipped label becomes another class, or with ``draw = "any"`` a class drawn from all,
    which may be the true one, or with ``draw = "next"`` the class that follows, in every second class only. With
    ``draw = "graded"`` players are subsets, and of m noisy ones the k-th has the fraction k/m of its labels flipped.
    With ``validation`` the same noise is injected into the validation set.
    """

    kind: Literal["labels", "features", "none"] = "none"
    rate: float = Field(default=0.0, ge=0.0, lt=1.0)
    sigma: float = Field(default=1.0, gt=0.0)
    draw: Literal["other", "any", "next", "graded"] = "other"
    validation: bool = False

    @model_validator(mode="after")
    def _rate_fits_kind(self) -> Noise:
        if self.kind == "none" and self.rate:
            raise ValueError("noise of kind 'none' has rate 0")
        if self.kind != "none" and not self.rate:
            raise ValueError(f"{self.kind} noise needs a rate above 0 and below 1")
        if self.kind != "labels" and (self.draw != "other" or self.validation):
            raise ValueError("draw and validation are settings of noise of kind 'labels'")
        if self.draw == "graded" and self.validation:
            raise ValueError("draw = 'graded' is about subsets, and the validation set has none")
        return self

    def __str__(self) -> str:
        """Short form for file names: ``labels0.2``, ``features0.2x1``, ``clean``."""
        if self.kind == "none":
            return "clean"
        where = ("" if self.draw == "other" else f"-{self.draw}") + ("-validation" if self.validation else "")
        return f"{self.kind}{self.rate:g}" + (f"x{self.sigma:g}" if self.kind == "features" else where)


class Imbalance(Strict):
    """Classes that are made rare in the training set.

    Of a fraction of the classes, ``classes``, only the fraction ``keep`` of the points is left. Which classes these are
    is drawn by the seed. Validation and test set stay as they are.
    """

    classes: float = Field(gt=0, lt=1)
    keep: float = Field(gt=0, lt=1)

    def __str__(self) -> str:
        """Short form for file names: ``imbalance0.3x0.1``."""
        return f"imbalance{self.classes:g}x{self.keep:g}"


Role = Literal["oracle", "reference", "ablation", "random"]
"""Why the scores of an evaluator, a method or a strategy are shown for comparison only, and not ranked.

An oracle knows what the others have to estimate, such as which labels are wrong; a reference does what nobody would use
to value data, such as training on all points; an ablation shows the effect of a setting; and random values are what
all others have to beat. A class states its role, ``role: ClassVar[Role] = "random"``, and a suite those of labels,
``roles = { LABEL = "ablation" }``.
"""

Goal = Literal["find", "select", "pay", "unlearn", "check"]
"""What a task measures values for: to find wrong labels and broken features, to select the data to train on, to pay
providers what their data are worth, to judge unlearning methods, or to check properties that all values should have,
such as stability. A task states it, ``@task(goal="find")``."""


class Groups(Strict):
    """Subsets as players: ``count`` random ones, the classes, the values of a column of a table, or corpora of texts.

    Sizes of random subsets differ by at most one, or with ``sizes = "unequal"`` the largest has ten times the points of
    the smallest. Corpora have equal numbers of texts. Classes and values of a column keep the sizes that they have; a
    large subset has a higher value than a small one of the same quality.
    """

    by: Literal["random", "classes", "column", "corpora"]
    count: int | None = Field(default=None, gt=1)
    column: str | None = None
    sizes: Literal["equal", "unequal"] = "equal"

    @model_validator(mode="after")
    def _parameters_fit(self) -> Groups:
        if (self.by == "random") != (self.count is not None):
            raise ValueError("groups by 'random' need a count, and others have none")
        if (self.by == "column") != (self.column is not None):
            raise ValueError("groups by 'column' need its name, and others have none")
        if self.by != "random" and self.sizes != "equal":
            raise ValueError("sizes are a setting of groups by 'random'; others have the sizes that they have")
        return self

    def __str__(self) -> str:
        """Short form for file names: ``100subsets``, ``30unequal``, ``classes``, ``by-provider``, ``corpora``."""
        random = f"{self.count}{'subsets' if self.sizes == 'equal' else 'unequal'}"
        return {"random": random, "column": f"by-{self.column}"}.get(self.by, self.by)


class FitArguments(TypedDict):
    """Arguments of the ``fit`` of OpenDataVal's and dvbench's models."""

    epochs: int
    batch_size: int
    lr: float


class Training(Strict):
    """How a model is trained: AdamW on shuffled minibatches; ``precision`` is that of matrix multiplications."""

    epochs: int = Field(default=10, gt=0)
    batch_size: int = Field(default=32, gt=0)
    lr: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    precision: Precision = "float32"

    @property
    def fit(self) -> FitArguments:
        """The arguments of a model's ``fit``."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}


class SelectionSettings(Strict):
    """How a model is trained on chosen points only: SGD with Nesterov momentum and a cosine schedule.

    One model is trained for each of ``fractions``. Points are chosen before the first epoch and then every ``every``
    epochs. ``augmentation`` crops images, after padding them by an eighth of their side, and flips them. A `Training`
    beside it is that of evaluators, which value points before a model is trained on those of the highest values.
    """

    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1, max_length=20)
    every: int = Field(default=20, gt=0)
    epochs: int = Field(default=300, gt=0)
    batch_size: int = Field(default=128, gt=0)
    lr: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    augmentation: Literal["none", "crop_and_flip"] = "none"
    precision: Precision = "float32"

    @field_validator("fractions")
    @classmethod
    def _ascending(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(fractions)):
            raise ValueError("fractions must ascend, each given once")
        return fractions

    @property
    def selections(self) -> int:
        """How often points are chosen while one model is trained."""
        return -(-self.epochs // self.every)


class DatasetSettings(Strict):
    """A data set by name, with the parameters of its function. A string is parsed as in `DatasetSettings.parse`.

    A CSV file is the data set ``csv`` with the parameters ``path`` and optionally ``label``, the column to predict. A
    table of OpenML is the data set ``openml`` with the parameter ``id``, and one of OpenDataVal's data sets is the data
    set ``opendataval`` with the parameter ``name``.
    """

    name: str
    params: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return cls._fields_of(data) if isinstance(data, str) else data

    @model_validator(mode="after")
    def _name_is_text(self) -> DatasetSettings:
        try:
            str(self).encode()
        except UnicodeEncodeError:
            raise UserError(f"the name of data set {plain(self)} is no UTF-8 text: rename the file") from None
        return self

    @classmethod
    def parse(cls, text: str) -> DatasetSettings:
        """Read ``NAME``, ``NAME?PARAMETER=VALUE&...``, ``openml:ID``, ``opendataval:NAME``, ``csv:PATH?label=COLUMN``.

        A value that is a whole number, ``true`` or ``false`` is one, as in TOML; other values are text.
        """
        return cls(**cls._fields_of(text))

    @staticmethod
    def _fields_of(text: str) -> dict[str, Any]:
        """Name and parameters of a data set that is written as one text."""
        if text.startswith(TABLE):
            path, has_label, label = text.removeprefix(TABLE).partition(LABEL)
            return {"name": "csv", "params": {"path": path} | ({"label": label} if has_label else {})}
        name, _, query = text.partition("?")
        params = {key: _value(value) for key, _, value in (pair.partition("=") for pair in query.split("&") if pair)}
        family, colon, member = name.partition(":")
        if colon and family in KEYS:
            name, params = family, {KEYS[family]: _value(member)} | params
        return {"name": name, "params": params}

    @property
    def path(self) -> str | None:
        """Path of the CSV file, or None for another data set."""
        return str(self.params.get("path", "")) if self.name == "csv" else None

    @property
    def identity(self) -> str:
        """Part of the keys of random generators. A table has the same split in any folder."""
        return f"{TABLE}{Path(self.path).name}" if self.path is not None else self._with_params()

    @property
    def title(self) -> str:
        """The name in titles of problems, which are used as names of folders."""
        text = self._with_params()
        if self.path is not None:
            # Two tables, or two label columns of one table, need different folders.
            digest = hashlib.sha256(str(self).encode()).hexdigest()[:6]
            text = f"csv-{Path(self.path).stem[:30]}-{digest}"
        return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:40]

    def _with_params(self) -> str:
        name, params = self.name, dict(self.params)
        if KEYS.get(name) in params:
            name = f"{name}:{params.pop(KEYS[name])}"
        values = (value if isinstance(value, str) else f"{key}{value}" for key, value in sorted(params.items()))
        return "_".join((name, *values))

    def __str__(self) -> str:
        """Short form for messages and tables: ``digits``, ``openml:1489``, ``csv:mine.csv?label=price``."""
        if self.path is None:
            return self._with_params()
        return f"{TABLE}{self.path}" + (f"{LABEL}{self.params['label']}" if "label" in self.params else "")


def _value(text: str) -> int | bool | str:
    """A parameter's value that is written in one text with the name of the data set."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text) else text


class ModelSettings(Strict):
    """A model by name, with the parameters of its constructor."""

    name: str
    params: dict[str, Any] = {}


class ProblemSettings(Strict):
    """A valuation problem: a data set, its noise, its players, and the model that is trained on it.

    ``selection`` is how models are trained on points that selection strategies choose; other suites have none.
    """

    dataset: DatasetSettings
    sizes: Sizes
    noise: Noise = Noise()
    imbalance: Imbalance | None = None
    groups: Groups | None = None
    model: ModelSettings
    training: Training = Training()
    selection: SelectionSettings | None = None

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _selection_is_of_points(self) -> ProblemSettings:
        if self.groups is not None and (self.selection is not None or self.imbalance is not None):
            raise ValueError("points are chosen or made rare one by one, so selection and imbalance allow no groups")
        return self

    @property
    def title(self) -> str:
        """The name in results and tables, such as ``digits-logistic_regression-labels0.2``."""
        model = re.sub(r"[^A-Za-z0-9_.-]", "_", self.model.name)
        players = "" if self.groups is None else "-" + re.sub(r"[^A-Za-z0-9_.-]", "_", str(self.groups))
        rare = "" if self.imbalance is None else f"-{self.imbalance}"
        return f"{self.dataset.title}-{model}-{self.noise}{rare}{players}"


class EvaluatorSettings(Strict):
    """An evaluator by name, with the parameters of its constructor; ``label`` distinguishes two settings of one.

    With the kind ``"unlearning"`` it is an unlearning method; a player's value is the utility lost by unlearning it.
    With the kind ``"selection"`` it is a selection strategy; a player's value is how often it was chosen.
    """

    kind: Compared = "evaluators"
    name: str
    label: Name | None = None
    params: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """The name in results and tables.

        A class ``module:Name`` may have letters that a folder should not have. These are replaced by similar ones, and
        a short hash keeps different names apart.
        """
        title = self.label or self.name.replace(":", ".")
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", title):
            return title
        decomposed = unicodedata.normalize("NFKD", title)
        ascii_name = re.sub(r"[^A-Za-z0-9_.+-]", "", decomposed).strip("._+-") or "evaluator"
        return f"{ascii_name}-{hashlib.sha256(title.encode()).hexdigest()[:6]}"
