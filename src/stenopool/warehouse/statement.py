"""Reads one statement of the dialect, and refuses what is no query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import ErrorLevel, TokenType, exp
from sqlglot.errors import SqlglotError

from stenopool.errors import SqlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.tokenizer_core import Token

DIALECT: Final = "snowflake"

_STARTS: Final = frozenset(
    {
        TokenType.DESC,
        TokenType.DESCRIBE,
        TokenType.FROM,
        TokenType.L_PAREN,
        TokenType.SELECT,
        TokenType.SHOW,
        TokenType.VALUES,
        TokenType.WITH,
    }
)

_WRITES: Final = (exp.DML, exp.DDL, exp.Into, exp.Command, exp.Copy, exp.Drop, exp.Merge)

_PLAIN_TABLE: Final = frozenset({"this", "db", "catalog", "alias", "joins", "pivots", "sample"})


def read_statement(text: str) -> exp.Query | exp.Show | exp.Describe:
    """Parse one statement.

    Raises:
        SqlError: it cannot be read, is no query, or there are several.
    """
    try:
        _check_start(sqlglot.tokenize(text, read=DIALECT))
        parsed = sqlglot.parse_one(text, dialect=DIALECT, error_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise SqlError(f"the query cannot be read: {_where(error)}") from error
    if not isinstance(parsed, exp.Query | exp.Show | exp.Describe):
        raise SqlError("that is no query; only SELECT, SHOW and DESCRIBE are read here")
    if any(parsed.find_all(*_WRITES)):
        raise SqlError("the query would write; only SELECT, SHOW and DESCRIBE are read here")
    return parsed


def tables_of(query: exp.Query) -> Iterator[exp.Table]:
    """Yield the places where the query names a table of the catalog.

    Raises:
        SqlError: it reads from something else: a file, a stage, a function, an older version.
    """
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise SqlError(f"{table.sql(DIALECT)!r} is no table; a query reads tables only")
        strange = [key for key, value in table.args.items() if value and key not in _PLAIN_TABLE]
        if strange:
            raise SqlError(f"{table.sql(DIALECT)!r}: this way to read a table is not supported")
        if not _names_cte(table):
            yield table


def folded(name: object) -> str:
    """The name that an identifier stands for; empty without one."""
    if not isinstance(name, exp.Identifier):
        return ""
    return str(name.this) if name.args.get("quoted") else str(name.this).upper()


def keep_typed_names(query: exp.Query) -> None:
    """Let each column of the result be called what was typed; DuckDB would call it otherwise.

    Before: `SELECT Path, count(*) FROM t`. After: `SELECT Path AS "Path", COUNT(*) AS "COUNT(*)"
    FROM t`.
    """
    first: exp.Expr = query
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    for column in first.expressions if isinstance(first, exp.Select) else ():
        if column.is_star or isinstance(column, exp.Alias | exp.Aliases | exp.UDTF):
            continue
        name = column.name if isinstance(column, exp.Column) else column.sql(DIALECT)
        column.replace(exp.alias_(column.copy(), name, quoted=True))


def to_duckdb(query: exp.Query) -> str:
    """The query as DuckDB writes it.

    Raises:
        SqlError: it uses something that DuckDB lacks.
    """
    try:
        return query.sql("duckdb", unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise SqlError(f"the query is not supported: {_where(error)}") from error


def _check_start(tokens: list[Token]) -> None:
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise SqlError("the query is empty")
    if tokens[0].token_type not in _STARTS:
        raise SqlError(f"{tokens[0].text.upper()} is not allowed: SELECT, SHOW and DESCRIBE are")
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise SqlError("there are several statements; run them one by one")


def _names_cte(table: exp.Table) -> bool:
    """Whether a name is that of a common table expression which is visible there."""
    if table.args.get("db"):
        return False
    wanted = folded(table.this)
    inner: exp.Expr = table
    outer = table.parent
    while outer is not None:
        clause = outer if isinstance(outer, exp.With) else outer.args.get("with_")
        if clause is not None and clause is not inner and wanted in _visible(clause, inner):
            return True
        inner, outer = outer, outer.parent
    return False


def _visible(clause: exp.With, inside: exp.Expr) -> Iterator[str]:
    """Yield the names of a WITH that are seen from one of its parts, or from the query below."""
    for each in clause.expressions:
        if each is inside and not clause.args.get("recursive"):
            return
        yield folded(each.args["alias"].this)


def _where(error: SqlglotError) -> str:
    """What the parser says, on one line, without its colours."""
    details = getattr(error, "errors", None)
    if not details:
        return " ".join(str(error).split())
    first = details[0]
    found = f" near {first['highlight']!r}" if first.get("highlight") else ""
    text = str(first["description"]).partition(" but got <Token")[0].rstrip(". ")
    return f"{text}{found} (line {first['line']}, column {first['col']})"
