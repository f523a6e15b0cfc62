"""Lists and structs as the dialect writes them, `FLATTEN` and `column:field`, in DuckDB's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from stenopool.errors import SqlError

if TYPE_CHECKING:
    from collections.abc import Collection


def flatten_to_unnest(query: exp.Query) -> None:
    """Make one row of each element of a list: `value`, and `index` from 0.

    Before: `SELECT f.value FROM t, LATERAL FLATTEN(input => segments) f`. After: `SELECT f.value
    FROM t, LATERAL (SELECT UNNEST(segments) AS value, GENERATE_SUBSCRIPTS(segments, 1) - 1 AS
    index) AS f`. With `outer => TRUE` a row without elements stays, joined to NULL.
    https://docs.snowflake.com/en/sql-reference/functions/flatten

    Raises:
        SqlError: it has an argument other than `input` and `outer`.
    """
    for place in list(query.find_all(exp.Lateral, exp.TableFromRows)):
        if not isinstance(place.this, exp.Explode):
            continue
        arguments = _arguments(place.this)
        alias = place.args.get("alias")
        name = alias.this.copy() if alias is not None and alias.this else "flatten"
        elements = _elements(arguments["input"])
        join = place.parent
        outer = arguments.get("outer")
        if isinstance(outer, exp.Boolean) and outer.this:
            if not isinstance(join, exp.Join):
                raise SqlError("FLATTEN with OUTER stands after a table and a comma")
            join.set("side", "LEFT")
            join.set("on", exp.true())
        place.replace(exp.Lateral(this=elements.subquery(), alias=exp.TableAlias(this=name)))


def colon_to_field(query: exp.Query, text_columns: Collection[str]) -> None:
    """Take a part of a struct, or of the JSON in a column of text.

    Before: `SELECT f.value:text, options:model FROM t`. After: `SELECT f.value.text,
    options ->> '$.model' FROM t`.
    https://docs.snowflake.com/en/user-guide/querying-semistructured

    Args:
        query: changed in place.
        text_columns: in lower case; a colon after these reads JSON.
    """
    for extract in list(query.find_all(exp.JSONExtract)):
        if not extract.args.get("variant_extract"):
            continue
        column = extract.this.find(exp.Column)
        if column is not None and column.name.lower() in text_columns:
            json = exp.JSONExtractScalar(this=extract.this, expression=extract.expression)
            extract.replace(json)
        else:
            extract.replace(_field(extract.this.copy(), extract.expression))


def _arguments(flatten: exp.Explode) -> dict[str, exp.Expr]:
    given = [flatten.this, *flatten.expressions]
    named = {
        one.this.name.lower() if isinstance(one, exp.Kwarg) else "input": (
            one.expression if isinstance(one, exp.Kwarg) else one
        )
        for one in given
    }
    if named.keys() - {"input", "outer"} or "input" not in named:
        raise SqlError("FLATTEN takes only 'input' and 'outer' here")
    return named


def _elements(values: exp.Expr) -> exp.Select:
    subscripts = exp.func("GENERATE_SUBSCRIPTS", values.copy(), exp.Literal.number(1))
    return exp.select(
        exp.alias_(exp.func("UNNEST", values.copy()), "value"),
        exp.alias_(exp.Sub(this=subscripts, expression=exp.Literal.number(1)), "index"),
    )


def _field(value: exp.Expr, path: exp.Expr) -> exp.Expr:
    """Follow a path's names and numbers into a value."""
    for step in path.expressions:
        if isinstance(step, exp.JSONPathKey):
            value = exp.Dot(this=value, expression=exp.to_identifier(str(step.this), quoted=True))
        elif isinstance(step, exp.JSONPathSubscript):
            value = exp.Bracket(this=value, expressions=[exp.Literal.number(int(step.this))])
    return value
