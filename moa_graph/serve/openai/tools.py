"""The tools of both OpenAI APIs as functions, and the names that their calls have in an answer.

A tool is flat in the Responses API, and an object in an object in chat completions. Some clients mix the two forms.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from moa_graph.serve.fields import Object, ToolName, validate, without_nulls
from moa_graph.serve.problems import Problem
from moa_graph.state.value_text import given

__all__ = ["SEARCH", "OfferedTools", "ToolOrigin", "custom_input", "function_name", "tool_options"]

SEARCH = "tool_search"
"""The name of the function that stands for the client's own search for further tools."""

_LONGEST_NAME = 64
"""Characters of a function's name that every provider takes."""

_NO_PARAMETERS = {"type": "object", "properties": {}}
_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The parameters of a function that takes the plain text of a custom tool."""


class ToolOrigin(NamedTuple):
    """How a client names a tool.

    Attributes:
        kind: `function`, `custom` (it takes plain text) or `tool_search` (the client's search for further tools).
        name: Its name.
        namespace: The group that it belongs to, if any.
    """

    kind: str
    name: str
    namespace: str | None = None


class _Tool(Object):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True)
class OfferedTools:
    """The tools of a request as functions.

    Many providers refuse several tools with one name: the first counts.

    Attributes:
        hosted: Leave out tools that only OpenAI's own servers have. Otherwise they are refused.
        functions: The tools in the form of chat completions.
        origins: How the client names them, by the function's name.
    """

    hosted: bool = False
    functions: list[dict[str, Any]] = field(default_factory=list)
    origins: dict[str, ToolOrigin] = field(default_factory=dict)

    def add(self, tools: Iterable[Any], place: str, namespace: str | None = None) -> None:
        """Add tools in the form of either API.

        Args:
            tools: The tools.
            place: Their place in the request.
            namespace: The group that they belong to.

        Raises:
            Problem: 400, naming the tool.
        """
        for n, tool in enumerate(tools):
            if not isinstance(tool, Mapping):
                reason = f"expected a mapping (`name: value`), got {given(tool)}"
                raise Problem(400, f"{place}[{n}]: {reason}.", param="tools")
            self._add(tool, f"{place}[{n}]", namespace)

    def _add(self, tool: Mapping[str, Any], place: str, namespace: str | None) -> None:
        kind = tool.get("type")
        if kind in ("function", "custom"):
            about = self._described(tool, kind, place)
            whole = tool if kind == "function" and about is not tool else None
            self._put(ToolOrigin(kind, about["name"], namespace), about, whole)
        elif not self.hosted:
            raise Problem(400, f'{place}.type: expected "function" or "custom", got {given(kind)}.', param="tools")
        elif kind == "namespace" and namespace is None:
            self._add_group(tool, place)
        elif kind == SEARCH and tool.get("execution") == "client":
            self._put(ToolOrigin(SEARCH, SEARCH), tool)

    def _described(self, tool: Mapping[str, Any], kind: str, place: str) -> Mapping[str, Any]:
        """Return what describes a tool: the tool itself, or the object in it."""
        about = tool.get(kind)
        if isinstance(about, Mapping):
            place = f"{place}.{kind}"
        elif "name" in tool or self.hosted:
            about = tool
        else:
            raise Problem(400, f"{place}.{kind}: expected a mapping with `name`, got {given(about)}.", param="tools")
        try:
            validate(_Tool, without_nulls(about))
        except Problem as exc:
            raise Problem(400, f"{place}.{exc}", param="tools") from None
        return about

    def _add_group(self, group: Mapping[str, Any], place: str) -> None:
        """Add the tools of a namespace: Codex groups those of an MCP server. The first one shows its description."""
        name, tools = group.get("name"), group.get("tools")
        if not isinstance(name, str) or not name or not isinstance(tools, list):
            raise Problem(400, f"{place}: a namespace needs a name and a list of tools.", param="tools")
        before = len(self.functions)
        self.add(tools, f"{place}.tools", name)
        if len(self.functions) > before:
            first = self.functions[before]["function"]
            first["description"] = _joined(group.get("description"), first.get("description"))

    def _put(self, origin: ToolOrigin, about: Mapping[str, Any], whole: Mapping[str, Any] | None = None) -> None:
        name = function_name(origin.name, origin.namespace)
        if name in self.origins:
            return
        self.origins[name] = origin
        if whole is not None and origin.namespace is None:
            # Further fields of a tool of chat completions are for its provider.
            self.functions.append({**whole, "function": without_nulls(about)})
            return
        parameters = _TEXT if origin.kind == "custom" else about.get("parameters") or _NO_PARAMETERS
        strict = {"strict": about["strict"]} if origin.kind == "function" and about.get("strict") is not None else {}
        function = {"name": name, "description": _description(about), "parameters": parameters, **strict}
        self.functions.append({"type": "function", "function": function})

    def origin(self, name: str) -> ToolOrigin:
        """Return how the client names the tool that a model calls `name`. Some models leave a namespace out."""
        alike = [each for each in self.origins.values() if each.name == name]
        return self.origins.get(name) or (alike[0] if len(alike) == 1 else ToolOrigin("function", name))


def function_name(name: str, namespace: Any = None) -> str:
    """Return the name of the function that stands for a tool, which is the same in every request."""
    if not isinstance(namespace, str) or not namespace:
        return name
    whole = f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"
    if len(whole) <= _LONGEST_NAME:
        return whole
    return f"{whole[: _LONGEST_NAME - 9]}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def custom_input(arguments: Mapping[str, Any]) -> str:
    """Return the plain text of a call of a custom tool."""
    text = arguments.get("input", "")
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def _description(about: Mapping[str, Any]) -> str:
    """Return the tool's description, with the grammar of a custom tool that has one."""
    form = about.get("format")
    return _joined(about.get("description"), _flat(form).get("definition") if isinstance(form, Mapping) else None)


def _joined(*texts: Any) -> str:
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool, a choice or a format in the form of the Responses API: without an object in the object."""
    kind = value.get("type")
    inner = value.get(kind) if isinstance(kind, str) else None
    return {**inner, "type": kind} if isinstance(inner, Mapping) else dict(value)


_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
"""The modes that clients made for Anthropic's API, such as Cursor, send as objects."""


def tool_options(fields: Mapping[str, Any], tools: list[dict[str, Any]], *, mode: str | None = None) -> dict[str, Any]:
    """Return the options of the aggregator's call about tools.

    Args:
        fields: The request's fields without nulls.
        tools: The tools as functions.
        mode: The mode of a choice of allowed tools that names none.

    Raises:
        Problem: 400; the choice is not a tool of the request.
    """
    choice = fields.get("tool_choice", "auto")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice, mode)
    if isinstance(choice, Mapping):
        choice = _MODES.get(str(choice.get("type")), choice)
    if isinstance(choice, Mapping):
        name = _named(choice) if choice.get("type") in ("function", "custom") else None
        fits = name in [tool["function"]["name"] for tool in tools]
        choice = {"type": "function", "function": {"name": name}}
    else:
        fits = choice in ("none", "auto", "required")
    if not fits:
        raise Problem(400, "tool_choice: must be none, auto, required, or a tool of `tools`.", param="tool_choice")
    if not tools:
        if choice == "required":
            raise Problem(400, "tool_choice: required needs at least one function in `tools`.", param="tool_choice")
        return {}
    set_ = {"tool_choice": choice} if "tool_choice" in fields else {}
    parallel = {"parallel_tool_calls": fields["parallel_tool_calls"]} if "parallel_tool_calls" in fields else {}
    return {"tools": tools, **set_, **parallel}


def _named(value: Any) -> str | None:
    """Return the name of the function that a choice names."""
    about = _flat(value) if isinstance(value, Mapping) else {}
    name = about.get("name")
    return function_name(name, about.get("namespace")) if isinstance(name, str) else None


def _allowed(
    tools: list[dict[str, Any]], choice: Mapping[str, Any], mode: str | None
) -> tuple[list[dict[str, Any]], Any]:
    """Return the tools that `allowed_tools` names, and its mode: only OpenAI has this choice.

    Raises:
        Problem: 400; it has no list of tools, or another mode than auto and required.
    """
    place = "tool_choice.allowed_tools" if "allowed_tools" in choice else "tool_choice"
    about = _flat(choice)
    listed, mode = about.get("tools"), about.get("mode", mode)
    if not isinstance(listed, list) or not all(isinstance(tool, Mapping) for tool in listed):
        raise Problem(400, f"{place}.tools: expected a list of tools, got {given(listed)}.", param="tool_choice")
    if mode not in ("auto", "required"):
        raise Problem(400, f"{place}.mode: expected auto or required, got {given(mode)}.", param="tool_choice")
    names = {_named(tool) for tool in listed}
    return [tool for tool in tools if tool["function"]["name"] in names], mode
