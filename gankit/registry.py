"""Registries map names to factories. A factory's signature is its schema.

gankit passes the positional parameters; the recipe sets the keyword-only parameters.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import MISSING
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import Field, ValidationError, create_model

from .errors import RegistrationError
from .injection import argument_names, parameters_of
from .messages import did_you_mean, quote
from .nested_components import for_recipe
from .registered_component import Entry, Params

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
RESERVED = ("name", "at", "scheduled")  # the recipe's key for the component, and the attributes of `Params`


class Registry:
    """The components of one kind.

    Attributes:
        kind: the plural, such as ``generators``.
        context: names of the values that gankit passes to positional parameters.
        by_position: those that a factory with other names receives.
        owner: the plugin that components are registered for.
    """

    def __init__(self, kind: str, *by_position: str, by_name: tuple[str, ...] = ()) -> None:
        self.kind, self.by_position, self.owner = kind, by_position, "gankit"
        self.context = (*by_position, *by_name)
        self._entries: dict[str, Entry] = {}

    @property
    def singular(self) -> str:
        """The singular of the kind, such as ``loss``."""
        return self.kind.removesuffix("es" if self.kind.endswith("sses") else "s")

    def add(self, name: str, factory: Callable[..., Any]) -> None:
        """Register ``factory`` under ``name``.

        Raises:
            RegistrationError: the name is taken or invalid, or the signature is not
                ``(context..., *, annotated keyword-only parameters)``.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise RegistrationError(
                f"{self.kind}: invalid name {name!r}: use letters, digits, '_' and '-', starting with a letter"
            )
        if taken := self._entries.get(name):
            raise RegistrationError(f"{self.kind}: '{name}' is already registered by plugin '{taken.plugin}'")
        where = f"{self.kind}: '{name}'"
        schema = signature_schema(factory, self.context, where)
        try:
            what = getattr(factory, "__name__", type(factory).__name__)
            arguments = argument_names(factory, self.context, self.by_position, what)
        except ValueError as error:
            raise RegistrationError(f"{where}: {error}") from None
        self._entries[name] = Entry(self.kind, name, self.owner, factory, arguments, schema)

    def get(self, name: str) -> Entry:
        """The component ``name``. Raises: KeyError, with a message for the user."""
        if name not in self._entries:
            raise KeyError(self.unknown(name))
        return self._entries[name]

    def unknown(self, name: str) -> str:
        """The message for a name that is not registered, with the closest registered name."""
        return f"no {self.singular} is called {quote(name)}{did_you_mean(name, self._entries)}"

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def __len__(self) -> int:
        return len(self._entries)


