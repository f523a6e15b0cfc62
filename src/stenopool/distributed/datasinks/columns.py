"""The columns of a dataset as a table keeps them: names, types, and what fits what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from stenopool.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_UNSIGNED_64: Final = pa.decimal128(20, 0)
"""Holds every unsigned integer of 64 bits, which no integer of a table does."""

_MAX_DECIMAL_DIGITS: Final = 38

_PLAIN_TYPES: Final[tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...]] = (
    (pt.is_null, pa.string()),
    (pt.is_string, pa.string()),
    (pt.is_large_string, pa.string()),
    (pt.is_string_view, pa.string()),
    (pt.is_binary, pa.binary()),
    (pt.is_large_binary, pa.binary()),
    (pt.is_binary_view, pa.binary()),
    (pt.is_fixed_size_binary, pa.binary()),
    (pt.is_boolean, pa.bool_()),
    (pt.is_uint64, _UNSIGNED_64),
    (pt.is_integer, pa.int64()),
    (pt.is_float16, pa.float32()),
    (pt.is_float32, pa.float32()),
    (pt.is_float64, pa.float64()),
    (pt.is_date, pa.date32()),
    (pt.is_time, pa.time64("us")),
)
"""What a table keeps for each kind of column, the first that answers; nested kinds are below."""


def table_schema(schema: pa.Schema, target: str) -> pa.Schema:
    """The schema of a table that is made for a dataset.

    Integers become 64 bits wide (unsigned ones of 64 bits decimals of 20 digits), half floats
    single ones; a column that is all null becomes text. Times are kept to the microsecond, with
    a zone in UTC. Names fold as in `folded`.

    Args:
        schema: of the dataset.
        target: the table, for messages.

    Raises:
        InvalidOptionError: there is no column, two columns get one name, or a type has no place
            in a table.
    """
    fields = []
    for field in plain_schema(schema):
        kept = kept_type(field.type)
        if kept is None:
            raise InvalidOptionError(
                f"table {target}: column {field.name!r} is of type {_said(field.type)}, which a "
                "table cannot hold; convert it first"
            )
        fields.append(pa.field(folded(field.name), kept))
    names = [field.name for field in fields]
    if not names:
        raise InvalidOptionError(f"table {target}: the dataset has no columns to make it with")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidOptionError(
            f"table {target}: two columns of the dataset get the name {', '.join(twice)}; "
            "put one in double quotes or rename it"
        )
    return pa.schema(fields)


def common_schema(schemas: Iterable[pa.Schema], target: str) -> pa.Schema:
    """The columns of a table made for blocks that may differ: null and text, int and float.

    Raises:
        InvalidOptionError: a column's types have nothing in common; else as `table_schema`.
    """
    try:
        return table_schema(pa.unify_schemas(list(schemas), promote_options="permissive"), target)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidOptionError(
            f"table {target} cannot be made: its rows differ: {_said_by(error)}"
        ) from error


def folded(name: str) -> str:
    """A column's name as the dialect keeps it: upper case, unless it stands in double quotes."""
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name.upper()


def kept_type(kind: pa.DataType) -> pa.DataType | None:
    """What a table keeps for a type of a dataset; None where it has nothing for it."""
    for answers, kept in _PLAIN_TYPES:
        if answers(kind):
            return kept
    if pt.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pt.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if _is_kept(kind) else None
    if pt.is_dictionary(kind):
        return kept_type(kind.value_type)
    return _kept_nested(kind)


def _is_kept(kind: pa.DataType) -> bool:
    return bool(0 <= kind.scale <= kind.precision <= _MAX_DECIMAL_DIGITS)


