"""A suite: a TOML file of problems, evaluators, tasks and seeds, all of whose combinations are computed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from dvbench.errors import UserError, unknown, validation_message
from dvbench.registry import plural, suite_files
from dvbench.settings import Compared, EvaluatorSettings, Name, ProblemSettings, Role, Strict

# Other folders among results and pages.
RESERVED = ("about", "assets", "exact", "figures", "leaderboard", "submissions", "verified")
DAY = 86_400  # seconds
LONGEST_TIMEOUT = 365 * DAY
TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")


class SuiteProblem(ProblemSettings):
    """One problem of a suite, and the tasks that score the values of its players.

    ``label`` is the title of a problem that differs from another one only in its sizes or parameters.
    """

    tasks: tuple[Name, ...] = Field(min_length=1)
    label: Name | None = None

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks_are_registered(cls, tasks: Any) -> Any:
        own = [name for name in tasks if isinstance(name, str) and ":" in name] if isinstance(tasks, list) else []
        if own:
            raise ValueError(f"'{own[0]}' cannot be a task: a task needs an entry point, see the guide add-a-plug-in")
        return tasks

    @property
    def title(self) -> str:
        """The name in results and tables: the label, if there is one."""
        return self.label or super().title

    @property
    def settings(self) -> ProblemSettings:
        """The settings of the problem, without tasks and label."""
        return ProblemSettings.model_validate(self.model_dump(exclude={"tasks", "label"}))


class Suite(Strict):
    """A suite.

    ``version`` is raised when new results cannot be compared with earlier ones. A file may have ``unlearning`` instead
    of ``evaluators``: unlearning methods, which tasks judge, and which value a player by the utility lost by unlearning
    it; or ``selection``: selection strategies, by whose choice models are trained. A cell has failed if its valuation
    or its scoring takes longer than ``cell_timeout``, in seconds. ``roles`` names the evaluators that are compared with
    and not ranked, by label or name; see `dvbench.settings.Role`.

    ``problems`` of a file may be the name of another suite, whose problems they are. ``trials`` names the suite whose
    results chose the settings of this one; what its trials cost is counted in the costs of this suite.
    """

    name: Name
    version: int = Field(ge=1)
    description: str = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    problems: tuple[SuiteProblem, ...] = Field(min_length=1)
    evaluators: tuple[EvaluatorSettings, ...] = Field(min_length=1)
    cell_timeout: float = Field(default=DAY, gt=0, le=LONGEST_TIMEOUT)
    roles: dict[Name, Role] = {}
    trials: Name | None = None
    other_keys: ClassVar[tuple[str, ...]] = ("unlearning", "selection")

    @model_validator(mode="before")
    @classmethod
    def _problems_of_another_suite(cls, data: Any) -> Any:
        name = data.get("problems") if isinstance(data, dict) else None
        if not isinstance(name, str):
            return data
        if name not in suite_files():
            raise ValueError(f"problems: {unknown('suite', name, suite_files())}")
        problems = tomllib.loads(suite_files()[name].read_text(encoding="utf-8")).get("problems")
        if not isinstance(problems, list):
            raise ValueError(f"problems: suite '{name}' has none of its own; name the suite that has them")
        return {**data, "problems": problems}

    @model_validator(mode="before")
    @classmethod
    def _methods_are_evaluators(cls, data: Any) -> Any:
        kinds = [kind for kind in get_args(Compared) if isinstance(data, dict) and kind in data]
        if len(kinds) > 1:
            raise ValueError(f"a suite has {plural(kinds[0])} or {plural(kinds[1])}, not both")
        if kinds in ([], ["evaluators"]):
            return data
        (kind,) = kinds
        methods, others = data[kind], {key: value for key, value in data.items() if key != kind}
        if not isinstance(methods, list) or not all(isinstance(method, dict) for method in methods):
            raise ValueError(f"{plural(kind)} are tables, [[{kind}]]")
        return {**others, "evaluators": [{**method, "kind": kind} for method in methods]}

    @model_validator(mode="after")
    def _name_is_free(self) -> Suite:
        if self.name in RESERVED or self.name.endswith((".md", ".csv", ".html")):
            raise ValueError(f"a suite cannot be named '{self.name}'; rename the file")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Suite:
        kinds = sorted({evaluator.kind for evaluator in self.evaluators})
        if len(kinds) > 1:
            raise ValueError(f"a suite has {plural(kinds[0])} or {plural(kinds[1])}, not both")
        return self

    @model_validator(mode="after")
    def _selection_has_settings(self) -> Suite:
        without = [
            problem.title for problem in self.problems if (problem.selection is None) == (self.kind == "selection")
        ]
        if without and self.kind == "selection":
            raise ValueError(
                f"problem '{without[0]}' needs selection = {{ fractions = [...], ... }}, how models are trained"
            )
        if without:
            raise ValueError(f"problem '{without[0]}' has settings of selection, and the suite no selection strategies")
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> Suite:
        for what, names in (
            ("problem", [problem.title for problem in self.problems]),
            ("evaluator", [evaluator.title for evaluator in self.evaluators]),
            ("seed", [str(seed) for seed in self.seeds]),
        ):
            wrong = [name for name in names if not TITLE.fullmatch(name)]
            if wrong:
                raise ValueError(f"{what} '{wrong[0]}' cannot name a folder: shorten it, or give it a label")
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                hint = "" if what == "seed" else "; give one a label"
                raise ValueError(f"{what} '{twice[0]}' is there twice{hint}")
        return self

    @model_validator(mode="after")
    def _roles_are_of_evaluators(self) -> Suite:
        titles = [evaluator.title for evaluator in self.evaluators]
        for title in self.roles:
            if title not in titles:
                raise ValueError(f"roles: {unknown('evaluator', title, titles)}")
        return self

    @property
    def kind(self) -> Compared:
        """What is compared: evaluators, unlearning methods, or selection strategies."""
        return self.evaluators[0].kind


def load_suite(name: str) -> Suite:
    """Load a suite.

    Parameters
    ----------
    name : str
        A registered name, or the path of a TOML file, whose stem becomes the suite's name.

    Raises
    ------
    UserError
        If there is no such suite, or the file is wrong; the message names file, key and what is allowed.
    """
    path = Path(name) if name.endswith(".toml") else suite_files().get(name)
    if path is None:
        raise unknown("suite", name, suite_files(), "A suite of your own is the path of a .toml file.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read suite {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    try:
        return Suite.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise UserError(f"{path}: {validation_message(error)}") from error