def signature_schema(
    factory: Callable[..., Any], context: tuple[str, ...], where: str, ignore_variable: bool = False
) -> type[Params]:
    """The pydantic model of a factory's keyword-only parameters.

    Args:
        factory: a class, function or other callable.
        context: names of the positional parameters that gankit passes.
        where: the start of error messages.
        ignore_variable: accept and ignore ``*args`` and ``**kwargs``.

    Raises:
        RegistrationError: it has positional parameters but no ``context``, or a keyword-only parameter has a reserved
            name, an invalid default, or an annotation that is missing or unusable.
    """
    if not callable(factory):
        raise RegistrationError(f"{where}: {factory!r} is not callable; register a class or a function")
    if not inspect.isclass(factory) and hasattr(factory, "forward"):
        raise RegistrationError(f"{where}: a {type(factory).__name__} is a built module; register its class")
    try:
        parameters = parameters_of(factory)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{where}: its signature cannot be read: {error}") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    if not ignore_variable and any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise RegistrationError(f"{where}: *args and **kwargs are not supported; list each parameter after a '*'")
    if positional and not context:
        raise RegistrationError(
            f"{where}: its positional parameters should be (), not "
            f"({', '.join(p.name for p in positional)}); put parameters of the recipe after a '*'"
        )
    hints = _type_hints(factory, keywords, where)
    types: dict[str, Any] = {}
    for parameter in keywords:
        name = parameter.name
        if name in RESERVED or name.startswith("_") or (name.startswith("model_") and hasattr(Params, name)):
            raise RegistrationError(f"{where}: the parameter name '{name}' is reserved")
        types[name] = for_recipe(hints[name]), _default(factory, parameter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a parameter such as 'copy' hides a method of BaseModel
            schema = create_model(getattr(factory, "__name__", "Params"), __base__=Params, **types)
            schema.model_json_schema()
    except Exception as error:  # pydantic raises various exceptions for unsupported annotations
        raise RegistrationError(f"{where}: unsupported annotation or default: {str(error).splitlines()[0]}") from None
    _check_defaults(schema, where)
    return schema


def _default(factory: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The default of a parameter for pydantic."""
    if parameter.default is parameter.empty:
        return ...
    field = getattr(factory, "__dataclass_fields__", {}).get(parameter.name)
    if field is not None and field.default_factory is not MISSING:  # its signature has a placeholder
        return Field(default_factory=field.default_factory)
    return parameter.default


def _check_defaults(schema: type[Params], where: str) -> None:
    try:
        schema.model_validate({})
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            if finding["type"] != "missing":
                name, fault = finding["loc"][0], finding["msg"].replace("Input should", "should")
                message = f"the default of '{name}' {fault}; it is {finding['input']!r}"
                raise RegistrationError(f"{where}: {message}") from None
    except Exception as error:  # from a plugin's validator, or a constraint that the type does not support
        raise RegistrationError(f"{where}: its defaults cannot be checked: {type(error).__name__}: {error}") from None


def _type_hints(factory: Callable[..., Any], keywords: list[inspect.Parameter], where: str) -> dict[str, Any]:
    missing = [p.name for p in keywords if p.annotation is p.empty]
    if missing:
        raise RegistrationError(f"{where}: parameter '{missing[0]}' needs a type annotation")
    # positional annotations are skipped: they may name types that are imported for type checking only
    function: Any = factory
    while isinstance(function, functools.partial):
        function = function.func
    function = function.__init__ if inspect.isclass(function) else function
    function = function if hasattr(function, "__globals__") else type(function).__call__
    function = inspect.unwrap(function)
    holder = SimpleNamespace(__annotations__={p.name: p.annotation for p in keywords})
    try:
        return get_type_hints(holder, globalns=getattr(function, "__globals__", {}), include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise RegistrationError(f"{where}: an annotation cannot be resolved: {error}") from None


class Registries:
    """A registry for each kind of component. ``owner`` is the plugin that components are registered for."""

    def __init__(self, owner: str = "gankit") -> None:
        self.generators = Registry("generators", "image", "latent_dim", by_name=("data",))
        self.discriminators = Registry("discriminators", "image", by_name=("data",))
        self.losses = Registry("losses")
        self.regularizers = Registry("regularizers")
        self.augmentations = Registry("augmentations", "image", by_name=("data",))
        self.codecs = Registry("codecs", "image", by_name=("data",))
        self.datasets = Registry("datasets")
        self.latents = Registry("latents", "dim")
        self.optimizers = Registry("optimizers", "parameters")
        self.callbacks = Registry("callbacks")
        self.metrics = Registry("metrics")
        self.features = Registry("features")
        self.games = Registry("games")
        self.weight_formats = Registry("weight_formats")
        for registry in self:
            registry.owner = owner

    def __iter__(self) -> Iterator[Registry]:
        return iter(vars(self).values())

    def merge(self, other: Registries) -> None:
        """Add all components of ``other``, or none. Raises: RegistrationError: a name is taken."""
        pairs = list(zip(self, other, strict=True))
        for mine, theirs in pairs:
            for entry in theirs:
                if taken := mine._entries.get(entry.name):
                    both = f"of plugin '{entry.plugin}' is already registered by plugin '{taken.plugin}'"
                    raise RegistrationError(f"{mine.kind}: '{entry.name}' {both}")
        for mine, theirs in pairs:
            mine._entries.update(theirs._entries)