def _kept_nested(kind: pa.DataType) -> pa.DataType | None:
    if _is_list(kind):
        item = kept_type(kind.value_type)
        return None if item is None else pa.list_(item)
    if pt.is_map(kind):
        key, item = kept_type(kind.key_type), kept_type(kind.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    if pt.is_struct(kind):
        fields = [(field.name, kept_type(field.type)) for field in kind]
        return None if not fields or any(kept is None for _, kept in fields) else pa.struct(fields)
    return None


def fit(rows: pa.Table, schema: pa.Schema, target: str) -> pa.Table:
    """Rows with the names, the order and the types of a table.

    A column fits where no value changes: a narrower integer in a wider one, whole numbers in a
    column of either kind of number, single in double precision, null in anything. Times lose what
    is below a microsecond.

    Args:
        rows: of the dataset.
        schema: of the table.
        target: the table, for messages.

    Raises:
        InvalidOptionError: a column is missing or one too many, or its type does not fit; the
            text names table, column and both types.
    """
    found = _matched(rows.column_names, schema, target)
    columns = [
        _cast(rows.column(found[field.name]), field, target, rows.column_names[found[field.name]])
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def grown(schema: pa.Schema, rows: pa.Schema) -> pa.Schema:
    """A table's columns, and those of rows that it lacks, inside of structs and lists too.

    A column of both keeps the table's type, or takes that of the rows where all that the table
    holds has a place in it.
    """

    def taken(field: pa.Field) -> pa.Field:
        if field.name not in rows.names:
            return field
        kind = rows.field(field.name).type
        widens = fits(field.type, kind) and not fits(kind, field.type)
        return field.with_type(kind) if widens else field

    more = (field for field in rows if field.name not in schema.names)
    return pa.schema([*map(taken, schema), *more])


def _matched(names: list[str], schema: pa.Schema, target: str) -> dict[str, int]:
    """The place in `names` of each of the table's columns."""
    found: dict[str, int] = {}
    extra = []
    for index, name in enumerate(names):
        column = _column_named(name, schema)
        if column is None or column in found:
            extra.append(name)
        else:
            found[column] = index
    missing = [name for name in schema.names if name not in found]
    if missing or extra:
        faults = [f"it has no column {name!r} of the table" for name in missing]
        faults += [f"the table has no column for its {_bare(name)!r}" for name in extra]
        raise InvalidOptionError(
            f"table {target}: the dataset does not fit: {'; '.join(faults)}. "
            f"The table's columns are {', '.join(schema.names)}"
        )
    return found


def _bare(name: str) -> str:
    """A name without the double quotes that `kept` put around it."""
    return name.strip('"')


def _column_named(name: str, schema: pa.Schema) -> str | None:
    """The table's column that a dataset's column goes to; case counts for quoted names alone."""
    kept = folded(name)
    if kept in schema.names or kept != name.upper():
        return kept if kept in schema.names else None
    if name in schema.names:
        return name
    same = [column for column in schema.names if column.upper() == kept]
    return same[0] if len(same) == 1 else None


def _cast(column: pa.ChunkedArray, field: pa.Field, target: str, name: str) -> pa.ChunkedArray:
    wrong = (
        f"table {target}: column {field.name!r} is of type {_said(field.type)}, and the dataset's "
        f"{_bare(name)!r} of type {_said(column.type)}, which does not fit"
    )
    if not fits(column.type, field.type):
        raise InvalidOptionError(wrong)
    try:
        options = pc.CastOptions(field.type, allow_time_truncate=True)
        return pc.cast(column, options=options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidOptionError(f"{wrong}: {_said_by(error)}") from error


def fits(kind: pa.DataType, into: pa.DataType) -> bool:
    """Whether values of one type may have a place in another, unchanged.

    Whole numbers and doubles may: pandas makes the one of the other where a value is missing. Each
    value is then looked at.
    """
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if pt.is_null(kind) or kind == into:
        return True
    if pt.is_integer(kind):
        return _integer_fits(kind, into)
    if pt.is_decimal(kind) and pt.is_decimal(into):
        digits = kind.precision - kind.scale
        return bool(into.precision - into.scale >= digits and into.scale >= kind.scale)
    if pt.is_floating(kind):
        wider = pt.is_floating(into) and into.bit_width >= kind.bit_width
        return bool(wider or pt.is_signed_integer(into))
    if nested := _nested_parts(kind, into):
        return all(fits(part, place) for part, place in nested)
    return kept_type(kind) == into and not _is_nested(kind)


def _integer_fits(kind: pa.DataType, into: pa.DataType) -> bool:
    if pt.is_decimal(into):
        return bool(into.precision - into.scale >= (20 if pt.is_uint64(kind) else 19))
    if not pt.is_signed_integer(into):
        return bool(pt.is_float64(into))
    unsigned = pt.is_unsigned_integer(kind)
    return bool(into.bit_width > kind.bit_width if unsigned else into.bit_width >= kind.bit_width)


def _nested_parts(
    kind: pa.DataType, into: pa.DataType
) -> list[tuple[pa.DataType, pa.DataType]] | None:
    """The pairs of types inside two nested types of one kind; None for any others."""
    if _is_list(kind) and _is_list(into):
        return [(kind.value_type, into.value_type)]
    if pt.is_map(kind) and pt.is_map(into):
        return [(kind.key_type, into.key_type), (kind.item_type, into.item_type)]
    if pt.is_struct(kind) and pt.is_struct(into):
        known = {field.name for field in kind} <= {field.name for field in into}
        return [(field.type, into.field(field.name).type) for field in kind] if known else None
    return None


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pt.is_list(kind)
        or pt.is_large_list(kind)
        or pt.is_fixed_size_list(kind)
        or pt.is_list_view(kind)
        or pt.is_large_list_view(kind)
    )


def _is_nested(kind: pa.DataType) -> bool:
    return bool(_is_list(kind) or pt.is_map(kind) or pt.is_struct(kind))


def _said(kind: pa.DataType) -> str:
    """A type on one line."""
    return " ".join(str(kind).split())


def _said_by(error: Exception) -> str:
    return " ".join(str(error).split())


def as_table(block: Any) -> pa.Table:  # noqa: ANN401 - Ray's blocks have no common type
    """A block of a dataset as an Arrow table; tensors become lists, nested once a dimension.

    Args:
        block: Arrow, pandas, or NumPy as Ray keeps it.
    """
    from ray.data.block import BlockAccessor

    rows = BlockAccessor.for_block(block).to_arrow()
    for index, field in enumerate(rows.schema):
        kind = plain_type(field.type)
        if kind != field.type:
            rows = rows.set_column(index, field.name, _unpacked(rows.column(index), kind))
    return rows


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without its extension: of a tensor the list, of Arrow's own what it is stored as.

    Others, such as Ray's pickled Python objects, stay what they are and fit no table.
    """
    if not isinstance(kind, pa.BaseExtensionType):
        return kind
    if kind.extension_name.startswith("arrow."):
        return plain_type(kind.storage_type)
    if "tensor" not in kind.extension_name:
        return kind
    shape = getattr(kind, "shape", None)
    stored = kind.storage_type
    plain = stored.field("data").type.value_type if pt.is_struct(stored) else stored.value_type
    for _ in range(kind.ndim if shape is None else len(shape)):
        plain = pa.list_(plain)
    return plain


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A dataset's columns with plain types, as `as_table` gives them."""
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


def _unpacked(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """An extension column as the plain type."""
    if column.type.extension_name.startswith("arrow."):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind)
    values = [value for chunk in column.chunks for value in chunk.to_pylist()]
    return pa.chunked_array(
        [pa.array([None if value is None else value.tolist() for value in values], type=kind)]
    )
