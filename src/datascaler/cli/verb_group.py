"""A verb that does its own work when it is called alone, and has subcommands for what surrounds that work."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click


class VerbGroup(click.Group):
    """`datascaler VERB --flags` is the verb; `datascaler VERB WORD ...` is the subcommand of that name.

    The verb's required flags are asked for in the first case only, and no flag of the verb may stand before a WORD.
    """

    def __init__(self, *, callback: Callable[..., Any], **settings: Any) -> None:
        settings = {"invoke_without_command": True, "no_args_is_help": False, **settings}
        super().__init__(callback=_unless_subcommand(callback), subcommand_metavar="[COMMAND ...]", **settings)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The subcommands in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0].startswith("-"):
            ctx.allow_extra_args, ctx.allow_interspersed_args = False, True
            return click.Command.parse_args(self, ctx, args)
        # click's mode for completion: what is missing is not missed.
        ctx.resilient_parsing = True
        try:
            return super().parse_args(ctx, args)
        finally:
            ctx.resilient_parsing = False


def _unless_subcommand(callback: Callable[..., Any]) -> Callable[..., Any]:
    """A group's callback runs before its subcommand too."""

    @wraps(callback)
    def alone(**options: Any) -> Any:
        return None if click.get_current_context().invoked_subcommand else callback(**options)

    return alone
