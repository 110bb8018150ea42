"""How packed weights are laid out, as a Numba type: a product is compiled once for each form and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import extending
from numba.core import types
from numba.extending import models

_numba: Any = extending

FORMS = ("csr", "pairs", "grouped")


@dataclass(frozen=True, slots=True)
class Form:
    """One of ``FORMS``; a name only, without data in compiled code."""

    name: str


class FormType(types.Type):
    """The Numba type of one ``Form``."""

    def __init__(self, form: str) -> None:
        self.form = form
        super().__init__(name=f"Form({form})")


@_numba.register_model(FormType)
class _FormModel(models.OpaqueModel):
    """No data: the type says it all."""


@_numba.typeof_impl.register(Form)
def _typeof_form(value: Form, context: Any) -> FormType:  # noqa: ARG001  (Numba's protocol)
    return FormType(value.name)


@_numba.unbox(FormType)
def _unbox_form(numba_type: FormType, value: Any, c: Any) -> Any:  # noqa: ARG001
    return _numba.NativeValue(c.context.get_dummy_value())
