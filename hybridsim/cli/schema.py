"""``hybridsim schema``: what files and answers say, for editors and scripts."""

from typing import Annotated

import typer

from hybridsim.cli._options import Json
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.reference import names_of_schemas, schema_of


@ends_cleanly
def schema(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="machine, study, result, ...; without one: all names there are."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """JSON Schema of a kind of file, or of what a command prints with --json."""
    if what is not None:
        print_json(schema_of(what))
    elif json_:
        print_json(names_of_schemas())
    else:
        table = plain_table("schema", "of")
        for name, told in names_of_schemas().items():
            table.add_row(name, told)
        out().print(table)
