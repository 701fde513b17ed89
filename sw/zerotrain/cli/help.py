"""The first screen: verbs in the order of their use, and how to begin."""

from typing import Any

from typer.core import TyperGroup

__all__ = ["GROUPS", "Verbs"]

#: Verbs by what one does with them; those that none of these names follow under "More".
GROUPS = {
    "Begin": ("demo", "new", "presets", "boards", "doctor"),
    "Plan": ("plan",),
    "Train": ("train", "evaluate", "compare", "tensorboard", "export"),
    "Make a chip": ("generate", "route", "waves"),
    "Keep results": ("publish", "results"),
}
_BEGIN = """
Your own network, from nothing:

  zerotrain new my.toml --inputs 64 --outputs 10
  zerotrain train --config my.toml --chip golden
  zerotrain plan --config my.toml --board icebreaker --set chip=auto

zerotrain VERB --help shows a verb's options; docs/README.md is the guide.
"""


class Verbs(TyperGroup):
    """A group of commands whose help lists them by purpose."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each purpose."""
        left = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        groups = {
            title: [name for name in names if name in left] for title, names in GROUPS.items()
        }
        named = {name for names in groups.values() for name in names}
        groups["More"] = [name for name in left if name not in named]
        width = max(map(len, left))
        for title, names in groups.items():
            if names:
                rows = [
                    (name.ljust(width), self.commands[name].get_short_help_str(limit=200))
                    for name in names
                ]
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write an example as it stands, not wrapped."""
        formatter.write(_BEGIN)
