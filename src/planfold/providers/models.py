"""Models by their names in settings. Vendors' libraries are imported when a model is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING

from planfold.errors import ConfigurationError, extra_missing
from planfold.llm.chain import FallbackChain
from planfold.llm.conversations import PREFIX, open_script
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Model

if TYPE_CHECKING:
    from planfold.providers.vendor_model import VendorModel


class OpenModels:
    """The models that were asked for so far, each with one set of connections; ``close`` them.

    Opening the first model of a vendor takes seconds: on an event loop, do it in a thread.

    A name is ``VENDOR:MODEL``, the name of an endpoint in settings, ``scripted:FILE.json``, or
    several of these with commas between: a chain, in which the next takes over from one that is
    unavailable.
    """

    def __init__(
        self,
        endpoints: Mapping[str, ModelEndpoint],
        environ: Mapping[str, str],
        first_pause: float,
    ) -> None:
        self._endpoints = endpoints
        self._environ = environ
        self._first_pause = first_pause
        self._models: dict[str, Model] = {}
        self._vendors: list[VendorModel] = []
        self._opening = Lock()

    def __call__(self, name: str) -> Model:
        """The model of ``name``.

        Raises:
            ConfigurationError: it is unknown, or its library or its key is missing.
        """
        names = [part.strip() for part in name.split(",")]
        if not all(names):
            raise ConfigurationError(f"{name!r} is not a model; name one, such as openai:gpt-5")
        key = ",".join(names)
        with self._opening:
            if key not in self._models:
                models = [self._one(part) for part in names]
                self._models[key] = models[0] if len(models) == 1 else FallbackChain(models)
            return self._models[key]

    def _one(self, name: str) -> Model:
        if name not in self._models:
            endpoint = self._endpoints.get(name) or ModelEndpoint(name)
            if endpoint.model.startswith(PREFIX):
                self._models[name] = open_script(endpoint.model)
            elif ":" in endpoint.model:
                self._models[name] = self._vendor(name, endpoint)
            else:
                raise ConfigurationError(self._unknown(name, endpoint))
        return self._models[name]

    def _unknown(self, name: str, endpoint: ModelEndpoint) -> str:
        if endpoint.model != name:
            return f"[models.{name}] model: {endpoint.model!r} is not VENDOR:MODEL"
        known = ", ".join(sorted(self._endpoints)) or "none"
        return (
            f"no model {name!r}: write VENDOR:MODEL, as in openai:gpt-5, "
            f"or the name of a [models.NAME] in planfold.toml (there: {known})"
        )

    def _vendor(self, name: str, endpoint: ModelEndpoint) -> VendorModel:
        try:
            from planfold.providers.vendor_model import VendorModel
            from planfold.providers.vendors import open_vendor
        except ImportError as fault:
            raise extra_missing(f"model {name}", "llm", fault) from None
        opened = open_vendor(name, endpoint, self._environ)
        model = VendorModel(name, endpoint, opened, first_pause=self._first_pause)
        self._vendors.append(model)
        return model

    async def close(self) -> None:
        """Close all connections. A model is opened again when it is next asked for."""
        vendors, self._vendors = self._vendors, []
        self._models = {}
        for model in vendors:
            await model.close()


def open_models(
    endpoints: Mapping[str, ModelEndpoint],
    environ: Mapping[str, str] | None = None,
    *,
    first_pause: float = 0.5,
) -> OpenModels:
    """Models by name: those of ``endpoints`` (``[models.NAME]`` of settings) and all others.

    Keys are taken from ``environ``, by default the process's. ``first_pause`` is the longest pause
    in seconds before a call is tried again the first time.
    """
    return OpenModels(endpoints, os.environ if environ is None else environ, first_pause)
